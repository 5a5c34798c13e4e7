"""Rebuilds a node over other inputs: its outputs keep their names and take the types that its operator infers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Value
from micrograft.ops import operator_of


def rebuild(node: Node, inputs: Sequence[Value], attrs: Attrs | None = None) -> Node:
    """`node`, reading `inputs`. Raises ShapeError where the operator refuses them."""
    node = replace(node, inputs=tuple(inputs), attrs=node.attrs if attrs is None else attrs)
    types = operator_of(node).types(node)
    outputs = tuple(Value(value.name, type_) for value, type_ in zip(node.outputs, types, strict=False))
    return replace(node, outputs=outputs)
