"""Fuses gelu, its tanh form and silu, written as products, sums and quotients, into the one node that they are.

They are known by what they compute: whatever elementwise nodes with one input give the function's values are it,
in whichever way the exporter wrote it. Fused it keeps that input alone for the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Attrs, Graph, Node
from micrograft.ir.types import Array, Value
from micrograft.ops import check, operator_of, operators
from micrograft.passes.prune import prune

_GATES = {"erf": ("gelu",), "tanh": ("gelu_tanh",), "sigmoid": ("silu",)}
"""What gives one of the functions away."""

_LAST = ("mul", "scale", "div")
"""What may be its last step."""

_MOST = 16  # nodes of one function
_PROBES = np.linspace(-6, 6, 241)
_NEAR = 1e-6


def fuse_gates(graph: Graph) -> Graph:
    """`graph` with `gelu`, `gelu_tanh` and `silu` for what computes them; the last node's output keeps its name."""
    if not any(node.op in _GATES for node in graph.nodes):
        return graph
    search = _Search(graph)
    nodes = [search.match(node) or node for node in graph.nodes]
    return check(prune(replace(graph, nodes=tuple(nodes))), "fuse_gates")


class _Search:
    def __init__(self, graph: Graph) -> None:
        self._constants = {param.name: param.data for param in graph.params if not param.learnable}
        self._producers = graph.producers

    def match(self, node: Node) -> Node | None:
        """The function that `node` is the last step of."""
        if node.op not in _LAST:
            return None
        for x in self._behind(node):
            values: dict[str, Array] = {x.name: _PROBES}
            gates = self._computed(node.outputs[0], values)
            if gates is None or x.shape != node.outputs[0].shape:
                continue
            for name in (name for gate in gates for name in _GATES.get(gate, ())):
                (expected,) = operators()[name].evaluate(Attrs(), [_PROBES])
                if np.max(np.abs(values[node.outputs[0].name] - expected)) < _NEAR:
                    return replace(node, op=name, inputs=(x,), attrs=Attrs())
        return None

    def _behind(self, node: Node) -> Iterator[Value]:
        """The values that it depends on through elementwise nodes, near ones first."""
        waiting, seen = list(node.inputs), set[str]()
        while waiting and len(seen) < _MOST:
            value = waiting.pop(0)
            if value.name in seen or value.name in self._constants:
                continue
            seen.add(value.name)
            yield value
            producer = self._producers.get(value.name)
            if producer is not None and operator_of(producer).elementwise:
                waiting += producer.inputs

    def _computed(self, value: Value, values: dict[str, Array], depth: int = 0) -> set[str] | None:
        """Add `value` to the values computed of the probes; the operators on the way, None where it needs others."""
        if value.name in values:
            return set()
        constant = self._constants.get(value.name)
        if constant is not None:
            values[value.name] = constant.reshape(-1).astype(np.float64)
            return set() if constant.size == 1 else None
        node = self._producers.get(value.name)
        if node is None or depth > _MOST or not operator_of(node).elementwise:
            return None
        found = {node.op}
        for each in node.inputs:
            inner = self._computed(each, values, depth + 1)
            if inner is None:
                return None
            found |= inner
        arrays = [values[each.name] for each in node.inputs]
        values[value.name] = np.asarray(operator_of(node).evaluate(node.attrs, arrays)[0])
        return found
