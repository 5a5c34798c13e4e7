"""Every n-th index of tensors that were interleaved is one of them: what takes it reads it where it is.

Networks that split their channels in even and odd ones and join them again (couplings on a checkerboard, say) write it
as a stack behind the channels, merged with them. It runs while both stand side by side, before layouts are changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Value
from micrograft.ops import check
from micrograft.ops.concat import ConcatAttrs, SliceAttrs
from micrograft.ops.reshape import ReshapeAttrs


def bypass_interleave(graph: Graph) -> Graph:
    """`graph`, whose slices of interleaved tensors are reshapes of the one that they take."""
    producers = graph.producers
    nodes = tuple(_instead(node, producers) for node in graph.nodes)
    return check(replace(graph, nodes=nodes), "bypass_interleave")


def _instead(node: Node, producers: Mapping[str, Node]) -> Node:
    """A reshape of the tensor that a slice takes; any other node as it is."""
    attrs = node.attrs
    merged = producers.get(node.inputs[0].name) if node.inputs else None
    if not isinstance(attrs, SliceAttrs) or merged is None or merged.op != "reshape":
        return node
    stack = producers.get(merged.inputs[0].name)
    if stack is None or not isinstance(stack.attrs, ConcatAttrs) or not _interleaves(stack, merged, attrs):
        return node
    part, whole = stack.inputs[attrs.start], stack.outputs[0]
    if (part.dtype, part.type.quant) != (whole.dtype, whole.type.quant):
        return node
    source = _before_reshapes(part, producers)
    return replace(node, op="reshape", inputs=(source,), attrs=ReshapeAttrs(node.outputs[0].shape))


def _interleaves(stack: Node, merged: Node, wanted: SliceAttrs) -> bool:
    """Whether tensors stacked behind an axis are merged with it, and just one of them is wanted."""
    axis, count = wanted.axis, len(stack.inputs)
    shape = stack.outputs[0].shape
    if not isinstance(stack.attrs, ConcatAttrs) or stack.attrs.axis != axis + 1 or shape[axis + 1] != count:
        return False
    joined = (*shape[:axis], shape[axis] * count, *shape[axis + 2 :])
    every = wanted.step == count and wanted.start < count and wanted.size == shape[axis]
    return every and merged.outputs[0].shape == joined


def _before_reshapes(value: Value, producers: Mapping[str, Node]) -> Value:
    """What a value is a reshape of."""
    while (node := producers.get(value.name)) is not None and node.op == "reshape":
        value = node.inputs[0]
    return value
