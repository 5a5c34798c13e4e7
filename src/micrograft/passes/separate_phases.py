"""Makes a convolution of each transposed one: all that a position gives to its stride of outputs, moved to its place.

With a stride of two an output reads every second place of the kernel, so there are two kernels of half the length per
axis (four in a plane): one convolution with as many outputs more, whose channels are then moved beside one another. The
sums are the same; where the stride does not divide the kernel, zeros fill it up. In int8 a transposed convolution
thereby is a layer like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Graph, Node, Param, param_of
from micrograft.ir.types import Array, DType, Quantization, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.concat import SliceAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.conv_transpose import ConvTransposeAttrs
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.transpose import TransposeAttrs
from micrograft.passes.prune import prune

_CLAMPS = ("clip", "relu", "relu6")


def separate_phases(graph: Graph) -> Graph:
    """`graph` with convolutions for transposed ones of one group without dilation; an activation stays behind each."""
    separation = _Separation(graph)
    for node in graph.nodes:
        separation.visit(node)
    return separation.result()


@dataclass(frozen=True)
class _Axis:
    """taps: of each phase's kernel. padding: of x. start: the first output of all that the phases give."""

    stride: int
    taps: int
    padding: tuple[int, int]
    start: int


class _Separation:
    """The state of one walk."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._builder = Builder(value.name for value in graph.values)
        self._params: list[Param] = []
        self._done: set[str] = set()
        self._outputs = {port.value.name for port in graph.outputs}

    def visit(self, node: Node) -> None:
        axes = self._axes(node)
        if node.outputs[0].name in self._done:
            return
        if axes is None:
            self._builder.nodes.append(node)
        else:
            self._separate(node, axes)

    def result(self) -> Graph:
        if not self._params:
            return self._graph
        params = (*self._graph.params, *self._params)
        return prune(check(replace(self._graph, nodes=tuple(self._builder.nodes), params=params), "separate_phases"))

    def _axes(self, node: Node) -> tuple[_Axis, ...] | None:
        """How each axis falls apart; None where the node is none that does."""
        params = [self._graph.param(value.name) for value in node.inputs[1:]]
        if not isinstance(node.attrs, ConvTransposeAttrs) or not all(_is_frozen(param) for param in params):
            return None
        conv, x, weight = node.attrs.conv, node.inputs[0].shape, node.inputs[1].shape
        if conv.groups != 1 or any(each != 1 for each in conv.dilation):
            return None
        found = []
        sizes = zip(x[1:-1], weight[1:-1], conv.stride, conv.padding, node.attrs.spatial, strict=True)
        for places, kernel, stride, (before, _), outputs in sizes:
            taps, first = -(-kernel // stride), before // stride
            last = (before + outputs - 1) // stride
            padding = taps - 1 - first, max(last - (places - 1), 0)
            if padding[0] < 0:
                return None
            found.append(_Axis(stride, taps, padding, before - first * stride))
        return tuple(found)

    def _separate(self, node: Node, axes: tuple[_Axis, ...]) -> None:
        assert isinstance(node.attrs, ConvTransposeAttrs)
        result, builder, origin = node.outputs[0], self._builder, node.origin
        weight, *bias = (self._graph.param(value.name) for value in node.inputs[1:])
        assert weight is not None
        phases = math.prod(axis.stride for axis in axes)
        made = [self._param(f"{origin}.phases.weight", _kernels(weight.data, axes), _tiled(_scales(weight), phases))]
        for each in bias:
            assert each is not None
            grid = None if each.grid is None else np.broadcast_to(each.grid.scales, each.data.shape)
            made.append(self._param(f"{origin}.phases.bias", np.tile(each.data, phases), _tiled(grid, phases)))
        ones = (1,) * len(axes)
        attrs = ConvAttrs(ones, tuple(axis.padding for axis in axes), ones)
        y = builder.add("conv", (node.inputs[0], *made), attrs, origin=origin)
        clamp = self._clamp(result)
        if clamp is not None:
            self._done.add(clamp.outputs[0].name)
            y = builder.add(clamp.op, (y,), clamp.attrs, origin=clamp.origin)
            result = clamp.outputs[0]
        self._move(y, result, axes, node)

    def _clamp(self, result: Value) -> Node | None:
        readers = self._graph.readers.get(result.name, ())
        alone = len(readers) == 1 and result.name not in self._outputs
        return readers[0] if alone and readers[0].op in _CLAMPS else None

    def _move(self, y: Value, result: Value, axes: tuple[_Axis, ...], node: Node) -> None:
        """The phases beside one another, without what lies outside of the output."""
        builder, origin, outputs = self._builder, node.origin, result.shape[-1]
        places, strides = y.shape[1:-1], tuple(axis.stride for axis in axes)
        if len(axes) == 2 and math.prod(strides) > 1:
            apart = (1, *places, *strides, outputs)
            y = builder.add("reshape", (y,), ReshapeAttrs(apart), origin=origin)
            y = builder.add("transpose", (y,), TransposeAttrs((0, 1, 3, 2, 4, 5)), origin=origin)
        beside = tuple(size * stride for size, stride in zip(places, strides, strict=True))
        y = builder.add("reshape", (y,), ReshapeAttrs((1, *beside, outputs)), origin=origin)
        for number, (axis, size) in enumerate(zip(axes, result.shape[1:-1], strict=True), start=1):
            if y.shape[number] != size:
                y = builder.add("slice", (y,), SliceAttrs(number, axis.start, axis.start + size), origin=origin)
        builder.nodes[-1] = replace(builder.nodes[-1], outputs=(result,))

    def _param(self, name: str, data: Array, grid: Quantization | None) -> Value:
        param = param_of(self._builder.unique(name), data, learnable=False)
        self._params.append(replace(param, source=name, grid=grid))
        return param.value


def _is_frozen(param: Param | None) -> bool:
    return param is not None and not param.trainable and param.value.dtype is DType.FLOAT32


def _kernels(weight: Array, axes: tuple[_Axis, ...]) -> Array:
    """weight: (C, *kernel, O); all phases: (phases · O, *taps, C)."""
    rank = len(axes)
    missing = [axis.taps * axis.stride - size for axis, size in zip(axes, weight.shape[1:-1], strict=True)]
    full = np.pad(weight, [(0, 0), *((0, each) for each in missing), (0, 0)])
    split = full.reshape(len(weight), *(part for axis in axes for part in (axis.taps, axis.stride)), -1)
    taps, phases = [1 + 2 * each for each in range(rank)], [2 + 2 * each for each in range(rank)]
    turned = np.flip(split, tuple(taps)).transpose(*phases, split.ndim - 1, *taps, 0)
    outputs = math.prod(axis.stride for axis in axes) * weight.shape[-1]
    return np.ascontiguousarray(turned.reshape(outputs, *(axis.taps for axis in axes), len(weight)))


def _scales(weight: Param) -> Array | None:
    """One scale per output, of the grid that a weight came from; None where it came from none that is symmetric."""
    grid = weight.grid
    if grid is None or any(grid.zero_points):
        return None
    users = weight.to_user(weight.data)
    along = [1] * users.ndim
    if grid.axis is not None:
        along[grid.axis] = -1
    scales = weight.from_user(np.ascontiguousarray(np.broadcast_to(np.reshape(grid.scales, along), users.shape)))
    return np.asarray(scales.reshape(-1, scales.shape[-1])[0])


def _tiled(scales: Array | None, phases: int) -> Quantization | None:
    if scales is None:
        return None
    return Quantization(tuple(map(float, np.tile(scales, phases))), (0,) * (len(scales) * phases), 0)
