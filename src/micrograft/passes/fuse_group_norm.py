"""Fuses group normalisation, written as an instance normalisation of reshaped groups, into the one node that it is.

Exporters up to opset 17 see (1, C, *spatial) as (1, groups, rest), normalise each group alone, and scale and shift the
channels behind it. Fused nothing is transposed, and weight and bias are the layer's own. It runs on the user's layout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.normalization import NormalizationAttrs
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.transpose import TransposeAttrs
from micrograft.passes.prune import prune

_TURNED = TransposeAttrs((0, 2, 1))


@dataclass(frozen=True)
class _Fused:
    """attrs: of the one node. x: (1, C, *spatial). affine: the channels' weight and bias, as far as there are some.

    origin: the layer's name, which is that of its weight.
    """

    last: Node
    attrs: NormalizationAttrs
    x: Value
    affine: tuple[Value, ...]
    origin: str


def fuse_group_norm(graph: Graph) -> Graph:
    """`graph` with one `group_norm` for what computes it; the last node's output keeps its name."""
    search = _Search(graph)
    matches = (search.match(node) for node in graph.nodes if node.op == "group_norm")
    found = {each.last.outputs[0].name: each for each in matches if each is not None}
    if not found:
        return graph
    builder = Builder(value.name for value in graph.values)
    for node in graph.nodes:
        each = found.get(node.outputs[0].name)
        if each is None:
            builder.nodes.append(node)
        else:
            _draw(each, builder)
    return check(prune(replace(graph, nodes=tuple(builder.nodes))), "fuse_group_norm")


def _draw(found: _Fused, builder: Builder) -> None:
    origin, (_, channels, *spatial) = found.origin, found.x.shape
    rank = 2 + len(spatial)
    to_last = TransposeAttrs((0, *range(2, rank), 1))
    inputs = [builder.add("transpose", (found.x,), to_last, origin=origin)]
    for each in found.affine:
        inputs.append(builder.add("reshape", (each,), ReshapeAttrs((channels,)), origin=origin))
    y = builder.add("group_norm", inputs, found.attrs, origin=origin)
    back = TransposeAttrs((0, rank - 1, *range(1, rank - 1)))
    builder.define(found.last.outputs[0], "transpose", (y,), back, origin=origin)


class _Search:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producers = graph.producers
        self._readers = graph.readers
        self._outputs = {port.value.name for port in graph.outputs}

    def match(self, node: Node) -> _Fused | None:
        """What the normalisation of groups is the middle of."""
        assert isinstance(node.attrs, NormalizationAttrs)
        turned = self._producers.get(node.inputs[0].name)
        groups = self._producers.get(turned.inputs[0].name) if turned is not None and turned.attrs == _TURNED else None
        back = self._only_reader(node)
        whole = self._only_reader(back) if back is not None and back.attrs == _TURNED else None
        if groups is None or groups.op != "reshape" or whole is None or whole.op != "reshape":
            return None
        x = groups.inputs[0]
        own_groups = node.inputs[0].shape[-1] == node.attrs.groups
        if whole.outputs[0].shape != x.shape or len(x.shape) not in (3, 4) or x.shape[0] != 1 or not own_groups:
            return None
        if x.shape[1] % node.attrs.groups or not self._plain(node):
            return None
        last, origin = whole, node.origin
        affine: list[Value] = []
        for op in ("mul", "add"):
            reader = self._only_reader(last)
            vector = self._vector(reader, last.outputs[0], x.shape) if reader is not None and reader.op == op else None
            if reader is None or vector is None:
                break
            last, origin, affine = reader, origin if affine else reader.origin, [*affine, vector]
        return _Fused(last, node.attrs, x, tuple(affine), origin)

    def _plain(self, node: Node) -> bool:
        """Whether it scales by ones and shifts by zeros, if at all."""
        for value, number in zip(node.inputs[1:], (1.0, 0.0), strict=False):
            param = self._graph.param(value.name)
            if param is None or not np.all(param.data == number):
                return False
        return True

    def _only_reader(self, node: Node) -> Node | None:
        name = node.outputs[0].name
        readers = self._readers.get(name, ())
        return readers[0] if len(readers) == 1 and name not in self._outputs else None

    def _vector(self, node: Node, of: Value, shape: tuple[int, ...]) -> Value | None:
        """The parameter with one element for each channel that `node` joins to `of`."""
        (other,) = [value for value in node.inputs if value.name != of.name] or (of,)
        along = (shape[1], *(1 for _ in shape[2:]))
        if other.shape not in (along, (1, *along)):
            return None
        value = other
        while (producer := self._producers.get(value.name)) is not None and producer.op == "reshape":
            value = producer.inputs[0]
        return other if self._graph.param(value.name) is not None else None
