"""Finds functions of one value: what elementwise nodes compute, element by element, from one tensor alone.

x · sigmoid(x) is one, and so is whatever else a framework spells out in ten nodes. Of 256 codes it is a table.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Array, DType, Value
from micrograft.ops import operator_of

_BETWEEN_CODES = ("quantize", "dequantize", "requantize")


def source_of(node: Node, graph: Graph, sources: Mapping[str, str]) -> str | None:
    """The name of the value that `node` computes a function of; None where there is none, or more than one.

    sources: name of each value before it that is such a function, or a source itself, to the name of its source.
    """
    if not operator_of(node).elementwise or node.op in _BETWEEN_CODES:
        return None
    found = set()
    for value in node.inputs:
        if is_scalar(value, graph):
            continue
        if value.shape != node.outputs[0].shape:
            return None
        found.add(sources.get(value.name))
    return found.pop() if len(found) == 1 else None


def find_sources(graph: Graph, starts: Container[str]) -> dict[str, str]:
    """Name of each value that is a function of one in `starts`, and of those themselves, to the name of that one."""
    sources = {value.name: value.name for value in graph.values if value.name in starts}
    for node in graph.nodes:
        source = source_of(node, graph, sources)
        if source is not None:
            sources.setdefault(node.outputs[0].name, source)
    return sources


def is_scalar(value: Value, graph: Graph) -> bool:
    """Whether a value is one constant number."""
    return value.type.size == 1 and value.dtype is DType.FLOAT32 and graph.param(value.name) is not None


def computed(value: Value, source: str, graph: Graph, points: Array) -> Array:
    """What a function gives at points of its source, in float64."""
    values = {source: points.astype(np.float64)}

    def at(each: Value) -> Array:
        if each.name not in values:
            param = graph.param(each.name)
            if param is not None:
                values[each.name] = np.asarray(param.data.item(), np.float64)
            else:
                node = graph.producers[each.name]
                arrays = [at(inner) for inner in node.inputs]
                values[each.name] = np.asarray(operator_of(node).evaluate(node.attrs, arrays)[0])
        return values[each.name]

    return at(value)
