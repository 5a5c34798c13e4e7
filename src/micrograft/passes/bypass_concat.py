"""A slice of a concatenation reads the part that it takes, instead of a copy of it.

Networks that work on halves of their channels split and join them again and again (reversible blocks, say); in
between no joined tensor is needed. A concatenation that nobody reads any more is left for `prune`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Value
from micrograft.ops import check
from micrograft.ops.concat import ConcatAttrs, SliceAttrs
from micrograft.passes.rebuild import rebuild


def bypass_concat(graph: Graph) -> Graph:
    """`graph`, whose slices reach through concatenations along their axis wherever they take from one part alone."""
    outputs = {port.value.name for port in graph.outputs}
    producers: dict[str, Node] = {}
    instead: dict[str, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(instead.get(value.name, value) for value in node.inputs)
        node = node if inputs == node.inputs else rebuild(node, inputs)
        node = _through(node, producers)
        part = node.inputs[0] if node.inputs else None
        if node.op == "slice" and part is not None and _takes_all(node, part) and node.outputs[0].name not in outputs:
            instead[node.outputs[0].name] = part
            continue
        nodes.append(node)
        producers.update((value.name, node) for value in node.outputs)
    return check(replace(graph, nodes=tuple(nodes)), "bypass_concat")


def _through(node: Node, producers: Mapping[str, Node]) -> Node:
    """A slice of the part that it takes from, where it is cut from a concatenation; any other node as it is."""
    while isinstance(node.attrs, SliceAttrs):
        source, attrs = producers.get(node.inputs[0].name), node.attrs
        if source is None or source.op != "concat":
            break
        assert isinstance(source.attrs, ConcatAttrs)
        found = _part(source, attrs) if source.attrs.axis == attrs.axis else None
        if found is None:
            break
        part, before = found
        node = replace(node, inputs=(part,), attrs=replace(attrs, start=attrs.start - before, stop=attrs.stop - before))
    return node


def _part(concat: Node, wanted: SliceAttrs) -> tuple[Value, int] | None:
    """The part that holds all that is wanted, of the same element type, and the indices before it."""
    before = 0
    for part in concat.inputs:
        size = part.shape[wanted.axis]
        if before <= wanted.start and wanted.stop <= before + size:
            same = (part.dtype, part.type.quant) == (concat.outputs[0].dtype, concat.outputs[0].type.quant)
            return (part, before) if same else None
        before += size
    return None


def _takes_all(node: Node, source: Value) -> bool:
    """Whether the output is the input itself."""
    return node.outputs[0].type == source.type
