"""The integer arithmetic of int8 networks.

A real factor is held as multiplier · 2^(shift − 31) with a multiplier from 2^30 up to 2^31 (gemmlowp). Rounding.TWICE
gives the bits of TensorFlow Lite's reference kernels. With Rounding.ONCE the sums of a layer become codes with the bits
of ONNX Runtime's int8 kernels, and all else with those of real arithmetic. `mg_fixed_point.h` is the same in C. All
arrays here are int64 with int32 contents.
"""

from __future__ import annotations

import enum
import math

import numpy as np

from micrograft.ir.types import Array

LOW, HIGH = -128, 127
"""The ends of int8."""


_FLOAT_LIMIT = np.float32(1 << 22)
"""Whole numbers of this size have no half between them in float32; no code is so large."""


class Rounding(enum.IntEnum):
    """How a product with a factor is rounded; the values are those of `mg_fixed_point.h`.

    TWICE: to nearest, ties up, after the doubling high multiplication, and to nearest, ties away from zero, after the
    shift to the right. ONCE: to nearest, ties to even; of a layer's sum, which is held in float32, the product with a
    float32 factor, itself in float32.
    """

    TWICE = 0
    ONCE = 1


def multiplier_of(real: float) -> tuple[int, int]:
    """(multiplier, shift) of a factor of at least 0; a factor too small for any effect is (0, 0).

    >>> multiplier_of(0.5), multiplier_of(3.0)
    ((1073741824, 0), (1610612736, 2))
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def factor_of(multiplier: Array, shift: Array) -> Array:
    """The real factors, float64.

    >>> float(factor_of(np.array(1073741824), np.array(0)))
    0.5
    """
    return np.asarray(np.ldexp(multiplier.astype(np.float64), np.asarray(shift, np.int64) - 31))


def doubled_high(a: Array, multiplier: Array) -> Array:
    """a · multiplier / 2^31 to nearest, ties up: gemmlowp's SaturatingRoundingDoublingHighMul.

    A multiplier is never −2^31, so nothing saturates; its nudge and its division towards zero come to this.
    """
    return np.asarray((a.astype(np.int64) * multiplier + (1 << 30)) >> 31)


def divided(x: Array, exponent: Array) -> Array:
    """x / 2^exponent to nearest, ties away from zero: gemmlowp's RoundingDivideByPOT."""
    exponent = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    return np.asarray((x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0)))


def raised(x: Array, multiplier: Array, shift: Array) -> Array:
    """The product before its last shift to the right, by `right_shift(shift)` places."""
    left = np.maximum(shift, 0).astype(np.int64)
    return doubled_high(x.astype(np.int64) << left, multiplier)


def right_shift(shift: Array) -> Array:
    """Places to the right that a shift means."""
    return np.asarray(np.maximum(-np.asarray(shift, np.int64), 0))


def rescaled(x: Array, multiplier: Array, shift: Array, rounding: Rounding) -> Array:
    """x times a factor; rounded twice it is TensorFlow Lite's MultiplyByQuantizedMultiplier."""
    shift = np.asarray(shift, np.int64)
    if rounding is Rounding.ONCE:
        product, half = x.astype(np.int64) * np.asarray(multiplier, np.int64), np.int64(1) << (30 - shift)
        nearest = (product + half) >> (31 - shift)
        return np.asarray(np.where((product & (2 * half - 1)) == half, nearest & ~1, nearest))
    return divided(raised(x, np.asarray(multiplier, np.int64), shift), right_shift(shift))


def float_factor(x_scale: float, weight_scales: Array, y_scale: float) -> Array:
    """Input · weight / output scale as ONNX Runtime computes it, in float32."""
    scales = np.float32(x_scale) * np.asarray(weight_scales, np.float32)
    return np.asarray(scales / np.float32(y_scale), np.float32)


def scaled_sum(x: Array, multiplier: Array, shift: Array, rounding: Rounding) -> Array:
    """What the sum of a layer's products becomes, in steps of its output; at most 2^22 either way if rounded once.

    >>> int(scaled_sum(np.array(5), np.array(1 << 30), np.array(0), Rounding.ONCE))
    2
    """
    if rounding is Rounding.TWICE:
        return rescaled(x, multiplier, shift, rounding)
    product = x.astype(np.float32) * factor_of(np.asarray(multiplier), np.asarray(shift)).astype(np.float32)
    return np.rint(np.clip(product, -_FLOAT_LIMIT, _FLOAT_LIMIT)).astype(np.int64)


def clamped(x: Array, low: int, high: int) -> Array:
    """int8 codes between two codes."""
    return np.asarray(np.clip(x, low, high), np.int8)
