"""Transformers import from PyTorch and from both ONNX exporters, and learn what PyTorch would have learned."""

from __future__ import annotations

import copy
import functools
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from micrograft import api
from micrograft.boards import find_board
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.ops.attention import PackedAttentionAttrs
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.reference import run
from micrograft.samples import check_inputs
from tests.models.transformers import (
    SHAPES,
    Causal,
    CompactTransformer,
    Encoder,
    Masked,
    VisionTransformer,
    Words,
    make,
)
from tests.torch_training import TorchTraining

KINDS = (VisionTransformer, CompactTransformer, Encoder, Causal)
METHODS: dict[str, tuple[Method, ...]] = {
    "head": (Head(),),
    "bias": (Bias(),),
    "lora": (LoRA(rank=4, alpha=8),),
    "full": (Full(),),
}
RATE = 0.02
OPSETS = {"dynamo": 18, "legacy-17": 17, "legacy-14": 14}


@functools.cache
def network(kind: type[torch.nn.Module]) -> tuple[torch.nn.Module, Graph]:
    torch.set_num_threads(1)
    module = make(kind)
    return module, api.load(module, example=[np.zeros(SHAPES[kind], np.float32)])


def _zeros(kind: type[torch.nn.Module]) -> torch.Tensor:
    return torch.zeros(1, 6, dtype=torch.int64) if kind is Words else torch.zeros(SHAPES[kind])


def export(kind: type[torch.nn.Module], way: str, folder: Path) -> Graph:
    return exported(make(kind), _zeros(kind), way, folder)


def exported(module: torch.nn.Module, x: torch.Tensor, way: str, folder: Path) -> Graph:
    """The network through a file that one of PyTorch's exporters wrote."""
    path = folder / "model.onnx"
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (x,), str(path), dynamo=way == "dynamo", opset_version=OPSETS[way],
            verbose=False,
        )  # fmt: skip
    logging.disable(logging.NOTSET)
    return api.load(path)


def samples(kind: type[torch.nn.Module], count: int) -> list[tuple[Array, Array]]:
    generator = np.random.default_rng(5)
    classes = 10 if len(SHAPES[kind]) == 4 else 5
    x = generator.standard_normal((count, *SHAPES[kind])).astype(np.float32)
    return list(zip(x, generator.integers(0, classes, (count, 1)).astype(np.int32), strict=True))


def close(found: Array, expected: Array) -> None:
    """Within 1e-4 relative, by the tensor's norm."""
    assert np.linalg.norm(found - expected) <= 1e-4 * max(float(np.linalg.norm(expected)), 1e-3)


def twenty_steps(kind: type[torch.nn.Module], graph: Graph, method: str) -> None:
    """Train both; losses, logits before and after, and every trained parameter that has PyTorch's name agree."""
    data = samples(kind, 20)
    recipe = api.Recipe(METHODS[method], SGD(lr=RATE), clip=None, name="net")
    library = api.adapt(graph, recipe, np.stack([x for x, _ in data[:4]]))
    adapters = {p.source: p.to_user(p.data) for p in library.graph.params if "lora_" in p.source}
    assert all(data.shape[0] == 4 for name, data in adapters.items() if name.endswith("lora_A.weight"))
    module = copy.deepcopy(network(kind)[0])
    own = {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}
    with api.host(library) as runner:
        initial = own if method == "full" else adapters | runner.parameters()
        reference = TorchTraining(module, initial, METHODS[method])
        with torch.no_grad():
            close(runner.predict(data[0][0]), module(torch.from_numpy(data[0][0]).double()).numpy())
        losses = [runner.train_step(x, y) for x, y in data]
        after, trained = runner.predict(data[0][0]), runner.parameters()
    close(np.array(losses), np.array(reference.run(data, SGD(lr=RATE), "cross_entropy", None)))
    with torch.no_grad():
        x = torch.from_numpy(data[0][0]).double()
        close(after, torch.func.functional_call(module, reference.weights(), (x,)).numpy())
    same = reference.parameters().keys() & trained.keys()
    assert same if method == "full" else same == trained.keys()
    for name in same:
        close(trained[name], reference.parameters()[name])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_steps_agree_with_pytorch(kind: type[torch.nn.Module], method: str) -> None:
    """From torch.export: logits, 20 losses and every trained parameter agree with PyTorch within 1e-4."""
    twenty_steps(kind, network(kind)[1], method)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["dynamo", "legacy-14"])
@pytest.mark.parametrize("kind", [VisionTransformer, Encoder])
def test_twenty_steps_agree_through_onnx(kind: type[torch.nn.Module], way: str, method: str, tmp_path: Path) -> None:
    """From either ONNX exporter, the older with every normalisation and activation taken apart, likewise."""
    twenty_steps(kind, export(kind, way, tmp_path), method)


