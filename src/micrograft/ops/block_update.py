"""Updates of integer codes from gradients in integers (`block`): plain SGD, and the sum of squares that clipping reads.

code ← code − rate·factor·(unit/s²)·2^exponent·g, rounded at random as in `codes_update`: quantization-aware scaling
(arXiv:2206.15472, equation 3) where s is the scale of the code's channel. Rate and factor stay float32 in memory; their
bits are read, and no float is computed with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, TensorType
from micrograft.ops.block import EXPONENT, check_block, group, short_factor
from micrograft.ops.codes_update import RANGES, Layout, UpdateAttrs, hashed, random_words
from micrograft.ops.cost import Cost, by_dtype
from micrograft.ops.operator import Arrays, Group, KernelCall, Operator, Sample, Types, require

_LIMIT = 1 << 29
"""What one update may add to a code, either way."""


@dataclass(frozen=True)
class BlockSgdAttrs(UpdateAttrs):
    """As every update of codes."""


@dataclass(frozen=True)
class BlockSquareSumAttrs(Attrs):
    """layout: where the weights apply. exponent: of the weights."""

    layout: Layout
    exponent: int


def paces(unit: float, scales: Array) -> Array:
    """unit / s² of each channel: (channels, 2) int32, multiplier and shift."""
    return np.array([short_factor(unit / float(scale) ** 2) for scale in scales], np.int32)


def square_weights(unit: float, scales: Array) -> tuple[Array, int]:
    """(unit / s)² of each channel, as (channels,) int32 up to 2^15 and the exponent that they count in."""
    real = (unit / np.asarray(scales, np.float64)) ** 2
    _, exponent = math.frexp(float(real.max()))
    return np.round(np.ldexp(real, 15 - exponent)).astype(np.int32), exponent - 15


def pace(x: Array) -> tuple[int, int]:
    """A float32 as (significand of 16 bits, exponent)."""
    bits = int(np.asarray(x, np.float32).view(np.uint32))
    biased = bits >> 23 & 255
    return (((bits & 0x7FFFFF) | 0x800000) >> 8 if biased else 0), biased - 127 - 15


def _infer_sgd(attrs: BlockSgdAttrs, types: Types) -> Types:
    codes, gradient, exponent, rate, table, random, *factor = types
    require(codes.dtype in RANGES, f"the codes are {codes.dtype.value}")
    check_block(gradient, exponent)
    require(gradient.shape == codes.shape, f"the gradient {gradient} does not match the codes {codes}")
    require(all(each == TensorType(()) for each in (rate, *factor)), "a rate or factor is not float32()")
    channels = attrs.layout.split(codes.shape)[1]
    require(table == TensorType((channels, 2), DType.INT32), f"the paces are {table}")
    require(random == TensorType((), DType.INT32), f"the random state is {random}, not int32()")
    return (codes,)


def _sgd(attrs: BlockSgdAttrs, arrays: Arrays) -> Arrays:
    codes, gradient, scale, rate, table, random, *factor = arrays
    significand, exponent = pace(rate)
    for each in factor:
        other, more = pace(each)
        significand, exponent = significand * other >> 16, exponent + more + 16
    multipliers = significand * table[:, 0].astype(np.int64) >> 15
    places = -(exponent + table[:, 1].astype(np.int64) + int(scale[EXPONENT]))
    spread = attrs.layout.spread(multipliers, codes.shape), attrs.layout.spread(places, codes.shape)
    steps = _whole(
        gradient.astype(np.int64) * spread[0], spread[1], random_words(int(random), attrs.stream, codes.shape)
    )
    return (np.clip(codes.astype(np.int64) - steps, attrs.low, attrs.high).astype(codes.dtype),)


def _whole(steps: Array, places: Array, words: Array) -> Array:
    """steps / 2^places, rounded at random."""
    left = np.clip(-places, 0, 30)
    large = np.clip(steps << left, -_LIMIT, _LIMIT)
    right = np.clip(places, 0, 63)
    fraction = (
        np.where(right < 32, steps << np.maximum(32 - right, 0), steps >> np.clip(right - 32, 0, 31)) & 0xFFFFFFFF
    )
    small = (steps >> np.minimum(right, 31)) + (words < fraction)
    return np.asarray(np.where(places > 0, small, large))


def _sgd_call(node: Node) -> tuple[KernelCall, ...]:
    codes, gradient, exponent, rate, table, random, *factor = node.inputs
    assert isinstance(node.attrs, BlockSgdAttrs)
    members = (("rate", rate), ("paces", table), ("random", random), ("factor", factor[0] if factor else None))
    pointers = (codes, group(Block(gradient, exponent, 1.0)), Group("mg_block_step", members))
    function = f"mg_block_sgd_{codes.dtype.value}_{gradient.dtype.value}"
    return (KernelCall(function, "mg_block_sgd_params", (node.attrs.field(codes.shape),), pointers),)


def _gradient(generator: np.random.Generator, shape: tuple[int, ...]) -> Iterator[Array]:
    codes = (generator.standard_normal(shape) * 9000).clip(-32767, 32767).astype(np.int16)
    yield codes
    yield (codes >> 8).astype(np.int8)


def _sgd_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    rate, factor, random = (np.array(value, np.float32) for value in (0.05, 0.3, 0.0))
    cases = [
        (DType.INT8, (4, 3, 5), 0),
        (DType.INT8, (1, 3, 3, 6), 3),
        (DType.INT16, (2, 9), None),
        (DType.INT32, (7,), 0),
    ]
    for index, (dtype, shape, axis) in enumerate(cases):
        layout, (low, high) = Layout(axis), RANGES[dtype]
        codes = generator.integers(-127, 128, shape).astype(dtype.numpy)
        table = paces((1.0, -0.5)[index % 2], generator.uniform(0.001, 0.1, layout.split(shape)[1]))
        random = hashed(np.array([index], np.uint32))[0].astype(np.int32)
        for exponent in (-80, -58, -35, -22, -18, -12, 5, 60):
            for gradient in _gradient(generator, shape):
                given = (codes, gradient, np.array([0, exponent], np.int32), rate, table, np.asarray(random))
                yield Sample((*given, *((factor,) if index % 2 else ())), BlockSgdAttrs(layout, low, high, 77))


BLOCK_SGD = Operator(
    name="block_sgd",
    inputs=("codes", "gradient", "exponent", "learning_rate", "paces", "random", "factor?"),
    outputs=("codes",),
    infer=_infer_sgd,
    evaluate=_sgd,
    samples=_sgd_samples,
    kernels=dict.fromkeys((DType.INT8, DType.INT16, DType.INT32), _sgd_call),
    mutates=((0, 0),),
    macs=lambda node: node.inputs[0].type.size,
    cost=by_dtype({DType.INT8: Cost(output=48), DType.INT16: Cost(output=53), DType.INT32: Cost(output=90)}),
)


def _places(size: int) -> int:
    """How far a channel's sum of squares is shifted so that uint64 holds the sum of `size` squares times 2^15."""
    return max(0, size.bit_length() - 18)


