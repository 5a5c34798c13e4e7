"""QuantizeLinear and DequantizeLinear of ONNX networks in QDQ form, with activations of one scale, int8 or uint8.

A uint8 code is the int8 code that is 128 less, and so is its zero point: both mean the same number.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import HANDLERS, Call
from micrograft.frontends.quantized import quantization, quantized, real
from micrograft.ir.types import Array, DType, Quantization
from micrograft.ops.fixed_point import HIGH, LOW, Rounding

_UNSIGNED = 128
"""How much larger a uint8 code is than the int8 code that means the same."""


def _quantization(call: Call) -> Quantization:
    """What int8 codes mean; without a zero point they are uint8 ones, and 0 is 0."""
    scale, zero = call.constant(1), call.constant(2)
    zero = np.zeros(1, np.uint8) if zero is None else zero
    if scale is None or zero.dtype not in (np.int8, np.uint8, np.int32):
        fix = "quantize with activations and weights of 8 bits"
        raise call.refused(f"it quantizes to {zero.dtype.name}, and micrograft knows int8 and uint8", fix)
    signed = zero.astype(np.int32) - (_UNSIGNED if zero.dtype == np.uint8 else 0)
    return quantization(scale, signed, call.integer("axis", 1))


def _around_zero(codes: Array, quant: Quantization) -> tuple[Array, Quantization]:
    """Codes of the same numbers whose zero is 0, as a layer's weight has them, where int8 holds those."""
    along = [1] * codes.ndim
    if quant.axis is not None:
        along[quant.axis] = -1
    steps = codes - np.reshape(quant.zero_points, along)
    if steps.size and (steps.min() < LOW or steps.max() > HIGH):
        return codes, quant
    return steps, replace(quant, zero_points=(0,) * len(quant.zero_points))


def _quantize(call: Call) -> Tensor:
    return quantized(call.network, call.x, _quantization(call), Rounding.ONCE, origin=call.origin)


def _dequantize(call: Call) -> Tensor:
    """Of codes; of a constant the real numbers, which keep its name and remember their grid."""
    x, quant = call.x, _quantization(call)
    if isinstance(x, Constant):
        codes = x.data.astype(np.int32) - (_UNSIGNED if x.data.dtype == np.uint8 else 0)
        codes, quant = _around_zero(codes, quant)
        return Constant(quant.real(codes), x.source, True, quant)
    if x.dtype is not DType.INT8 or x.type.quant != quant:
        raise call.refused("it dequantizes something that was quantized with another scale")
    return real(call.network, x, origin=call.origin)


HANDLERS["QuantizeLinear"] = _quantize
HANDLERS["DequantizeLinear"] = _dequantize
