"""Lays parameters out as they are read: a transposition or reshape of a parameter is done here, once.

What takes the tensor back to the user's own layout is kept in the parameter (`Param.to_user`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Graph, Node, Param
from micrograft.ir.types import Array, Shape, Value
from micrograft.ops import check
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.transpose import TransposeAttrs


def absorb_layouts(graph: Graph) -> Graph:
    """`graph` without the reshapes and transposes of a parameter that all its readers agree on."""
    nodes: list[Node | None] = list(graph.nodes)
    readers: dict[str, list[int]] = {}
    for position, node in enumerate(graph.nodes):
        for name in dict.fromkeys(value.name for value in node.inputs):
            readers.setdefault(name, []).append(position)
    fixed = {port.value.name for port in graph.outputs}
    params = []
    for param in graph.params:
        while param.name not in fixed:
            positions = readers.get(param.name, [])
            layouts = [node for node in (nodes[position] for position in positions) if node is not None]
            gone = {node.outputs[0].name for node in layouts}
            laid_out = None if gone & fixed else _laid_out(param, layouts)
            if laid_out is None:
                break
            param = laid_out
            for position in positions:
                nodes[position] = None
            behind = sorted({position for name in gone for position in readers.get(name, [])})
            for position in behind:
                reader = nodes[position]
                nodes[position] = None if reader is None else _reading(reader, gone, param.value)
            readers[param.name] = behind
        params.append(param)
    left = tuple(node for node in nodes if node is not None)
    return check(replace(graph, params=tuple(params), nodes=left), "absorb_layouts")


def _reading(node: Node, gone: set[str], value: Value) -> Node:
    return replace(node, inputs=tuple(value if each.name in gone else each for each in node.inputs))


def _laid_out(param: Param, layouts: Sequence[Node]) -> Param | None:
    """The parameter as all these nodes make it, if they are layouts and agree."""
    if not layouts or any(node.attrs != layouts[0].attrs for node in layouts):
        return None
    attrs = layouts[0].attrs
    if isinstance(attrs, ReshapeAttrs):
        return _reshaped(param, attrs.shape)
    if isinstance(attrs, TransposeAttrs):
        return _transposed(param, attrs.permutation)
    return None


def _reshaped(param: Param, shape: Shape) -> Param:
    axes = param.axes or param.value.shape
    return _with_layout(param, param.data.reshape(shape), axes, param.permutation)


def _transposed(param: Param, permutation: Sequence[int]) -> Param | None:
    """`param` with its axes permuted; None where its axes cut across the user's."""
    parts = _common_parts(param.axes or param.value.shape, param.value.shape)
    if parts is None:
        return None
    ours = [part for axis in permutation for part in parts if part.axis == axis]
    users = [part for axis in param.permutation for part in parts if part.old_axis == axis]
    axes = tuple(part.size for part in ours)
    return _with_layout(param, param.data.transpose(permutation), axes, tuple(map(ours.index, users)))


def _with_layout(param: Param, data: Array, axes: Shape, permutation: tuple[int, ...]) -> Param:
    """`param` with `data`, whose `axes` are brought to the user's by `permutation`."""
    user_shape = param.to_user(param.data).shape
    return replace(
        param,
        value=replace(param.value, type=replace(param.value.type, shape=data.shape)),
        data=np.ascontiguousarray(data),
        permutation=permutation,
        axes=None if axes == data.shape else axes,
        user_shape=None if user_shape == tuple(axes[axis] for axis in permutation) else user_shape,
    )


@dataclass(frozen=True)
class _Part:
    """A piece of an axis: the finest that two shapes of the same elements have in common."""

    index: int
    size: int
    old_axis: int
    axis: int


def _common_parts(old: Shape, new: Shape) -> list[_Part] | None:
    """The parts in order; None where an axis of one cuts across one of the other.

    >>> [(part.size, part.old_axis, part.axis) for part in _common_parts((6, 12), (6, 3, 4)) or []]
    [(6, 0, 0), (3, 1, 1), (4, 1, 2)]
    """
    if old == new:
        return [_Part(axis, size, axis, axis) for axis, size in enumerate(new)]
    parts: list[_Part] = []
    old_axis, left = 0, old[0] if old else 1
    for axis, size in enumerate(new):
        if size == 1:
            parts.append(_Part(len(parts), 1, old_axis, axis))
        while size > 1:
            while left == 1:
                old_axis += 1
                left = old[old_axis]
            piece = min(size, left)
            if size % piece or left % piece:
                return None
            parts.append(_Part(len(parts), piece, old_axis, axis))
            size, left = size // piece, left // piece
    return parts
