"""Packs attention: where q, k and v are columns of one tensor, it reads them there, and nothing is cut out.

That tensor is a packed projection's output. Its gradient is then written in one piece too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Array, Value
from micrograft.ops import check
from micrograft.ops.attention import AttentionAttrs, Columns, PackedAttentionAttrs
from micrograft.ops.concat import SliceAttrs
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.passes.prune import prune


def pack_attention(graph: Graph) -> Graph:
    """`graph` with `packed_attention` for every attention whose q, k and v come from one tensor."""
    producers = graph.producers
    nodes = tuple(_packed(node, producers) if node.op == "attention" else node for node in graph.nodes)
    return check(prune(replace(graph, nodes=nodes)), "pack_attention")


def _packed(node: Node, producers: Mapping[str, Node]) -> Node:
    q, k, v, *mask = node.inputs
    assert isinstance(node.attrs, AttentionAttrs)
    roots = [_root(each, producers) for each in (q, k, v)]
    if len({root.name for root in roots}) > 1:
        return node
    columns = [_columns(each, roots[0], producers) for each in (q, k, v)]
    placed = [each for each in columns if each is not None]
    if len(placed) < 3:
        return node
    attrs = PackedAttentionAttrs(
        node.attrs, q.shape[1], k.shape[1], q.shape[2] // node.attrs.heads, v.shape[2] // node.attrs.key_heads, *placed
    )
    return replace(node, op="packed_attention", inputs=(roots[0], *mask), attrs=attrs)


def _steps(value: Value, producers: Mapping[str, Node]) -> list[Node]:
    """The slices and reshapes that cut `value` out of another tensor, the first one first."""
    steps: list[Node] = []
    while (node := producers.get(value.name)) is not None and isinstance(node.attrs, (SliceAttrs, ReshapeAttrs)):
        steps.insert(0, node)
        value = node.inputs[0]
    return steps


def _root(value: Value, producers: Mapping[str, Node]) -> Value:
    steps = _steps(value, producers)
    return steps[0].inputs[0] if steps else value


def _columns(value: Value, root: Value, producers: Mapping[str, Node]) -> Columns | None:
    """Where the rows of `value`, (1, rows, width), lie in `root`; None where they are not evenly spaced."""
    indices: Array = np.arange(math.prod(root.shape)).reshape(root.shape)
    for node in _steps(value, producers):
        if isinstance(node.attrs, ReshapeAttrs):
            indices = indices.reshape(node.attrs.shape)
        elif isinstance(node.attrs, SliceAttrs):
            chosen = slice(node.attrs.start, node.attrs.stop, node.attrs.step)
            indices = indices[(slice(None),) * node.attrs.axis + (chosen,)]
    _, rows, width = value.shape
    start = int(indices.flat[0])
    stride = int(indices.flat[width]) - start if rows > 1 else width
    expected = start + np.arange(rows)[:, None] * stride + np.arange(width)
    return Columns(start, stride) if np.array_equal(indices.reshape(rows, width), expected) else None
