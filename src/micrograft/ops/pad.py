"""pad: elements put around a tensor along any axes: a constant, the nearest element, or the tensor mirrored.

The gradient adds each element to the one that it was taken from, so nothing is kept.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, Shape, TensorType
from micrograft.ops.concat import SliceAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.moving import moving
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Blocks,
    Field,
    Gradients,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)
from micrograft.ops.strides import MAX_RANK, OUTER, contiguous


class PadMode(enum.IntEnum):
    """What is put around; the values are those of `mg_pad.h`."""

    CONSTANT = 0
    EDGE = 1
    REFLECT = 2
    WRAP = 3


@dataclass(frozen=True)
class PadAttrs(Attrs):
    """pads: (before, after) per axis. value: of a constant pad; around codes it is a code."""

    pads: tuple[tuple[int, int], ...]
    mode: PadMode = PadMode.CONSTANT
    value: float = 0.0


@dataclass(frozen=True)
class PadGradientAttrs(Attrs):
    """input_shape: of the x whose gradient this is."""

    pad: PadAttrs
    input_shape: Shape


def _padded(attrs: PadAttrs, shape: Shape) -> Shape:
    require(len(attrs.pads) == len(shape), f"{len(attrs.pads)} pads do not fit {shape}")
    require(len(_merged(attrs, shape)) <= MAX_RANK, f"{shape} has too many axes to pad")
    room = {PadMode.REFLECT: -1, PadMode.WRAP: 0}.get(attrs.mode)
    for size, pads in zip(shape, attrs.pads, strict=True):
        require(min(pads) >= 0, f"it pads by {min(pads)} elements")
        require(
            room is None or max(pads) <= size + room or max(pads) == 0, f"{size} elements cannot pad by {max(pads)}"
        )
    return tuple(size + before + after for size, (before, after) in zip(shape, attrs.pads, strict=True))


@dataclass(frozen=True)
class _Axis:
    size: int
    before: int
    after: int

    @property
    def padded(self) -> int:
        return self.before + self.size + self.after


def _merged(attrs: PadAttrs, shape: Shape) -> list[_Axis]:
    """The axes, with those that are not padded joined into their left neighbour if that is not padded either.

    Elements inside a padded last axis count as parts of it, where whole places are put around.
    """
    axes: list[_Axis] = []
    for size, (before, after) in zip(shape, attrs.pads, strict=True):
        if axes and before == after == axes[-1].before == axes[-1].after == 0:
            axes[-1] = _Axis(axes[-1].size * size, 0, 0)
        else:
            axes.append(_Axis(size, before, after))
    if len(axes) > 1 and attrs.mode is PadMode.CONSTANT and axes[-1].before == axes[-1].after == 0:
        inner = axes.pop().size
        last = axes.pop()
        axes.append(_Axis(last.size * inner, last.before * inner, last.after * inner))
    return axes


def _fields(attrs: PadAttrs, shape: Shape) -> tuple[Field, ...]:
    axes = _merged(attrs, shape)
    *outer, last = axes
    outer = [_Axis(1, 0, 0)] * (OUTER - len(outer)) + outer
    sizes = (*(axis.size for axis in outer), last.size)
    return (
        ("rows", math.prod(axis.padded for axis in outer)),
        ("shape", tuple(axis.padded for axis in outer)),
        ("sizes", sizes[:-1]),
        ("before", tuple(axis.before for axis in outer)),
        ("steps", contiguous(sizes)[:-1]),
        ("columns", last.padded),
        ("size", last.size),
        ("start", last.before),
        ("mode", int(attrs.mode)),
        ("value", float(attrs.value)),
        ("code", int(np.clip(attrs.value, -128, 127))),
    )


def _infer(attrs: PadAttrs, types: Types) -> Types:
    (x,) = types
    return (replace(x, shape=_padded(attrs, x.shape)),)


def _places(attrs: PadAttrs, size: int, pads: tuple[int, int]) -> Array:
    """For each place of a padded axis, that of the input; −1 where a constant stands."""
    modes = {PadMode.EDGE: "edge", PadMode.REFLECT: "reflect", PadMode.WRAP: "wrap"}
    if attrs.mode is PadMode.CONSTANT:
        return np.pad(np.arange(size), pads, constant_values=-1)
    return np.pad(np.arange(size), pads, mode=modes[attrs.mode])  # type: ignore[call-overload,no-any-return]


def _sources(attrs: PadAttrs, shape: Shape) -> Array:
    """For each element of the output, the number of the input's element; −1 where a constant stands."""
    numbers = np.zeros((), np.int64)
    for size, pads in zip(shape, attrs.pads, strict=True):
        places = _places(attrs, size, pads)
        numbers = numbers[..., None]
        numbers = np.where((numbers < 0) | (places < 0), -1, numbers * size + places)
    return numbers


