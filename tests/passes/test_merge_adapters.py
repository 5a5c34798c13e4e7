"""Promises of merging adapters into the weights."""

import numpy as np
import pytest

from micrograft.ir.graph import Graph
from micrograft.passes.merge_adapters import merge_adapters, with_values
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method, Start, apply_methods
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse
from micrograft.reference import run
from tests.networks import mlp, residual_cnn


def sparse(graph: Graph) -> list[Method]:
    """Some inputs of the first layer with a weight, some outputs of the second."""
    first, second = [node.origin for node in graph.nodes if node.op in ("linear", "conv")][:2]
    outputs = LayerScheme(second, weight=0.5, side="output", choose="first")
    return [Sparse(Scheme((LayerScheme(first, weight=0.4, bias=True), outputs)))]


@pytest.mark.parametrize("graph", [mlp(), residual_cnn()], ids=lambda graph: graph.name)
@pytest.mark.parametrize(
    "methods",
    [[LoRA(rank=3, alpha=5)], [LoRA(rank=2)], [IA3()], [IA3(), LoRA(rank=2)], []],
    ids=["lora", "r2", "ia3", "both", "sparse"],
)
def test_merged_equals_unmerged(graph: Graph, methods: list[Method]) -> None:
    """A trained adapter worked into the weights predicts what it predicted beside them, and costs nothing more."""
    generator = np.random.default_rng(3)
    adapted = apply_methods(graph, methods or sparse(graph), Start())
    trained = {param.source: param.to_user(generator.normal(0.3, 0.5, param.data.shape)) for param in adapted.trainable}
    adapted = with_values(adapted, trained)
    merged = merge_adapters(adapted)
    x = generator.standard_normal(graph.inputs[0].value.shape)
    before, after = (run(each, [x], dtype=np.float64)[each.outputs[0].value.name] for each in (adapted, merged))
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)
    assert len(merged.nodes) <= len(graph.nodes)
    assert not merged.trainable
    assert not [
        param.source
        for param in merged.params
        if "lora" in param.source or "ia3" in param.source or "chosen" in param.source
    ]
