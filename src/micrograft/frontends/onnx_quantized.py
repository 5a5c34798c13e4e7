"""QuantizeLinear and DequantizeLinear of ONNX networks in QDQ form, with activations of one scale, int8 or uint8.

A uint8 code is the int8 code that is 128 less, and so is its zero point: both mean the same number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import HANDLERS, Call
from micrograft.frontends.quantized import quantization, quantized, real
from micrograft.ir.types import Array, DType, Quantization
from micrograft.ops.fixed_point import HIGH, LOW, Rounding

_UINT8 = TensorProto.UINT8
"""What codes are that neither a zero point nor an attribute gives a type."""

_UNSIGNED = 128
"""How much larger a uint8 code is than the int8 code that means the same."""


def _quantization(call: Call, kind: np.dtype[Any]) -> Quantization:
    """What int8 codes mean. kind: what the file stores them as, if no zero point says so; 0 then means 0."""
    scale, zero = call.constant(1), call.constant(2)
    zero = np.zeros(1, kind) if zero is None else zero
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
    if call.integer("block_size", 0):
        raise call.refused("its output has a scale per block, and micrograft knows activations of one scale")
    zero = call.constant(2)
    kind = np.dtype(zero.dtype if zero is not None else tensor_dtype_to_np_dtype(call.integer("output_dtype", _UINT8)))
    y = quantized(call.network, call.x, _quantization(call, kind), Rounding.ONCE, origin=call.origin)
    if kind == np.uint8:
        call.network.unsigned.add(y.name)
    return y


def _dequantize(call: Call) -> Tensor:
    """Of codes; of a constant the real numbers, which keep its name and remember their grid."""
    x = call.x
    if isinstance(x, Constant):
        if call.integer("block_size", 0):
            return Constant(_from_blocks(call, x.data), x.source, True)
        quant = _quantization(call, x.data.dtype)
        codes = x.data.astype(np.int32) - (_UNSIGNED if x.data.dtype == np.uint8 else 0)
        codes, quant = _around_zero(codes, quant)
        return Constant(quant.real(codes), x.source, True, quant)
    kind = np.dtype(np.uint8 if x.name in call.network.unsigned else np.int8)
    if x.dtype is not DType.INT8 or x.type.quant != _quantization(call, kind):
        raise call.refused("it dequantizes something that was quantized with another scale")
    return real(call.network, x, origin=call.origin)


def _from_blocks(call: Call, codes: Array) -> Array:
    """The real numbers of codes that have a scale, and perhaps a zero point, for each block along an axis."""
    scale, zero = call.constant(1), call.constant(2)
    axis, size = call.integer("axis", 1), call.integer("block_size", 0)
    blocks = [each for each in (scale, zero) if each is not None]
    scales, *zeros = (np.repeat(each, size, axis).take(range(codes.shape[axis]), axis) for each in blocks)
    steps = codes.astype(np.float64) - (zeros[0].astype(np.float64) if zeros else 0)
    return np.asarray(steps * scales, np.float32)


HANDLERS["QuantizeLinear"] = _quantize
HANDLERS["DequantizeLinear"] = _dequantize
