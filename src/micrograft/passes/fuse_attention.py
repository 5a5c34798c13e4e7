"""Fuses softmax(scale·q·kᵀ + mask)·v, written as products, into `attention`, which keeps no matrix of scores.

Exporters scale q, k or the scores, and add a constant mask. It runs on the user's own layout, before transpositions
are eliminated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Graph, Node, Param, param_of
from micrograft.ir.types import Array, Shape, Value
from micrograft.ops import check
from micrograft.ops.attention import MASKED, AttentionAttrs
from micrograft.ops.builder import Builder
from micrograft.ops.matmul import MatmulAttrs
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.scale import ScaleAttrs
from micrograft.ops.strides import broadcast_shape
from micrograft.ops.transpose import TransposeAttrs
from micrograft.passes.prune import prune

_HIDDEN = -1e4
"""A score that no parameter would learn to add."""


def fuse_attention(graph: Graph) -> Graph:
    """`graph` with `attention` for every chain of products that is one, whose scores nothing else reads."""
    search = _Search(graph)
    found = {node.outputs[0].name: match for node in graph.nodes if (match := search.match(node)) is not None}
    if not found:
        return graph
    builder = Builder(value.name for value in graph.values)
    params = list(graph.params)
    for node in graph.nodes:
        match = found.get(node.outputs[0].name)
        if match is None:
            builder.nodes.append(node)
        else:
            _draw(builder, params, node, match)
    return check(prune(replace(graph, nodes=tuple(builder.nodes), params=tuple(params))), "fuse_attention")


@dataclass(frozen=True, eq=False)
class _Match:
    """The operands, (..., heads, rows, width) each; mask: what is added to the scores, (heads or 1, T, S), or None."""

    q: Value
    k: Value
    k_transposed: bool
    v: Value
    scale: float
    mask: Array | None
    mask_name: str


class _Search:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producers = graph.producers
        self._readers = graph.readers
        self._outputs = {port.value.name for port in graph.outputs}

    def match(self, node: Node) -> _Match | None:
        """What `node` is the last product of, if it is of attention."""
        if node.attrs != MatmulAttrs() or len(node.outputs[0].shape) not in (3, 4):
            return None
        p, v = node.inputs
        softmax = self._inner(p)
        if softmax is None or softmax.op != "softmax":
            return None
        scores, scale, mask, mask_name = self._mask(*self._scaled(softmax.inputs[0], inner=True))
        product = self._inner(scores)
        if product is None or not isinstance(product.attrs, MatmulAttrs) or product.attrs.transpose_a:
            return None
        operands = self._scaled_alike(*product.inputs) or [self._scaled(each) for each in product.inputs]
        (q, q_scale), (k, k_scale) = operands
        if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
            return None
        placed = None
        if mask is not None:
            placed = _placed(mask, scores.shape)
            if placed is None:
                return None
        transposed = not product.attrs.transpose_b
        return _Match(q, k, transposed, v, scale * q_scale * k_scale, placed, mask_name)

    def _inner(self, value: Value) -> Node | None:
        """The node behind a value that nothing else reads."""
        alone = len(self._readers.get(value.name, ())) == 1 and value.name not in self._outputs
        return self._producers.get(value.name) if alone else None

    def _scaled(self, value: Value, *, inner: bool = False) -> tuple[Value, float]:
        """What `value` is a multiple of, and the factor. inner: only where nothing else reads it."""
        factor = 1.0
        while True:
            node = self._inner(value) if inner else self._producers.get(value.name)
            if node is None or not isinstance(node.attrs, ScaleAttrs):
                return value, factor
            factor *= node.attrs.factor
            value = node.inputs[0]

    def _scaled_alike(self, a: Value, b: Value) -> list[tuple[Value, float]] | None:
        """Both operands without the root of the scale, where an exporter multiplies each by that same one number.

        It is stored as what might be a parameter, but nobody trains one number twice.
        """
        found = []
        for value in (a, b):
            node = self._producers.get(value.name)
            param = self._graph.param(node.inputs[1].name) if node is not None and node.op == "mul" else None
            if node is None or param is None or param.data.size != 1 or node.inputs[0].shape != value.shape:
                return None
            found.append((node.inputs[0], param))
        (left, one), (right, other) = found
        factor = float(one.data.reshape(()))
        return [(left, factor), (right, factor)] if one is other else None

    def _mask(self, value: Value, factor: float) -> tuple[Value, float, Array | None, str]:
        """The scores below a constant mask, their factor, and the mask times the factor above it."""
        node = self._inner(value)
        if node is not None and node.op == "where":
            return self._filled(node, value, factor)
        if node is None or node.op != "add":
            return value, factor, None, ""
        for scores, added in (node.inputs, node.inputs[::-1]):
            param = self._graph.param(added.name)
            if param is not None and _hides(param) and scores.shape == value.shape:
                below, inner = self._scaled(scores, inner=True)
                with np.errstate(invalid="ignore"):
                    scaled: Array = param.data * np.float32(factor)
                return below, factor * inner, scaled, param.source
        return value, factor, None, ""

    def _filled(self, node: Node, value: Value, factor: float) -> tuple[Value, float, Array | None, str]:
        """The same of scores that are replaced where a constant says so, by a number that hides them."""
        condition, *ways = node.inputs
        chosen = self._graph.param(condition.name)
        for scores, filling, hidden in ((ways[1], ways[0], True), (ways[0], ways[1], False)):
            number = self._graph.param(filling.name)
            if chosen is None or number is None or number.data.size != 1 or number.data.reshape(()) > _HIDDEN:
                continue
            mask = np.where((chosen.data != 0) == hidden, np.float32(MASKED), np.float32(0))
            if scores.shape != value.shape or np.any(np.all(mask < 0, axis=-1)):
                continue  # a row of which nothing is left is uniform here, and not where a mask is added
            below, inner = self._scaled(scores, inner=True)
            return below, factor * inner, mask, chosen.source
        return value, factor, None, ""


def _hides(param: Param) -> bool:
    """Whether it is a mask: a constant, or what ONNX cannot tell from a parameter but hides keys."""
    return not param.learnable or bool(np.any(param.data <= _HIDDEN))


def _placed(mask: Array, scores: Shape) -> Array | None:
    """The mask as (heads or 1, T, S); None where it does not stretch to the scores."""
    if broadcast_shape(mask.shape, scores) != scores:
        return None
    leading = math.prod(mask.shape[:-2])
    whole = np.broadcast_to(mask, (*(scores[:-2] if leading > 1 else mask.shape[:-2]), *scores[-2:]))
    placed: Array = np.maximum(whole.reshape(-1, *scores[-2:]), np.float32(MASKED))
    return placed


def _draw(builder: Builder, params: list[Param], node: Node, match: _Match) -> None:
    """Append the attention in the place of `node`, whose output keeps its name."""
    origin = node.origin
    k = match.k
    if match.k_transposed:
        last = len(k.shape) - 1
        order = (*range(last - 1), last, last - 1)
        k = builder.add("transpose", (k,), TransposeAttrs(order), origin=origin)
    causal, inputs = False, [_side_by_side(builder, each, origin) for each in (match.q, k, match.v)]
    if match.mask is not None:
        shape = match.mask.shape[1:]
        causal = np.array_equal(match.mask, np.where(np.tri(*shape, dtype=np.bool_), 0, np.float32(MASKED))[None])
    if match.mask is not None and not causal:
        mask = param_of(builder.unique(f"{match.mask_name}_mask"), match.mask, learnable=False)
        params.append(mask)
        inputs.append(mask.value)
    *leading, rows, _ = match.q.shape
    heads = math.prod(leading)
    y = builder.add("attention", inputs, AttentionAttrs(heads, heads, match.scale, causal), origin=origin)
    rank = len(node.outputs[0].shape)
    y = builder.add("reshape", (y,), ReshapeAttrs((rows, *leading, match.v.shape[-1])), origin=origin)
    builder.define(
        node.outputs[0], "transpose", (y,), TransposeAttrs((*range(1, rank - 1), 0, rank - 1)), origin=origin
    )


def _side_by_side(builder: Builder, x: Value, origin: str) -> Value:
    """(..., heads, rows, width) as (1, rows, heads·width)."""
    rank = len(x.shape)
    order = (rank - 2, *range(rank - 2), rank - 1)
    y = builder.add("transpose", (x,), TransposeAttrs(order), origin=origin)
    shape = (1, x.shape[-2], x.type.size // x.shape[-2])
    return builder.add("reshape", (y,), ReshapeAttrs(shape), origin=origin)
