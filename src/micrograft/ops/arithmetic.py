"""add, sub and mul with NumPy's broadcasting, and the sums that their gradients need.

Where an operand was stretched, its gradient is the sum over the axes along which it was (`sum_to`). For mul
the product and its sum are one node (`mul_sum_to`), so that a scale per channel needs no buffer for the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.block import BlockAddAttrs, short_factor
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Backward,
    Blocks,
    GradientRule,
    Gradients,
    KernelCall,
    KernelRule,
    Operator,
    Sample,
    ShapeError,
    Types,
    no_macs,
    require,
)
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.scale import ScaleAttrs
from micrograft.ops.strides import MAX_RANK, broadcast_shape, contiguous, stretched, walk

SHAPES = (
    ((1, 7), (1, 7)),
    ((2, 3, 5), (5,)),
    ((5,), (2, 3, 5)),
    ((1, 4, 4, 6), (1, 1, 1, 6)),
    ((1, 4, 3, 6), (1, 4, 3, 1)),
    ((2, 9), ()),
    ((1, 1), (3, 9)),
    ((3, 1, 5), (2, 1)),
    ((1, 3, 1, 2, 1), (2, 1, 4, 1, 3)),
)


def _infer(attrs: Attrs, types: Types) -> Types:
    a, b = types
    require(a.dtype is b.dtype, f"{a} and {b} do not go together")
    return (TensorType(stretched_shape(a.shape, b.shape), a.dtype),)


def stretched_shape(a: Shape, b: Shape) -> Shape:
    """The shape to which both stretch. Raises ShapeError."""
    shape = broadcast_shape(a, b)
    if shape is None:
        raise ShapeError(f"{a} and {b} do not go together")
    require(len(shape) <= MAX_RANK, f"{shape} has more than {MAX_RANK} axes")
    return shape


def sum_back(backward: Backward, dy: Value, shape: Shape) -> Value:
    """The gradient of a value of `shape` that was stretched to the shape of `dy`; `dy` itself where it was not."""
    if dy.shape == shape:
        return dy
    if dy.type.size == TensorType(shape).size:
        return backward.emit("reshape", dy, attrs=ReshapeAttrs(shape))
    return backward.emit("sum_to", dy, attrs=SumToAttrs(shape))


def _add_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return tuple(sum_back(backward, dy, each.shape) if backward.needs(each) else None for each in node.inputs)


def _sub_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    da, db = _add_gradient(backward, node, gradients)
    return da, backward.emit("scale", db, attrs=ScaleAttrs(-1.0)) if db else None


def _mul_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    a, b = node.inputs
    (dy,) = gradients
    assert dy is not None
    return (
        _factor_gradient(backward, dy, b, a) if backward.needs(a) else None,
        _factor_gradient(backward, dy, a, b) if backward.needs(b) else None,
    )


def _factor_gradient(backward: Backward, dy: Value, other: Value, factor: Value) -> Value:
    """The gradient of one factor, from that of the product and the other factor."""
    if dy.type.size != factor.type.size:
        return backward.emit("mul_sum_to", dy, other, attrs=SumToAttrs(factor.shape))
    return sum_back(backward, backward.emit("mul", dy, other), factor.shape)


def _kernel(function: str) -> KernelRule:
    def call(node: Node) -> tuple[KernelCall, ...]:
        a, b = node.inputs
        y = node.outputs[0]
        way = walk(y.shape, stretched(a.shape, y.shape), stretched(b.shape, y.shape))
        left, right = way.strides
        fields = (
            ("rows", way.rows),
            ("columns", way.columns),
            ("shape", way.shape),
            ("a_step", left.step),
            ("b_step", right.step),
            ("a_jump", left.jumps),
            ("b_jump", right.jumps),
        )
        return (KernelCall(function, "mg_broadcast_params", fields, (a, b, y)),)

    return call


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for a, b in SHAPES:
        arrays = (np.asarray(generator.standard_normal(shape), np.float32) for shape in (a, b))
        yield Sample(tuple(arrays))


def _binary(
    name: str,
    evaluate: Callable[[Array, Array], Array],
    gradient: GradientRule,
    cost: Cost,
    macs: Callable[[Node], int] = no_macs,
) -> Operator:
    return Operator(
        name=name,
        inputs=("a", "b"),
        infer=_infer,
        evaluate=lambda attrs, arrays: (evaluate(*arrays),),
        samples=_samples,
        kernels={DType.FLOAT32: _kernel(f"mg_{name}_float32")},
        gradient=gradient,
        inplace=((0, 0), (0, 1)),
        elementwise=True,
        macs=macs,
        cost=cost,
    )


def _add_in_blocks(blocks: Blocks, node: Node) -> Block | None:
    """The sum of two gradients of one value, in the unit of the first."""
    if not any(blocks.known(value) for value in node.inputs) or len({value.shape for value in node.inputs}) > 1:
        return None
    a, b = (blocks.of(value) for value in node.inputs)
    attrs = BlockAddAttrs(short_factor(1.0), short_factor(b.unit / a.unit))
    return blocks.new("block_add", a.codes, a.scale, b.codes, b.scale, unit=a.unit, attrs=attrs)


ADD = replace(_binary("add", np.add, _add_gradient, Cost(output=6.3)), in_blocks=_add_in_blocks)
SUB = _binary("sub", np.subtract, _sub_gradient, Cost(output=6.5))
MUL = _binary("mul", np.multiply, _mul_gradient, Cost(output=7.3), lambda node: node.outputs[0].type.size)


@dataclass(frozen=True)
class ExpandAttrs(Attrs):
    """shape: of the output, to which the input is stretched."""

    shape: Shape


@dataclass(frozen=True)
class SumToAttrs(Attrs):
    """shape: of the output, which stretches to that of the input."""

    shape: Shape


def _infer_sum(attrs: SumToAttrs, types: Types) -> Types:
    shape = broadcast_shape(*(type_.shape for type_ in types))
    if shape is None or broadcast_shape(shape, attrs.shape) != shape:
        raise ShapeError(f"{attrs.shape} does not stretch to {shape}")
    require(len(shape) <= MAX_RANK, f"{shape} has more than {MAX_RANK} axes")
    return (TensorType(attrs.shape, types[0].dtype),)


def sum_to(x: Array, shape: Shape) -> Array:
    """The sum of `x` over the axes along which `shape` stretches to its shape."""
    padded = (1,) * (x.ndim - len(shape)) + shape
    axes = tuple(axis for axis, size in enumerate(padded) if size == 1 and x.shape[axis] != 1)
    return np.asarray(x.sum(axis=axes, keepdims=True)).reshape(shape)


def _sum_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("expand", dy, attrs=ExpandAttrs(node.inputs[0].shape)),)


def _sum_call(node: Node) -> tuple[KernelCall, ...]:
    x, y = node.inputs[0], node.outputs[0]
    way = walk(x.shape, contiguous(x.shape), stretched(y.shape, x.shape))
    to = way.strides[1]
    fields = (
        ("size", y.type.size),
        ("rows", way.rows),
        ("columns", way.columns),
        ("shape", way.shape),
        ("y_step", to.step),
        ("y_jump", to.jumps),
    )
    return (KernelCall("mg_sum_to_float32", "mg_sum_to_params", fields, (x, y)),)


def _sum_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, to in [
        ((2, 3, 5), (5,)), ((1, 4, 4, 6), (1, 1, 1, 6)), ((2, 3, 5), (2, 3, 1)), ((2, 9), (1,)), ((2, 3, 4), (3, 1)),
        ((2, 3, 4, 2, 3), (1, 3, 1, 2, 1)), ((1, 8), (1, 8)),
    ]:  # fmt: skip
        yield Sample((generator.standard_normal(shape).astype(np.float32),), SumToAttrs(to))


SUM_TO = Operator(
    name="sum_to",
    inputs=("x",),
    infer=_infer_sum,
    evaluate=lambda attrs, arrays: (sum_to(arrays[0], attrs.shape),),
    samples=_sum_samples,
    kernels={DType.FLOAT32: _sum_call},
    gradient=_sum_gradient,
    cost=Cost(output=6, input=14),
)


def _mul_sum_call(node: Node) -> tuple[KernelCall, ...]:
    a, b = node.inputs
    y = node.outputs[0]
    shape = broadcast_shape(a.shape, b.shape)
    assert shape is not None
    way = walk(shape, *(stretched(each.shape, shape) for each in (a, b, y)))
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
    return (KernelCall("mg_mul_sum_to_float32", "mg_mul_sum_to_params", fields, (a, b, y)),)


def _mul_sum_macs(node: Node) -> int:
    return max(value.type.size for value in node.inputs)


def _mul_sum_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for a, b, to in [
        ((2, 3, 5), (2, 3, 5), (5,)), ((1, 4, 4, 6), (1, 4, 4, 6), (1, 1, 1, 6)), ((2, 9), (2, 9), ()),
        ((2, 3, 4), (2, 1, 4), (3, 1)), ((2, 3, 4), (2, 1, 4), (3, 1)), ((3, 6), (6,), (1,)),
    ]:  # fmt: skip
        arrays = (generator.standard_normal(shape).astype(np.float32) for shape in (a, b))
        yield Sample(tuple(arrays), SumToAttrs(to))


MUL_SUM_TO = Operator(
    name="mul_sum_to",
    inputs=("a", "b"),
    infer=_infer_sum,
    evaluate=lambda attrs, arrays: (sum_to(arrays[0] * arrays[1], attrs.shape),),
    samples=_mul_sum_samples,
    kernels={DType.FLOAT32: _mul_sum_call},
    macs=_mul_sum_macs,
    cost=Cost(input=13, output=28),
)
