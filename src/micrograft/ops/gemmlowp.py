"""gemmlowp's exponential and reciprocal in fixed point, which TensorFlow Lite's int8 kernels are made of.

All arrays are int64 with int32 contents.
"""

from __future__ import annotations

import numpy as np

from micrograft.ir.types import Array
from micrograft.ops.fixed_point import divided, doubled_high


def saturating_left(x: Array, places: int) -> Array:
    return np.asarray(np.clip(x << places, -(1 << 31), (1 << 31) - 1))


def _exp_near_zero(a: Array) -> Array:
    """e^a for a in [−1/4, 0), both with 31 fractional bits: Taylor's series around −1/8."""
    start = np.array(1895147668)  # e^(−1/8)
    x = a + (1 << 28)
    x2 = doubled_high(x, x)
    x3, x4 = doubled_high(x2, x), doubled_high(x2, x2)
    third = doubled_high(divided(x4, np.array(2)) + x3, np.array(715827883))
    return np.asarray(start + doubled_high(start, x + divided(third + x2, np.array(1))))


_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""e^(−1/4), e^(−1/2), e^(−1) .. e^(−16), with 31 fractional bits."""


def exp_on_negative(a: Array, integer_bits: int) -> Array:
    """e^a for a ≤ 0 with so many integer bits; the result has none. gemmlowp's exp_on_negative_values."""
    fraction_bits = 31 - integer_bits
    quarter = np.int64(1 << (fraction_bits - 2))
    part = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(saturating_left(part, integer_bits))
    for bit, power in enumerate(_POWERS[: integer_bits + 2]):
        taken = ((part - a) >> (fraction_bits - 2 + bit)) & 1
        result = np.where(taken == 1, doubled_high(result, np.array(power)), result)
    return np.where(a == 0, (1 << 31) - 1, result)


def reciprocal(total: Array) -> tuple[Array, Array]:
    """1 / total, total with 12 integer bits; the mantissa with 31 fractional bits, and how far it is shifted."""
    headroom = 32 - np.array([int(each).bit_length() for each in total.ravel()]).reshape(total.shape)
    a = (total << headroom) - (1 << 31)
    return saturating_left(half_of_reciprocal(a), 1), 12 - headroom


def half_of_reciprocal(a: Array) -> Array:
    """2 / (1 + a) for a in [0, 1] with 31 fractional bits; the result has 29. Three steps of Newton's method."""
    half = (a + (1 << 31) - 1 + 1) // 2
    x = 1515870810 + doubled_high(half, np.array(-1010580540))  # 48/17 − 32/17·half
    for _ in range(3):
        rest = (1 << 29) - doubled_high(half, x)
        x = x + saturating_left(doubled_high(x, rest), 2)
    return np.asarray(x)
