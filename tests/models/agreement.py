"""Twenty steps of a network in C and in PyTorch, and whether they agree."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from tests.torch_training import TorchTraining, wide

METHODS: dict[str, tuple[Method, ...]] = {
    "head": (Head(),),
    "bias": (Bias(),),
    "lora": (LoRA(rank=3, alpha=6),),
    "full": (Full(),),
}
Data = Sequence[tuple[Array, Array]]


def close(found: Array, expected: Array) -> None:
    """Within 1e-4 relative, by the tensor's norm."""
    assert np.linalg.norm(found - expected) <= 1e-4 * max(float(np.linalg.norm(expected)), 1e-3)


def export(module: nn.Module, shape: tuple[int, ...], path: Path, *, dynamo: bool, training: bool = False) -> Graph:
    """The network through a file that one of PyTorch's exporters wrote; training: with all of its layers kept."""
    kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False} if training else {}
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (torch.zeros(shape),), str(path), dynamo=dynamo, verbose=False,
            opset_version=18 if dynamo else 14, **kept,
        )  # fmt: skip
    logging.disable(logging.NOTSET)
    return api.load(path)


def trained_names(module: nn.Module, method: str, head: Sequence[str]) -> list[str]:
    """PyTorch's names of what a method trains."""
    names = [name for name, _ in module.named_parameters()]
    chosen = {"head": list(head), "bias": [name for name in names if "bias" in name], "full": names, "lora": []}
    return chosen[method]


def agree(
    module: nn.Module,
    graph: Graph,
    data: Data,
    methods: Sequence[Method],
    names: Sequence[str],
    *,
    loss: str = "cross_entropy",
    rate: float = 0.05,
) -> None:
    """Losses, answers before and after, and every trained parameter that has PyTorch's name agree within 1e-4.

    names: PyTorch's, of the parameters that are trained; adapters come on top.
    """
    recipe = api.Recipe(tuple(methods), SGD(lr=rate), loss, clip=None, name="net")
    library = api.adapt(graph, recipe, np.stack([x for x, _ in data[:4]]))
    adapters = {p.source: p.to_user(p.data) for p in library.graph.params if "lora_" in p.source}
    module = copy.deepcopy(module)
    own = {name: parameter.detach().numpy() for name, parameter in module.named_parameters() if name in names}
    reference = TorchTraining(module, adapters | own, methods)

    def answer(x: Array) -> Array:
        with torch.no_grad():
            weights = reference.weights()
            result: torch.Tensor = torch.func.functional_call(module, weights, (wide(x),))
        return np.asarray(result.numpy())

    with api.host(library) as runner:
        close(runner.predict(data[0][0]), answer(data[0][0]))
        losses = [runner.train_step(x, y) for x, y in data]
        after, trained = runner.predict(data[0][0]), runner.parameters()
    close(np.array(losses), np.array(reference.run(data, SGD(lr=rate), loss, None)))
    close(after, answer(data[0][0]))
    same = reference.parameters().keys() & trained.keys()
    assert same, "no trained parameter has PyTorch's name"
    for name in same:
        close(trained[name], reference.parameters()[name])
