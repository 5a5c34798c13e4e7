"""Fuses layer and RMS normalisation, written as sums, roots and quotients, into the one node that they are.

(x − mean x) / √(mean (x − mean x)² + ε) over the last axis, or x / √(mean x² + ε), then perhaps · weight, + bias.
Fused it keeps x alone for the backward pass. It runs on the user's own layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Value
from micrograft.ops import check
from micrograft.ops.arithmetic import SumToAttrs
from micrograft.ops.normalization import NormalizationAttrs
from micrograft.ops.scale import ScaleAttrs
from micrograft.passes.prune import prune


def fuse_normalization(graph: Graph) -> Graph:
    """`graph` with `layer_norm` and `rms_norm` for what computes them; the last node's output keeps its name."""
    search = _Search(graph)
    fused = {node.outputs[0].name: found for node in graph.nodes if (found := search.match(node)) is not None}
    if not fused:
        return graph
    nodes = [fused.get(node.outputs[0].name, node) for node in graph.nodes]
    return check(prune(replace(graph, nodes=tuple(nodes))), "fuse_normalization")


@dataclass(frozen=True)
class _Normalized:
    op: str
    x: Value
    epsilon: float


class _Search:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producers = graph.producers
        self._readers = graph.readers
        self._outputs = {port.value.name for port in graph.outputs}

    def match(self, node: Node) -> Node | None:
        """The normalisation that `node` is the last step of: with its weight and bias, if it has them."""
        for inputs in self._affine(node):
            plain = self._plain(inputs[0])
            if plain is None or any(each.shape != plain.x.shape[-1:] for each in inputs[1:]):
                continue
            attrs = NormalizationAttrs(plain.epsilon)
            return replace(node, op=plain.op, inputs=(plain.x, *inputs[1:]), attrs=attrs)
        return None

    def _affine(self, node: Node) -> Sequence[tuple[Value, ...]]:
        """The ways to read `node` as the end of one: the normalised value, the weight, the bias."""
        if node.op == "add":
            product, bias = self._with_constant(node)
            inner = self._alone(product) if product is not None else None
            if inner is None or bias is None or inner.op != "mul":
                return ()
            normalized, weight = self._with_constant(inner)
            return () if normalized is None or weight is None else ((normalized, weight, bias),)
        if node.op == "mul" and not self._goes_on(node, "add"):
            normalized, weight = self._with_constant(node)
            if normalized is not None and weight is not None:
                return ((normalized, weight),)
        if node.op in ("mul", "div") and not self._goes_on(node, "mul"):
            return ((node.outputs[0],),)
        return ()

    def _goes_on(self, node: Node, op: str) -> bool:
        """Whether a node with a vector of constants is the only reader, so that the match ends there."""
        readers = self._readers.get(node.outputs[0].name, ())
        alone = len(readers) == 1 and node.outputs[0].name not in self._outputs
        return alone and readers[0].op == op and self._with_constant(readers[0])[1] is not None

    def _with_constant(self, node: Node) -> tuple[Value | None, Value | None]:
        """The input that is computed and the vector of constants, of a node that has one of each."""
        for value, constant in (node.inputs, node.inputs[::-1]):
            vector = constant.shape == value.shape[-1:] and constant.shape == node.outputs[0].shape[-1:]
            if vector and self._graph.param(constant.name) is not None:
                return value, constant
        return None, None

    def _alone(self, value: Value) -> Node | None:
        """The node behind a value that nothing else reads."""
        alone = len(self._readers.get(value.name, ())) == 1 and value.name not in self._outputs
        return self._producers.get(value.name) if alone else None

    def _plain(self, value: Value) -> _Normalized | None:
        """What `value` is the normalised form of."""
        node = self._producers.get(value.name)
        if node is None or node.op not in ("mul", "div"):
            return None
        ways = [node.inputs] if node.op == "div" else [node.inputs, node.inputs[::-1]]
        for centered, by in ways:
            root = by if node.op == "div" else self._input(by, "reciprocal")
            variance, epsilon = self._sum(self._input(root, "sqrt"))
            if variance is None or not self._is_square(self._mean(variance), centered):
                continue
            x = self._input(centered, "sub")
            difference = self._producers.get(centered.name)
            if x is not None and difference is not None and self._mean(difference.inputs[1]) == x:
                return _Normalized("layer_norm", x, epsilon)
            return _Normalized("rms_norm", centered, epsilon)
        return None

    def _input(self, value: Value | None, op: str) -> Value | None:
        """The first input of the node behind a value, if it is one of `op`."""
        node = self._producers.get(value.name) if value is not None else None
        return node.inputs[0] if node is not None and node.op == op else None

    def _sum(self, value: Value | None) -> tuple[Value | None, float]:
        """The terms of a value plus a small number."""
        node = self._producers.get(value.name) if value is not None else None
        if node is None or node.op != "add":
            return None, 0.0
        for term, small in (node.inputs, node.inputs[::-1]):
            param = self._graph.param(small.name)
            if param is not None and param.data.size == 1:
                return term, float(param.data.reshape(()))
        return None, 0.0

    def _mean(self, value: Value) -> Value | None:
        """What `value` is the mean of, over the last axis, which stays."""
        node = self._producers.get(value.name)
        if node is None or not isinstance(node.attrs, ScaleAttrs):
            return None
        inner = self._producers.get(node.inputs[0].name)
        if inner is None or inner.op != "sum_to" or not isinstance(inner.attrs, SumToAttrs):
            return None
        x = inner.inputs[0]
        over_last = inner.attrs.shape == (*x.shape[:-1], 1)
        return x if over_last and math.isclose(node.attrs.factor * x.shape[-1], 1.0, rel_tol=1e-6) else None

    def _is_square(self, value: Value | None, of: Value) -> bool:
        node = self._producers.get(value.name) if value is not None else None
        return node is not None and node.op == "mul" and node.inputs == (of, of)
