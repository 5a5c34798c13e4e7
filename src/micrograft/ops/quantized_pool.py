"""quantized_average_pool and quantized_mean: means of int8 codes.

The pool keeps the scale of its input and rounds the mean of the codes, ties away from zero (TensorFlow Lite's
AVERAGE_POOL_2D) or, with Rounding.ONCE, to an even number of steps; padding does not count. The mean is over all
positions, with one factor to the output's scale.
x: (1, *spatial, C) int8; y: (1, *positions, C) or (1, 1.., C) int8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, TensorType
from micrograft.ops.average_pool import AVERAGE_POOL, AveragePoolAttrs, AveragePoolGradientAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.fixed_point import HIGH, LOW, Rounding, clamped, factor_of, scaled_sum
from micrograft.ops.global_average_pool import GLOBAL_AVERAGE_POOL, GlobalAveragePoolGradientAttrs
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import Codes, check_codes, codes_gradient, sample_codes, with_mask
from micrograft.ops.scale import ScaleAttrs
from micrograft.ops.window import pool_cost


@dataclass(frozen=True)
class QuantizedAveragePoolAttrs(Attrs):
    """y: what the codes of input and output mean, and the clamp of an activation behind the pool."""

    pool: AveragePoolAttrs
    y: Codes


@dataclass(frozen=True)
class QuantizedMeanAttrs(Attrs):
    """multiplier, shift: the factor on the sum of all codes less the zero point. y: the output's codes."""

    x_zero: int
    multiplier: int
    shift: int
    y: Codes


def _infer_pool(attrs: QuantizedAveragePoolAttrs, types: Types) -> Types:
    (x,) = types
    check_codes(x, attrs.y.quant.zero)
    require(not attrs.pool.count_include_pad, "padding does not count in a mean of codes")
    (real,) = AVERAGE_POOL.infer(attrs.pool, types)
    return replace(x, shape=real.shape), TensorType(real.shape, DType.BIT)


def _evaluate_pool(attrs: QuantizedAveragePoolAttrs, arrays: Arrays) -> Arrays:
    x = arrays[0].astype(np.int64)
    rank = len(attrs.pool.kernel)
    sums = attrs.pool.window.view(x).sum(axis=tuple(range(rank + 1, 2 * rank + 1)))
    counts = attrs.pool.counts(x.shape).astype(np.int64)
    if attrs.y.rounding is Rounding.ONCE:
        twice = 2 * (sums - counts * attrs.y.quant.zero) + counts
        nearest = twice // (2 * counts)
        means = np.where(twice % (2 * counts) == 0, nearest & ~1, nearest) + attrs.y.quant.zero
    else:
        means = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
    y = clamped(means, attrs.y.low, attrs.y.high)
    return y, attrs.y.mask(y)


def _pool_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy = gradients[0]
    assert dy is not None and isinstance(node.attrs, QuantizedAveragePoolAttrs)
    if (node.attrs.y.low, node.attrs.y.high) != (LOW, HIGH):  # the mean of codes never passes the ends of int8
        dy = codes_gradient(backward, node, dy)
    attrs = AveragePoolGradientAttrs(node.attrs.pool, node.inputs[0].shape)
    return (backward.emit("average_pool_gradient", dy, attrs=attrs),)


def _pool_call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedAveragePoolAttrs)
    fields = (*attrs.pool.window.fields(x.shape), ("channels", x.shape[-1]), attrs.y.field)
    call = KernelCall("mg_average_pool_int8", "mg_average_pool_int8_params", fields, (x, node.outputs[0]))
    return with_mask(call, node, attrs.y)


