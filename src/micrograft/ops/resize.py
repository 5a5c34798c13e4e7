"""resize: height and width (or the one spatial axis) scaled, by the nearest element or linearly between neighbours.

x: (1, *spatial, C); y: (1, *output, C). Which place a position lies on is computed in integers, so that no rounding
of a scale decides it; every coordinate mode of ONNX and PyTorch is such a rule. Nothing is kept for the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, Shape, TensorType
from micrograft.ops.block import contracted, contraction, group
from micrograft.ops.cost import Cost
from micrograft.ops.moving import moving
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require

_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Scaling:
    """Position p of `size` lies on place (p · step + start) / parts of the input.

    >>> Scaling(6, 1, 0, 2).below()[0].tolist()
    [0, 0, 1, 1, 2, 2]
    """

    size: int
    step: int
    start: int
    parts: int

    def below(self) -> tuple[Array, Array]:
        """For each position the place at or below it, and how many parts it lies behind that."""
        whole = np.arange(self.size) * self.step + self.start
        return whole // self.parts, whole % self.parts


@dataclass(frozen=True)
class ResizeAttrs(Attrs):
    """One scaling per spatial axis. linear: between neighbours, else the place below."""

    axes: tuple[Scaling, ...]
    linear: bool = False


@dataclass(frozen=True)
class ResizeGradientAttrs(Attrs):
    """input_shape: of the x whose gradient this is."""

    resize: ResizeAttrs
    input_shape: Shape


def _resized(attrs: ResizeAttrs, x: Shape) -> Shape:
    rank = len(attrs.axes)
    require(rank in (1, 2) and len(x) == rank + 2, f"the input has shape {x}, and {rank} axes are to be resized")
    require(x[0] == 1, f"the batch is {x[0]}, not 1")
    for axis in attrs.axes:
        require(axis.size >= 1 and axis.parts >= 1, f"a size of {axis.size} makes no sense")
        require(axis.size * abs(axis.step) + abs(axis.start) <= _LARGEST, f"a size of {axis.size} is too large")
    return (1, *(axis.size for axis in attrs.axes), x[-1])


def _infer(attrs: ResizeAttrs, types: Types) -> Types:
    (x,) = types
    require(not attrs.linear or x.dtype is DType.FLOAT32, f"{x.dtype.value} is not resized linearly")
    return (replace(x, shape=_resized(attrs, x.shape)),)


def _matrix(axis: Scaling, size: int, linear: bool, dtype: np.dtype[np.generic]) -> Array:
    """(positions, places): how much each position takes of each place."""
    place, rest = axis.below()
    share = rest / axis.parts if linear else np.zeros(axis.size)
    matrix = np.zeros((axis.size, size), dtype)
    positions = np.arange(axis.size)
    np.add.at(matrix, (positions, np.clip(place, 0, size - 1)), 1 - share)
    np.add.at(matrix, (positions, np.clip(place + 1, 0, size - 1)), share)
    return matrix


def _evaluate(attrs: ResizeAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    y = x
    for number, axis in enumerate(attrs.axes, start=1):
        if not attrs.linear:
            y = np.take(y, np.clip(axis.below()[0], 0, x.shape[number] - 1), axis=number)
            continue
        matrix = _matrix(axis, x.shape[number], attrs.linear, x.dtype)
        y = np.moveaxis(np.tensordot(matrix, y, axes=(1, number)), 0, number)
    return (np.ascontiguousarray(y),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, ResizeAttrs)
    attrs = ResizeGradientAttrs(node.attrs, node.inputs[0].shape)
    return (backward.emit("resize_gradient", dy, attrs=attrs),)


def resize_fields(attrs: ResizeAttrs, x: Shape) -> tuple[tuple[str, int | tuple[int, ...]], ...]:
    axes = [
        (size, axis.size, axis.step, axis.start, axis.parts) for size, axis in zip(x[1:-1], attrs.axes, strict=True)
    ]
    height, width = axes if len(axes) == 2 else ((1, 1, 0, 0, 1), axes[0])
    return ("height", height), ("width", width), ("channels", x[-1])


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, ResizeAttrs)
    (x,) = node.inputs
    function = moving(f"resize_{'linear' if node.attrs.linear else 'nearest'}", x)
    return (KernelCall(function, "mg_resize_params", resize_fields(node.attrs, x.shape), (x, node.outputs[0])),)


def _cases() -> Iterator[tuple[Shape, ResizeAttrs]]:
    double, odd = Scaling(8, 1, 0, 2), Scaling(9, 5, 0, 9)
    half_pixel = Scaling(10, 2 * 4, 4 - 10, 2 * 10)
    corners = Scaling(7, 4, 0, 6)
    yield (1, 4, 5, 3), ResizeAttrs((double, odd))
    yield (1, 4, 5, 3), ResizeAttrs((half_pixel, corners), linear=True)
    yield (1, 4, 5, 3), ResizeAttrs((half_pixel, corners))
    yield (1, 9, 9, 2), ResizeAttrs((Scaling(4, 9, 0, 4), Scaling(1, 0, 4, 1)), linear=True)
    yield (1, 6, 2), ResizeAttrs((Scaling(15, 12, 6 - 15, 30),), linear=True)
    yield (1, 6, 2), ResizeAttrs((Scaling(3, 2, 0, 1),))


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, attrs in _cases():
        yield Sample((generator.standard_normal(shape).astype(np.float32),), attrs)
        if not attrs.linear:
            yield Sample((generator.integers(-128, 128, shape).astype(np.int8),), attrs)


def _macs(node: Node) -> int:
    attrs = node.attrs.resize if isinstance(node.attrs, ResizeGradientAttrs) else node.attrs
    assert isinstance(attrs, ResizeAttrs)
    return 3 * max(node.inputs[0].type.size, node.outputs[0].type.size) if attrs.linear else 0


RESIZE = Operator(
    name="resize",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call, DType.INT8: _call},
    gradient=_gradient,
    macs=_macs,
    cost=Cost(output=20, mac=1.0),
)


def _infer_gradient(attrs: ResizeGradientAttrs, types: Types) -> Types:
    (dy,) = types
    expected = _resized(attrs.resize, attrs.input_shape)
    require(dy.shape == expected, f"the gradient has shape {dy.shape}, not {expected}")
    return (TensorType(attrs.input_shape, dy.dtype),)


def _evaluate_gradient(attrs: ResizeGradientAttrs, arrays: Arrays) -> Arrays:
    (dy,) = arrays
    dx = dy
    for number, axis in enumerate(attrs.resize.axes, start=1):
        matrix = _matrix(axis, attrs.input_shape[number], attrs.resize.linear, dy.dtype)
        dx = np.moveaxis(np.tensordot(matrix, dx, axes=(0, number)), 0, number)
    return (np.ascontiguousarray(dx),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, ResizeGradientAttrs)
    attrs = node.attrs.resize
    function = f"mg_resize_{'linear' if attrs.linear else 'nearest'}_gradient_float32"
    fields = resize_fields(attrs, node.attrs.input_shape)
    return (KernelCall(function, "mg_resize_params", fields, (node.inputs[0], node.outputs[0])),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, attrs in _cases():
        dy = generator.standard_normal(_resized(attrs, shape)).astype(np.float32)
        yield Sample((dy,), ResizeGradientAttrs(attrs, shape))


RESIZE_GRADIENT = Operator(
    name="resize_gradient",
    inputs=("dy",),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    in_blocks=contracted("block_resize_gradient", unit=lambda attrs: None if attrs.resize.linear else 1.0),
    macs=_macs,
    cost=Cost(input=24, mac=2.0),
)


def _block_call(node: Node, dy: Block, dx: Block) -> Sequence[KernelCall]:
    (call,) = _gradient_call(node)
    function = f"mg_block_resize_nearest_gradient_{dy.codes.dtype.value}"
    return (replace(call, function=function, pointers=(group(dy), group(dx))),)


def _nearest_samples() -> Iterator[Sample]:
    """Sums of what was copied; shares of neighbours have no integer form."""
    for sample in _gradient_samples():
        if isinstance(sample.attrs, ResizeGradientAttrs) and not sample.attrs.resize.linear:
            yield sample


BLOCK_RESIZE_GRADIENT = contraction(
    replace(RESIZE_GRADIENT, samples=_nearest_samples), _block_call, cost=Cost(input=20, output=130)
)
