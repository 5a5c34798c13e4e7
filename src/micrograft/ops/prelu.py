"""prelu: y = x above zero, else slope·x; leaky ReLU is a prelu with a constant slope.

slope stretches to x. The backward pass keeps one bit per element, and x only where the slope is trained.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType
from micrograft.ops.arithmetic import SumToAttrs
from micrograft.ops.broadcast import broadcast_fields
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.strides import MAX_RANK, broadcast_shape, contiguous, stretched, walk

_SHAPES: tuple[tuple[Shape, Shape], ...] = (
    ((1, 9), (9,)),
    ((1, 4, 3, 6), (6,)),
    ((1, 4, 3, 6), (1,)),
    ((2, 3, 5), (3, 1)),
    ((1, 7), ()),
)


def _infer(attrs: Attrs, types: Types) -> Types:
    x, slope = types
    require(broadcast_shape(x.shape, slope.shape) == x.shape, f"a slope of {slope.shape} does not stretch to {x.shape}")
    require(len(x.shape) <= MAX_RANK, f"{x.shape} has more than {MAX_RANK} axes")
    return x, TensorType(x.shape, DType.BIT)


def _evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
    x, slope = arrays
    return np.where(x > 0, x, slope * x), x > 0


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, slope = node.inputs
    dy = gradients[0]
    assert dy is not None
    dx = backward.emit("prelu_gradient", dy, slope, backward.keep(node, "mask")) if backward.needs(x) else None
    if not backward.needs(slope):
        return dx, None
    return dx, backward.emit("prelu_slope_gradient", dy, x, attrs=SumToAttrs(slope.shape))


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, slope = node.inputs
    y, *mask = node.outputs
    fields = broadcast_fields(x.shape, slope.shape, y.shape)
    return (KernelCall("mg_prelu_float32", "mg_broadcast_params", fields, (x, slope, y, mask[0] if mask else None)),)


def _cases() -> Iterator[tuple[Array, Array]]:
    generator = np.random.default_rng(1)
    for shape, slope in _SHAPES:
        x = generator.uniform(-3, 3, shape)
        x[np.abs(x) < 0.05] = 1.0  # finite differences are meaningless at a corner
        yield x.astype(np.float32), np.asarray(generator.uniform(-0.2, 0.5, slope), np.float32)


def _samples() -> Iterator[Sample]:
    for x, slope in _cases():
        yield Sample((x, slope))


PRELU = Operator(
    name="prelu",
    inputs=("x", "slope"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=19, optional=9),
)


def _infer_gradient(attrs: Attrs, types: Types) -> Types:
    dy, slope, mask = types
    require(dy.size == mask.size, "the mask does not match the gradient")
    return (_infer(attrs, (dy, slope))[0],)


def _evaluate_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    dy, slope, mask = arrays
    return (np.where(mask, dy, slope * dy),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, slope, _ = node.inputs
    fields = broadcast_fields(dy.shape, slope.shape, dy.shape)
    pointers = (*node.inputs, node.outputs[0])
    return (KernelCall("mg_prelu_gradient_float32", "mg_broadcast_params", fields, pointers),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for x, slope in _cases():
        yield Sample((generator.standard_normal(x.shape).astype(np.float32), slope, x > 0))


PRELU_GRADIENT = Operator(
    name="prelu_gradient",
    inputs=("dy", "slope", "mask"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    inplace=((0, 0),),
    cost=Cost(output=20),
)


def _infer_slope(attrs: SumToAttrs, types: Types) -> Types:
    dy, x = types
    require(dy == x, "the gradient does not match the input")
    return (TensorType(attrs.shape, dy.dtype),)


def _evaluate_slope(attrs: SumToAttrs, arrays: Arrays) -> Arrays:
    dy, x = arrays
    product = dy * np.minimum(x, 0)
    padded = (1,) * (x.ndim - len(attrs.shape)) + attrs.shape
    axes = tuple(axis for axis, size in enumerate(padded) if size == 1)
    return (np.asarray(product.sum(axis=axes, keepdims=True)).reshape(attrs.shape),)


def _slope_call(node: Node) -> tuple[KernelCall, ...]:
    dy, x = node.inputs
    y = node.outputs[0]
    way = walk(x.shape, contiguous(x.shape), contiguous(x.shape), stretched(y.shape, x.shape))
    left, right, to = way.strides
    fields = (
        ("size", y.type.size),
        ("rows", way.rows),
        ("columns", way.columns),
        ("shape", way.shape),
        ("a_step", left.step),
        ("b_step", right.step),
        ("y_step", to.step),
        ("a_jump", left.jumps),
        ("b_jump", right.jumps),
        ("y_jump", to.jumps),
    )
    return (KernelCall("mg_prelu_slope_gradient_float32", "mg_mul_sum_to_params", fields, (dy, x, y)),)


def _slope_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for x, slope in _cases():
        yield Sample((generator.standard_normal(x.shape).astype(np.float32), x), SumToAttrs(slope.shape))


PRELU_SLOPE_GRADIENT = Operator(
    name="prelu_slope_gradient",
    inputs=("dy", "x"),
    infer=_infer_slope,
    evaluate=_evaluate_slope,
    samples=_slope_samples,
    kernels={DType.FLOAT32: _slope_call},
    macs=lambda node: node.inputs[0].type.size,
    cost=Cost(input=14, output=5),
)
