"""Functions of one int8 code as TensorFlow Lite Micro's reference kernels compute them, in integers (gemmlowp).

Each takes all codes, int64, and gives codes that are not yet clamped. Its other functions are tables of the real
function already, rounded to nearest, ties away from zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from micrograft.ir.types import Array, Quantization
from micrograft.ops.fixed_point import HIGH, LOW, Rounding, divided, multiplier_of, rescaled
from micrograft.ops.gemmlowp import exp_on_negative, half_of_reciprocal
from micrograft.ops.requantization import Codes

_INTEGER_BITS = 4
_MOST = (1 << 31) - 1


def half_away(x: Array) -> Array:
    """To nearest, ties away from zero."""
    return np.asarray(np.sign(x) * np.floor(np.abs(x) + 0.5))


def _times(x: Array, factor: float) -> Array:
    """x times a factor of any sign, rounded twice."""
    multiplier, shift = multiplier_of(abs(factor))
    return rescaled(x, np.array(-multiplier if factor < 0 else multiplier), np.array(shift), Rounding.TWICE)


def _fixed(codes: Array, x: Quantization) -> tuple[Array, int]:
    """Steps from zero with 27 fractional bits, and from how many steps on the function is at its end."""
    multiplier, shift = multiplier_of(x.scale * (1 << (31 - _INTEGER_BITS)))
    radius = math.floor(((1 << _INTEGER_BITS) - 1) * (1 << (31 - _INTEGER_BITS)) / 2.0**shift)
    return rescaled(codes - x.zero, np.array(multiplier), np.array(shift), Rounding.TWICE), radius


def _ends(codes: Array, x: Quantization, radius: int, inside: Array) -> Array:
    steps = codes - x.zero
    return np.asarray(np.where(steps <= -radius, LOW, np.where(steps >= radius, HIGH, inside)))


def _sigmoid(codes: Array, x: Quantization, y: Codes) -> Array:
    a, radius = _fixed(codes, x)
    e = exp_on_negative(-np.abs(a), _INTEGER_BITS)
    positive = np.minimum(2 * half_of_reciprocal(e), _MOST)  # 1 / (1 + e)
    result = np.where(a == 0, 1 << 30, np.where(a > 0, positive, _MOST - positive))
    return _ends(codes, x, radius, divided(result, np.array(31 - 8)) + LOW)


def _tanh(codes: Array, x: Quantization, y: Codes) -> Array:
    a, radius = _fixed(codes, x)
    e = exp_on_negative(-np.abs(a), _INTEGER_BITS + 1)  # e^(−2·|a|): the same bits, one more of them integer
    positive = np.clip(4 * (half_of_reciprocal(e) - (1 << 29)), -_MOST - 1, _MOST)  # (1 − e) / (1 + e)
    result = np.where(a == 0, 0, np.where(a > 0, positive, -positive))
    return _ends(codes, x, radius, divided(result, np.array(31 - 7)))


def _short(factor: float) -> tuple[int, int]:
    """(multiplier of 15 bits, shift)."""
    multiplier, shift = multiplier_of(factor)
    return min((multiplier + (1 << 15)) >> 16, (1 << 15) - 1), shift


def _doubled_high_16(a: Array, multiplier: int) -> Array:
    """a · multiplier / 2^15 to nearest, ties up, of int16 contents."""
    return np.asarray(np.clip((a.astype(np.int64) * multiplier + (1 << 14)) >> 15, -(1 << 15), (1 << 15) - 1))


def _hard_swish(codes: Array, x: Quantization, y: Codes) -> Array:
    def saturated(values: Array) -> Array:
        return np.clip(values, -(1 << 15), (1 << 15) - 1)

    raised: Array = (codes - x.zero) << 7
    scale = float(np.float32(1 / 128) * np.float32(x.scale))
    multiplier, shift = _short(float(np.float32(scale) / np.float32(y.quant.scale)))
    output = _doubled_high_16(raised, multiplier)
    multiplier, exponent = _short(float(np.float32(scale) / np.float32(3.0 / 32768.0)))
    gate = saturated(raised << max(exponent - 1, 0))
    gate = _doubled_high_16(gate, multiplier)
    gate = saturated(gate << 1) if exponent > 0 else divided(gate, np.array(-exponent))
    gate = np.asarray((gate + (1 << 15)) >> 1)
    product = gate * output
    towards_zero = np.sign(product) * (np.abs(product) // (1 << 15))
    return divided(towards_zero, np.array(-shift)) + y.quant.zero


def _leaky_relu(codes: Array, x: Quantization, y: Codes, slope: Array) -> Array:
    steps, factor = codes - x.zero, x.scale / y.quant.scale
    below = _times(steps, float(np.float32(x.scale) * np.float32(slope.item()) / np.float32(y.quant.scale)))
    return np.where(steps >= 0, _times(steps, factor), below) + y.quant.zero


def _abs(codes: Array, x: Quantization, y: Codes) -> Array:
    return _times(np.abs(codes - x.zero), x.scale / y.quant.scale) + y.quant.zero


FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "abs": _abs,
    "hard_swish": _hard_swish,
    "prelu": _leaky_relu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
}
"""Name of our operator to what TensorFlow Lite Micro computes."""