def _infer_square_sum(attrs: BlockSquareSumAttrs, types: Types) -> Types:
    gradient, exponent, weights = types
    check_block(gradient, exponent)
    expected = TensorType((attrs.layout.split(gradient.shape)[1],), DType.INT32)
    require(weights == expected, f"the weights are {weights}, not {expected}")
    return (TensorType(()),)


def _square_sum(attrs: BlockSquareSumAttrs, arrays: Arrays) -> Arrays:
    gradient, scale, weights = arrays
    split, places = gradient.astype(np.int64).reshape(attrs.layout.split(gradient.shape)), _places(gradient.size)
    total = int((((split**2).sum(axis=2) >> places) * weights).sum())
    exponent = attrs.exponent + places + 2 * int(scale[EXPONENT])
    spare = max(total.bit_length() - 24, 0)
    below = np.ldexp(float(total >> spare << spare), exponent)
    finite = below < 2.0**128
    return (np.asarray((below if finite else np.inf) if below >= 2.0**-126 else 0.0, np.float32),)


def _square_sum_call(node: Node) -> tuple[KernelCall, ...]:
    gradient, exponent, weights = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, BlockSquareSumAttrs)
    layout = zip(("outer", "channels", "inner"), attrs.layout.split(gradient.shape), strict=True)
    fields = (*layout, ("places", _places(gradient.type.size)), ("exponent", attrs.exponent))
    pointers = (group(Block(gradient, exponent, 1.0)), weights, node.outputs[0])
    return (KernelCall(f"mg_block_square_sum_{gradient.dtype.value}", "mg_block_square_sum_params", fields, pointers),)


def _square_sum_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for index, (shape, axis) in enumerate([((4, 3, 5), 0), ((1, 3, 3, 6), 3), ((2, 9), None), ((600, 500), 0)]):
        layout = Layout(axis)
        weights, exponent = square_weights(0.3, generator.uniform(0.001, 0.1, layout.split(shape)[1]))
        for gradient in _gradient(generator, shape):
            block = gradient, np.array([0, (-9, -140, 60)[index % 3]], np.int32)
            yield Sample((*block, weights), BlockSquareSumAttrs(layout, exponent))


BLOCK_SQUARE_SUM = Operator(
    name="block_square_sum",
    inputs=("gradient", "exponent", "weights"),
    infer=_infer_square_sum,
    evaluate=_square_sum,
    samples=_square_sum_samples,
    kernels={DType.FLOAT32: _square_sum_call},
    macs=lambda node: node.inputs[0].type.size,
    cost=Cost(input=7),
)
