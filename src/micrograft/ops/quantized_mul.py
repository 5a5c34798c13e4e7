"""quantized_mul: the product of two int8 tensors of any scales, rounded once to the output's (TensorFlow Lite's MUL).

Either is stretched as NumPy does. The gradient of a factor is the sum of that of the product times the other factor's
codes, which the backward pass keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import DType, Quantization, Shape, Value
from micrograft.ops.arithmetic import SHAPES, stretched_shape, sum_to
from micrograft.ops.block import contracted, contraction, group
from micrograft.ops.broadcast import broadcast_fields
from micrograft.ops.cost import Cost
from micrograft.ops.fixed_point import Rounding, multiplier_of
from micrograft.ops.operator import Arrays, Backward, Field, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.quantized_add import infer_of_two
from micrograft.ops.requantization import Codes, codes_gradient, sample_codes, with_mask
from micrograft.ops.strides import stretched, walk


@dataclass(frozen=True)
class QuantizedMulAttrs(Attrs):
    """a, b: what the inputs' codes mean; y: the output's, and its clamp."""

    a: Quantization
    b: Quantization
    y: Codes

    @property
    def factor(self) -> float:
        """What a product of codes is multiplied by."""
        return self.a.scale * self.b.scale / self.y.quant.scale


@dataclass(frozen=True)
class ProductGradientAttrs(Attrs):
    """shape: of the factor whose gradient this is. zero: of the other factor's codes. unit: of a product."""

    shape: Shape
    zero: int
    unit: float


def _infer(attrs: QuantizedMulAttrs, types: Types) -> Types:
    return infer_of_two(attrs.a, attrs.b, attrs.y, types)


def _evaluate(attrs: QuantizedMulAttrs, arrays: Arrays) -> Arrays:
    a, b = (array.astype(np.int64) - quant.zero for array, quant in zip(arrays, (attrs.a, attrs.b), strict=True))
    y = attrs.y.of(attrs.y.rescaled(a * b, *multiplier_of(attrs.factor)))
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, QuantizedMulAttrs)
    passed = codes_gradient(backward, node, dy)

    def part(value: Value, other: Value, zero: int) -> Value | None:
        own = ProductGradientAttrs(value.shape, zero, attrs.factor)
        return backward.emit("product_gradient", passed, other, attrs=own) if backward.needs(value) else None

    a, b = node.inputs
    return part(a, b, attrs.b.zero), part(b, a, attrs.a.zero)


def _call(node: Node) -> tuple[KernelCall, ...]:
    a, b = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedMulAttrs)
    fields = (
        *broadcast_fields(a.shape, b.shape, node.outputs[0].shape),
        ("a_zero", attrs.a.zero),
        ("b_zero", attrs.b.zero),
        ("factor", multiplier_of(attrs.factor)),
        attrs.y.field,
    )
    call = KernelCall("mg_mul_int8", "mg_mul_int8_params", fields, (a, b, node.outputs[0]))
    return with_mask(call, node, attrs.y)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    a, b, y = Quantization((0.0625,), (-128,)), Quantization((0.01,), (4,)), Quantization((0.05,), (-20,))
    for left, right in SHAPES:
        arrays = sample_codes(generator, left), sample_codes(generator, right)
        yield Sample(arrays, QuantizedMulAttrs(a, b, Codes(y)))
        yield Sample(arrays, QuantizedMulAttrs(a, b, Codes(y, -20, 90, Rounding.ONCE)))


QUANTIZED_MUL = Operator(
    name="quantized_mul",
    inputs=("a", "b"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    inplace=((0, 0), (0, 1)),
    macs=lambda node: node.outputs[0].type.size,
    cost=Cost(output=54, optional=14),
)


def _infer_gradient(attrs: ProductGradientAttrs, types: Types) -> Types:
    dy, other = types
    require(other.dtype is DType.INT8, f"the other factor is {other.dtype.value}, not int8")
    shapes = stretched_shape(dy.shape, other.shape), stretched_shape(dy.shape, attrs.shape)
    require(shapes == (dy.shape, dy.shape), f"{other.shape} and {attrs.shape} do not stretch to {dy.shape}")
    return (replace(dy, shape=attrs.shape),)


def _evaluate_gradient(attrs: ProductGradientAttrs, arrays: Arrays) -> Arrays:
    dy, other = arrays
    products = dy * (other.astype(np.float64) - attrs.zero).astype(dy.dtype)
    return (np.asarray(sum_to(products, attrs.shape) * dy.dtype.type(attrs.unit)),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, other = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ProductGradientAttrs)
    own = (1,) * (len(dy.shape) - len(attrs.shape)) + attrs.shape
    along = tuple(each if kept == 1 else 1 for each, kept in zip(dy.shape, own, strict=True))
    strides = stretched(dy.shape, dy.shape), stretched(other.shape, dy.shape)
    fields: list[Field] = []
    for prefix, shape in (("", own), ("sum_", along)):
        way = walk(shape, *strides)
        gradient, factor = way.strides
        fields += [
            (f"{prefix}rows", way.rows),
            (f"{prefix}columns", way.columns),
            (f"{prefix}shape", way.shape),
            (f"dy_{prefix}step", gradient.step),
            (f"other_{prefix}step", factor.step),
            (f"dy_{prefix}jump", gradient.jumps),
            (f"other_{prefix}jump", factor.jumps),
        ]
    fields += [("zero", attrs.zero), ("unit", float(attrs.unit))]
    pointers = (dy, other, node.outputs[0])
    return (KernelCall("mg_product_gradient_float32", "mg_product_gradient_params", tuple(fields), pointers),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for left, right in SHAPES:
        shape = stretched_shape(left, right)
        dy = np.asarray(generator.standard_normal(shape), np.float32)
        yield Sample((dy, sample_codes(generator, right)), ProductGradientAttrs(left, -7, 0.01))


PRODUCT_GRADIENT = Operator(
    name="product_gradient",
    inputs=("dy", "other"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    in_blocks=contracted("block_product_gradient", unit=lambda attrs: attrs.unit),
    macs=lambda node: node.inputs[0].type.size,
    cost=Cost(input=12, output=100),
)


def _whole(attrs: ProductGradientAttrs, arrays: Arrays) -> Arrays:
    """The gradient without its unit."""
    return _evaluate_gradient(replace(attrs, unit=1.0), arrays)


def _block_call(node: Node, dy: Block, dx: Block) -> Sequence[KernelCall]:
    (call,) = _gradient_call(node)
    function = f"mg_block_product_gradient_{dy.codes.dtype.value}"
    return (replace(call, function=function, pointers=(group(dy), node.inputs[1], group(dx))),)


BLOCK_PRODUCT_GRADIENT = contraction(
    replace(PRODUCT_GRADIENT, evaluate=_whole), _block_call, cost=Cost(input=35, output=110)
)