def _pool_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, kernel, stride, padding in [
        ((1, 6, 8, 4), (2, 2), (2, 2), ((0, 0), (0, 0))),
        ((1, 7, 6, 5), (3, 3), (2, 1), ((1, 1), (0, 2))),
        ((1, 25, 5, 6), (25, 5), (25, 5), ((0, 0), (0, 0))),
        ((1, 13, 3), (3,), (2,), ((1, 0),)),
    ]:
        pool = AveragePoolAttrs(kernel, stride, padding, False)
        codes = Codes(Quantization((1.0,), (-11,)))
        for y in (codes, replace(codes, low=-5, high=40), replace(codes, rounding=Rounding.ONCE)):
            yield Sample((sample_codes(generator, shape),), QuantizedAveragePoolAttrs(pool, y))


QUANTIZED_AVERAGE_POOL = Operator(
    name="quantized_average_pool",
    inputs=("x",),
    outputs=("y", "mask"),
    infer=_infer_pool,
    evaluate=_evaluate_pool,
    samples=_pool_samples,
    kernels={DType.INT8: _pool_call},
    gradient=_pool_gradient,
    cost=pool_cost(Cost(mac=7.2, output=58, optional=15.7)),
)


def mean_factor(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """(multiplier, shift) of a factor divided by `count`, as TensorFlow Lite's MEAN divides it."""
    raised = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << raised) // count, shift - raised


def _infer_mean(attrs: QuantizedMeanAttrs, types: Types) -> Types:
    check_codes(types[0], attrs.x_zero)
    (real,) = GLOBAL_AVERAGE_POOL.infer(Attrs(), types)
    return attrs.y.type(real.shape), TensorType(real.shape, DType.BIT)


def _evaluate_mean(attrs: QuantizedMeanAttrs, arrays: Arrays) -> Arrays:
    x = arrays[0].astype(np.int64) - attrs.x_zero
    sums = x.sum(axis=tuple(range(1, x.ndim - 1)), keepdims=True)
    y = attrs.y.of(scaled_sum(sums, np.array(attrs.multiplier), np.array(attrs.shift), attrs.y.rounding))
    return y, attrs.y.mask(y)


def _mean_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy, attrs, x = gradients[0], node.attrs, node.inputs[0].shape
    assert dy is not None and isinstance(attrs, QuantizedMeanAttrs)
    factor = float(factor_of(np.array(attrs.multiplier), np.array(attrs.shift))) * math.prod(x[1:-1])
    scaled = backward.emit("scale", codes_gradient(backward, node, dy), attrs=ScaleAttrs(factor))
    return (backward.emit("global_average_pool_gradient", scaled, attrs=GlobalAveragePoolGradientAttrs(x)),)


def _mean_call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedMeanAttrs)
    fields = (("positions", math.prod(x.shape[1:-1])), ("channels", x.shape[-1]), ("x_zero", attrs.x_zero))
    factor = (("multiplier", attrs.multiplier), ("shift", attrs.shift))
    call = KernelCall("mg_mean_int8", "mg_mean_int8_params", (*fields, *factor, attrs.y.field), (x, node.outputs[0]))
    return with_mask(call, node, attrs.y)


def _mean_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, zero in [((1, 4, 4, 9), -128), ((1, 5, 3, 7), 12), ((1, 21, 2), 0)]:
        multiplier, shift = mean_factor(1750000000, 1, math.prod(shape[1:-1]))
        y = Codes(Quantization((0.1,), (-10,)))
        yield Sample((sample_codes(generator, shape),), QuantizedMeanAttrs(zero, multiplier, shift, y))
        multiplier, shift = mean_factor(1 << 30, 1, math.prod(shape[1:-1]))  # many ties
        y = replace(y, rounding=Rounding.ONCE)
        yield Sample((sample_codes(generator, shape),), QuantizedMeanAttrs(zero, multiplier, shift, y))


QUANTIZED_MEAN = Operator(
    name="quantized_mean",
    inputs=("x",),
    outputs=("y", "mask"),
    infer=_infer_mean,
    evaluate=_evaluate_mean,
    samples=_mean_samples,
    kernels={DType.INT8: _mean_call},
    gradient=_mean_gradient,
    cost=Cost(output=36, input=6, optional=15),
)
