"""concat, its inverse slice, and slice_gradient, which puts a slice back between zeros.

Along the axes from `axis` on, a tensor is seen as rows: a part of the axis is a run of elements in each row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Shape, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.moving import each_type, for_all_moved, moved_in_blocks, moving
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
from micrograft.ops.strides import contiguous, walk


@dataclass(frozen=True)
class ConcatAttrs(Attrs):
    """axis: counted from the front."""

    axis: int


def _resized(type_: TensorType, axis: int, size: int) -> TensorType:
    """`type_` with another length of one axis."""
    return replace(type_, shape=(*type_.shape[:axis], size, *type_.shape[axis + 1 :]))


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
        calls.append(KernelCall(moving("copy", x), "mg_copy_params", fields, (x, Pointer(y, offset))))
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
    samples=each_type(_samples),
    kernels=for_all_moved(_call),
    gradient=_gradient,
    cost=Cost(output=5),
)


@dataclass(frozen=True)
class SliceAttrs(Attrs):
    """Of an axis, counted from the front, every `step`-th index from start to stop − 1."""

    axis: int
    start: int
    stop: int
    step: int = 1

    @property
    def size(self) -> int:
        """How many indices that are."""
        return len(range(self.start, self.stop, self.step))


def _infer_slice(attrs: SliceAttrs, types: Types) -> Types:
    (x,) = types
    require(
        0 <= attrs.axis < len(x.shape) and 0 <= attrs.start < attrs.stop <= x.shape[attrs.axis] and attrs.step > 0,
        f"{x.shape} has no indices {attrs.start} to {attrs.stop} in steps of {attrs.step} along axis {attrs.axis}",
    )
    return (_resized(x, attrs.axis, attrs.size),)


def _evaluate_slice(attrs: SliceAttrs, arrays: Arrays) -> Arrays:
    index = (slice(None),) * attrs.axis + (slice(attrs.start, attrs.stop, attrs.step),)
    return (np.ascontiguousarray(arrays[0][index]),)


def _slice_back(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, SliceAttrs)
    size = node.inputs[0].shape[node.attrs.axis]
    attrs = SliceGradientAttrs(node.attrs.axis, node.attrs.start, size, node.attrs.step)
    return (backward.emit("slice_gradient", dy, attrs=attrs),)


def _slice_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, SliceAttrs)
    x, y, axis = node.inputs[0], node.outputs[0], node.attrs.axis
    start = node.attrs.start * _row(x.shape, axis + 1)
    if node.attrs.step != 1:
        way = _stepped(y.shape, x.shape, axis, node.attrs.step)
        return (KernelCall(moving("transpose", x), "mg_transpose_params", way, (Pointer(x, start), y)),)
    row = _row(y.shape, axis)
    fields = (("rows", y.type.size // row), ("columns", row), ("x_stride", _row(x.shape, axis)), ("y_stride", row))
    return (KernelCall(moving("copy", x), "mg_copy_params", fields, (Pointer(x, start), y)),)


def _stepped(part: Shape, whole: Shape, axis: int, step: int) -> tuple[tuple[str, int | tuple[int, ...]], ...]:
    """The walk over every `step`-th index of `axis`, of which there are those of `part`; the fields of a kernel."""
    strides = [each * step if index == axis else each for index, each in enumerate(contiguous(whole))]
    way = walk(part, strides)
    (stride,) = way.strides
    return (
        ("rows", way.rows),
        ("columns", way.columns),
        ("shape", way.shape),
        ("x_step", stride.step),
        ("x_jump", stride.jumps),
    )


def _slice_samples() -> Iterator[Sample]:
    x = np.random.default_rng(2).standard_normal((2, 5, 3)).astype(np.float32)
    for attrs in [SliceAttrs(1, 0, 2), SliceAttrs(2, 1, 3), SliceAttrs(1, 4, 5), SliceAttrs(0, 1, 2),
                  SliceAttrs(1, 0, 5, 2), SliceAttrs(2, 1, 3, 3), SliceAttrs(1, 1, 5, 3)]:  # fmt: skip
        yield Sample((x,), attrs)


SLICE = Operator(
    name="slice",
    inputs=("x",),
    infer=_infer_slice,
    evaluate=_evaluate_slice,
    samples=each_type(_slice_samples),
    kernels=for_all_moved(_slice_call),
    gradient=_slice_back,
    in_blocks=moved_in_blocks,
    cost=Cost(output=5),
)


@dataclass(frozen=True)
class SliceGradientAttrs(Attrs):
    """Where the slice began, how long the axis is that it was cut from, and the step."""

    axis: int
    start: int
    size: int
    step: int = 1


def _infer_slice_gradient(attrs: SliceGradientAttrs, types: Types) -> Types:
    (dy,) = types
    require(
        0 <= attrs.axis < len(dy.shape)
        and 0 <= attrs.start <= attrs.size - (dy.shape[attrs.axis] - 1) * attrs.step - 1,
        f"{dy.shape} does not fit into {attrs.size} from index {attrs.start} on",
    )
    return (_resized(dy, attrs.axis, attrs.size),)


def _evaluate_slice_gradient(attrs: SliceGradientAttrs, arrays: Arrays) -> Arrays:
    (dy,) = arrays
    dx = np.zeros((*dy.shape[: attrs.axis], attrs.size, *dy.shape[attrs.axis + 1 :]), dy.dtype)
    stop = attrs.start + dy.shape[attrs.axis] * attrs.step
    dx[(slice(None),) * attrs.axis + (slice(attrs.start, stop, attrs.step),)] = dy
    return (dx,)


def _slice_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, SliceGradientAttrs)
    dy, dx, axis = node.inputs[0], node.outputs[0], node.attrs.axis
    if node.attrs.step != 1:
        way = _stepped(dy.shape, dx.shape, axis, node.attrs.step)
        start = node.attrs.start * _row(dx.shape, axis + 1)
        fields = (("size", dx.type.size), ("start", start), *way)
        return (KernelCall(moving("scatter", dy), "mg_scatter_params", fields, (dy, dx)),)
    columns = _row(dy.shape, axis)
    before = node.attrs.start * _row(dx.shape, axis + 1)
    after = _row(dx.shape, axis) - before - columns
    pads = (("rows", dy.type.size // columns), ("before", before), ("columns", columns), ("after", after))
    return (KernelCall(moving("pad", dy), "mg_pad_params", pads, (dy, dx)),)


def _slice_gradient_samples() -> Iterator[Sample]:
    dy = np.random.default_rng(3).standard_normal((2, 2, 3)).astype(np.float32)
    for attrs in [SliceGradientAttrs(1, 1, 5), SliceGradientAttrs(2, 0, 4), SliceGradientAttrs(0, 1, 3),
                  SliceGradientAttrs(1, 1, 5, 2), SliceGradientAttrs(2, 1, 8, 3)]:  # fmt: skip
        yield Sample((dy,), attrs)


SLICE_GRADIENT = Operator(
    name="slice_gradient",
    inputs=("dy",),
    infer=_infer_slice_gradient,
    evaluate=_evaluate_slice_gradient,
    samples=each_type(_slice_gradient_samples),
    kernels=for_all_moved(_slice_gradient_call),
    in_blocks=moved_in_blocks,
    cost=Cost(output=4, input=2),
)
