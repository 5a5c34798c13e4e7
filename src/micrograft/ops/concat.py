"""concat, its inverse slice, and slice_gradient, which puts a slice back between zeros.

Along the axes from `axis` on, a tensor is seen as rows: a part of the axis is a run of elements in each row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Shape, TensorType
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    Operator,
    Pointer,
    Sample,
    Types,
    require,
)


@dataclass(frozen=True)
class ConcatAttrs(Attrs):
    """axis: counted from the front."""

    axis: int


def _resized(type_: TensorType, axis: int, size: int) -> TensorType:
    """`type_` with another length of one axis."""
    return TensorType((*type_.shape[:axis], size, *type_.shape[axis + 1 :]), type_.dtype)


def _row(shape: Shape, axis: int) -> int:
    """Elements of a row: of `axis` and those inside it."""
    return math.prod(shape[axis:])


def _infer(attrs: ConcatAttrs, types: Types) -> Types:
    require(len(types) >= 1, "there is nothing to concatenate")
    require(
        all(0 <= attrs.axis < len(each.shape) for each in types)
        and len({_resized(each, attrs.axis, 0) for each in types}) == 1,
        f"{', '.join(map(str, types))} cannot be joined along axis {attrs.axis}",
    )
    return (_resized(types[0], attrs.axis, sum(each.shape[attrs.axis] for each in types)),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, ConcatAttrs)
    found, start, axis = [], 0, node.attrs.axis
    for x in node.inputs:
        stop = start + x.shape[axis]
        attrs = SliceAttrs(axis, start, stop)
        found.append(backward.emit("slice", dy, attrs=attrs) if backward.needs(x) else None)
        start = stop
    return found


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, ConcatAttrs)
    y, axis = node.outputs[0], node.attrs.axis
    calls, offset = [], 0
    for x in node.inputs:
        row = _row(x.shape, axis)
        fields = (
            ("rows", x.type.size // row),
            ("columns", row),
            ("x_stride", row),
            ("y_stride", _row(y.shape, axis)),
        )
        calls.append(KernelCall("mg_copy_float32", "mg_copy_params", fields, (x, Pointer(y, offset))))
        offset += row
    return tuple(calls)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    cases: list[tuple[int, list[Shape]]] = [
        (1, [(1, 3), (1, 4)]),
        (3, [(1, 2, 3, 4), (1, 2, 3, 1), (1, 2, 3, 2)]),
        (0, [(2, 3)]),
    ]
    for axis, shapes in cases:
        arrays = (generator.standard_normal(shape).astype(np.float32) for shape in shapes)
        yield Sample(tuple(arrays), ConcatAttrs(axis))


CONCAT = Operator(
    name="concat",
    inputs=("x*",),
    infer=_infer,
    evaluate=lambda attrs, arrays: (np.concatenate(arrays, axis=attrs.axis),),
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
)


@dataclass(frozen=True)
class SliceAttrs(Attrs):
    """Indices start … stop − 1 of an axis, counted from the front."""

    axis: int
    start: int
    stop: int


def _infer_slice(attrs: SliceAttrs, types: Types) -> Types:
    (x,) = types
    require(
        0 <= attrs.axis < len(x.shape) and 0 <= attrs.start < attrs.stop <= x.shape[attrs.axis],
        f"{x.shape} has no indices {attrs.start} to {attrs.stop} along axis {attrs.axis}",
    )
    return (_resized(x, attrs.axis, attrs.stop - attrs.start),)


def _evaluate_slice(attrs: SliceAttrs, arrays: Arrays) -> Arrays:
    index = (slice(None),) * attrs.axis + (slice(attrs.start, attrs.stop),)
    return (np.ascontiguousarray(arrays[0][index]),)


def _slice_back(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, SliceAttrs)
    attrs = SliceGradientAttrs(node.attrs.axis, node.attrs.start, node.inputs[0].shape[node.attrs.axis])
    return (backward.emit("slice_gradient", dy, attrs=attrs),)


def _slice_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, SliceAttrs)
    x, y, axis = node.inputs[0], node.outputs[0], node.attrs.axis
    row = _row(y.shape, axis)
    fields = (("rows", y.type.size // row), ("columns", row), ("x_stride", _row(x.shape, axis)), ("y_stride", row))
    start = node.attrs.start * _row(x.shape, axis + 1)
    return (KernelCall("mg_copy_float32", "mg_copy_params", fields, (Pointer(x, start), y)),)


def _slice_samples() -> Iterator[Sample]:
    x = np.random.default_rng(2).standard_normal((2, 5, 3)).astype(np.float32)
    for attrs in [SliceAttrs(1, 0, 2), SliceAttrs(2, 1, 3), SliceAttrs(1, 4, 5), SliceAttrs(0, 1, 2)]:
        yield Sample((x,), attrs)


SLICE = Operator(
    name="slice",
    inputs=("x",),
    infer=_infer_slice,
    evaluate=_evaluate_slice,
    samples=_slice_samples,
    kernels={DType.FLOAT32: _slice_call},
    gradient=_slice_back,
)


@dataclass(frozen=True)
class SliceGradientAttrs(Attrs):
    """Where the slice began, and how long the axis is that it was cut from."""

    axis: int
    start: int
    size: int


def _infer_slice_gradient(attrs: SliceGradientAttrs, types: Types) -> Types:
    (dy,) = types
    require(
        0 <= attrs.axis < len(dy.shape) and 0 <= attrs.start <= attrs.size - dy.shape[attrs.axis],
        f"{dy.shape} does not fit into {attrs.size} from index {attrs.start} on",
    )
    return (_resized(dy, attrs.axis, attrs.size),)


def _evaluate_slice_gradient(attrs: SliceGradientAttrs, arrays: Arrays) -> Arrays:
    (dy,) = arrays
    widths = [(0, 0)] * dy.ndim
    widths[attrs.axis] = (attrs.start, attrs.size - attrs.start - dy.shape[attrs.axis])
    return (np.pad(dy, widths),)


def _slice_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, SliceGradientAttrs)
    dy, dx, axis = node.inputs[0], node.outputs[0], node.attrs.axis
    columns = _row(dy.shape, axis)
    before = node.attrs.start * _row(dx.shape, axis + 1)
    after = _row(dx.shape, axis) - before - columns
    fields = (("rows", dy.type.size // columns), ("before", before), ("columns", columns), ("after", after))
    return (KernelCall("mg_pad_float32", "mg_pad_params", fields, (dy, dx)),)


def _slice_gradient_samples() -> Iterator[Sample]:
    dy = np.random.default_rng(3).standard_normal((2, 2, 3)).astype(np.float32)
    for attrs in [SliceGradientAttrs(1, 1, 5), SliceGradientAttrs(2, 0, 4), SliceGradientAttrs(0, 1, 3)]:
        yield Sample((dy,), attrs)


SLICE_GRADIENT = Operator(
    name="slice_gradient",
    inputs=("dy",),
    infer=_infer_slice_gradient,
    evaluate=_evaluate_slice_gradient,
    samples=_slice_gradient_samples,
    kernels={DType.FLOAT32: _slice_gradient_call},
)