@pytest.mark.slow
@pytest.mark.parametrize("way", OPSETS)
@pytest.mark.parametrize("kind", [VisionTransformer, CompactTransformer, Encoder])
def test_exporters_agree(kind: type[torch.nn.Module], way: str, tmp_path: Path) -> None:
    """Whoever exported it, the same operators are left, and linear layers have PyTorch's names."""

    def outline(graph: Graph) -> list[tuple[str, str]]:
        return [(node.op, node.origin if node.op == "linear" else "") for node in graph.nodes]

    assert outline(export(kind, way, tmp_path)) == outline(network(kind)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_no_matrix_of_scores_exists(kind: type[torch.nn.Module]) -> None:
    """Attention is one node that reads the projections' own outputs, and nothing is transposed for it."""
    operators = [node.op for node in network(kind)[1].nodes]
    packed = kind is not Causal
    assert operators.count("packed_attention" if packed else "attention") >= 2
    assert not {"transpose", "gelu_gradient", "erf", "sqrt"} & set(operators)
    assert ("softmax" in operators) == (kind is CompactTransformer)  # its learned mean of tokens


@pytest.mark.parametrize("way", ["torch", "dynamo", "legacy-17"])
@pytest.mark.parametrize("kind", ["causal", "hidden", "added"])
def test_masks(kind: str, way: str, tmp_path: Path) -> None:
    """A constant mask goes into the one node, whoever wrote it; a causal one costs nothing, not even a table."""
    torch.manual_seed(0)
    module, x = Masked(kind).eval(), torch.randn(1, 6, 8)
    graph = api.load(module, example=[x]) if way == "torch" else exported(module, x, way, tmp_path)
    (attention,) = (node for node in graph.nodes if isinstance(node.attrs, PackedAttentionAttrs))
    assert attention.attrs.attention.causal == (kind == "causal")
    assert len(attention.inputs) == (1 if kind == "causal" else 2)
    port = graph.outputs[0]
    found = port.to_user(run(graph, [graph.inputs[0].from_user(x.numpy())])[port.value.name])
    np.testing.assert_allclose(found, module(x).detach().numpy(), atol=2e-6)


def test_lora_reaches_layers_by_name() -> None:
    """The projections inside nn.MultiheadAttention, packed or not, are layers that a method can name."""
    library = api.adapt(network(Encoder)[1], api.Recipe((LoRA(targets="in_proj|out_proj"),), name="net"))
    assert [param.source for param in library.graph.trainable if ".1." in param.source] == [
        "encoder.layers.1.self_attn.in_proj.lora_A.weight", "encoder.layers.1.self_attn.in_proj.lora_B.weight",
        "encoder.layers.1.self_attn.out_proj.lora_A.weight", "encoder.layers.1.self_attn.out_proj.lora_B.weight",
    ]  # fmt: skip
    library = api.adapt(network(Causal)[1], api.Recipe((LoRA(targets="q|v"),), name="net"))
    assert {param.source.split(".lora")[0] for param in library.graph.trainable} == {"q", "v"}


@pytest.mark.slow
def test_lora_on_a_vision_transformer_fits_half_a_megabyte() -> None:
    """A LoRA step of every layer of 0.36 M parameters fits an STM32H743 and gives the host's bits there."""
    data = samples(VisionTransformer, 2)
    recipe = api.Recipe((LoRA(rank=4),), SGD(lr=RATE), name="net")
    library = api.adapt(network(VisionTransformer)[1], recipe, np.stack([x for x, _ in data]))
    board = find_board("stm32h743")
    bill = api.plan(library, recipe, board)
    assert bill.parameters >= 300_000 and bill.ram.total <= 512 * 1024
    states = []
    for device in (api.host(library), api.emulated(library, board)):
        with device as runner:
            for x, y in data:
                runner.train_step(x, y)
            states.append(runner.state())
    assert states[0] == states[1]


@pytest.mark.parametrize("way", ["torch", *OPSETS])
def test_tokens_train_their_table(way: str, tmp_path: Path) -> None:
    """Integer inputs choose rows of a table, which learns; a token that is no row is refused, and so are floats."""
    module = make(Words)
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 20, (20, 1, 6)), generator.integers(0, 5, (20, 1)).astype(np.int32)
    graph = api.load(module, example=[x[0]]) if way == "torch" else export(Words, way, tmp_path)
    library = api.adapt(graph, api.Recipe((Full(),), SGD(lr=RATE), clip=None, name="net"), x[:4])
    with api.host(library) as runner:
        tokens = check_inputs(x, library.input)
        close(runner.predict(tokens[0]), module(torch.from_numpy(x[0])).detach().numpy())
        losses = [runner.train_step(*each) for each in zip(tokens, y, strict=True)]
        trained = runner.parameters()
        for wrong in (-1, 20):
            with pytest.raises(MicrograftError, match="a token is out of range"):
                runner.predict(np.full_like(tokens[0], wrong))
    with pytest.raises(MicrograftError, match="tokens are integers"):
        check_inputs(x.astype(np.float32), library.input)
    optimizer, expected = torch.optim.SGD(module.parameters(), RATE), []
    for sample, label in zip(x, y, strict=True):
        loss = F.cross_entropy(module(torch.from_numpy(sample)), torch.from_numpy(label).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    close(np.array(losses), np.array(expected))
    close(trained["word.weight"], module.word.weight.detach().numpy())
