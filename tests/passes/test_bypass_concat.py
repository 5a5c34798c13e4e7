"""Promises of the pass that lets slices read through concatenations."""

from __future__ import annotations

import numpy as np
import pytest

from micrograft.ir.graph import Graph, Port, identity
from micrograft.ir.types import TensorType, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.concat import ConcatAttrs, SliceAttrs
from micrograft.passes.bypass_concat import bypass_concat
from micrograft.passes.prune import prune
from micrograft.reference import run

SLICES = {
    "a part": (SliceAttrs(1, 2, 5), "relu"),
    "from inside a part": (SliceAttrs(1, 3, 5), "slice"),
    "every second of a part": (SliceAttrs(1, 2, 5, 2), "slice"),
    "across two parts": (SliceAttrs(1, 1, 4), "concat"),
    "along another axis": (SliceAttrs(0, 0, 1), "relu"),
}


@pytest.mark.parametrize("case", SLICES)
def test_slices_read_the_part_that_they_take(case: str) -> None:
    """A whole part needs no node at all, a piece of one a slice of it; what is cut across parts stays."""
    attrs, source = SLICES[case]
    builder = Builder()
    values = [Value(name, TensorType((1, size))) for name, size in (("a", 2), ("b", 3))]
    parts = [builder.add("relu", (value,), name=f"r{value.name}") for value in values]
    joined = builder.add("concat", parts, ConcatAttrs(1), name="joined")
    y = builder.add("tanh", (builder.add("slice", (joined,), attrs, name="cut"),), name="y")
    ports = tuple(Port(value, identity(2)) for value in (*values, y))
    graph = check(Graph("net", ports[:2], ports[2:], (), tuple(builder.nodes)))
    found = prune(bypass_concat(graph))
    inputs = [np.array([[1.0, -2.0]]), np.array([[3.0, 4.0, 5.0]])]
    assert np.array_equal(run(found, inputs)["y"], run(graph, inputs)["y"])
    before = found.producers[found.producers["y"].inputs[0].name]
    if case == "along another axis":
        assert before.op == "concat"  # the whole of it
    elif source == "concat":
        assert found.producers[before.inputs[0].name].op == "concat"
    else:
        assert before.op == source
        assert "joined" not in found.producers