def _evaluate(attrs: PadAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    sources = _sources(attrs, x.shape)
    return (np.where(sources < 0, x.dtype.type(attrs.value), x.reshape(-1)[np.maximum(sources, 0)]),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, PadAttrs)
    attrs = PadGradientAttrs(node.attrs, node.inputs[0].shape)
    return (backward.emit("pad_gradient", dy, attrs=attrs),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, PadAttrs)
    (x,) = node.inputs
    fields = _fields(node.attrs, x.shape)
    return (KernelCall(moving("pad_axes", x), "mg_pad_axes_params", fields, (x, node.outputs[0])),)


def _cases() -> Iterator[tuple[Shape, PadAttrs]]:
    none = (0, 0)
    yield (1, 4, 5, 3), PadAttrs((none, (1, 2), (0, 1), none))
    yield (1, 4, 5, 3), PadAttrs((none, (1, 2), (3, 1), none), PadMode.REFLECT)
    yield (1, 4, 5, 3), PadAttrs((none, (2, 0), (1, 6), none), PadMode.EDGE)
    yield (1, 4, 3), PadAttrs((none, (4, 1), none), PadMode.WRAP)
    yield (2, 3), PadAttrs(((1, 0), (0, 2)), value=-0.5)
    yield (7,), PadAttrs(((2, 3),), PadMode.REFLECT)
    yield (2, 1, 3, 2, 2), PadAttrs(((1, 1), (1, 0), (0, 1), (1, 1), (0, 1)), PadMode.EDGE)
    yield (1, 6), PadAttrs((none, none))


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, attrs in _cases():
        yield Sample((generator.standard_normal(shape).astype(np.float32),), attrs)
        yield Sample((generator.integers(-128, 128, shape).astype(np.int8),), replace(attrs, value=attrs.value * 18))


PAD = Operator(
    name="pad",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call, DType.INT8: _call},
    gradient=_gradient,
    cost=Cost(output=20),
)


def _infer_gradient(attrs: PadGradientAttrs, types: Types) -> Types:
    (dy,) = types
    expected = _padded(attrs.pad, attrs.input_shape)
    require(dy.shape == expected, f"the gradient has shape {dy.shape}, not {expected}")
    return (TensorType(attrs.input_shape, dy.dtype),)


def _evaluate_gradient(attrs: PadGradientAttrs, arrays: Arrays) -> Arrays:
    (dy,) = arrays
    sources = _sources(attrs.pad, attrs.input_shape)
    dx = np.zeros(math.prod(attrs.input_shape), dy.dtype)
    np.add.at(dx, sources[sources >= 0], dy[sources >= 0])
    return (dx.reshape(attrs.input_shape),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, PadGradientAttrs)
    fields = _fields(node.attrs.pad, node.attrs.input_shape)
    pointers = (node.inputs[0], node.outputs[0])
    return (KernelCall("mg_pad_axes_gradient_float32", "mg_pad_axes_params", fields, pointers),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, attrs in _cases():
        dy = generator.standard_normal(_padded(attrs, shape)).astype(np.float32)
        yield Sample((dy,), PadGradientAttrs(attrs, shape))


def _gradient_in_blocks(blocks: Blocks, node: Node) -> Block | None:
    """Where a constant was put around, the gradient is cut out, axis by axis."""
    dy = blocks.known(node.inputs[0])
    assert isinstance(node.attrs, PadGradientAttrs)
    if dy is None or node.attrs.pad.mode is not PadMode.CONSTANT:
        return None
    codes = dy.codes
    for axis, (size, (before, after)) in enumerate(zip(node.attrs.input_shape, node.attrs.pad.pads, strict=True)):
        if before or after:
            codes = blocks.emit("slice", codes, attrs=SliceAttrs(axis, before, before + size))
    return replace(dy, codes=codes)


PAD_GRADIENT = Operator(
    name="pad_gradient",
    inputs=("dy",),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    in_blocks=_gradient_in_blocks,
    cost=Cost(input=17),
)
