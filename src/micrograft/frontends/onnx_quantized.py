"""QuantizeLinear and DequantizeLinear of ONNX networks in QDQ form, with int8 activations of one scale."""

from __future__ import annotations

import numpy as np

from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import HANDLERS, Call
from micrograft.frontends.quantized import quantization, quantized, real
from micrograft.ir.types import DType, Quantization
from micrograft.ops.fixed_point import Rounding


def _quantization(call: Call) -> Quantization:
    scale, zero = call.constant(1), call.constant(2)
    if scale is None or zero is None or zero.dtype not in (np.int8, np.int32):
        kind = "uint8" if zero is None else zero.dtype.name
        raise call.refused(f"it quantizes to {kind}, and micrograft knows int8", "quantize with signed activations")
    return quantization(scale, zero, call.integer("axis", 1))


def _quantize(call: Call) -> Tensor:
    return quantized(call.network, call.x, _quantization(call), Rounding.ONCE, origin=call.origin)


def _dequantize(call: Call) -> Tensor:
    """Of codes; of a constant the real numbers, which keep its name and remember their grid."""
    x, quant = call.x, _quantization(call)
    if isinstance(x, Constant):
        return Constant(quant.real(x.data), x.source, True, quant)
    if x.dtype is not DType.INT8 or x.type.quant != quant:
        raise call.refused("it dequantizes something that was quantized with another scale")
    return real(call.network, x, origin=call.origin)


HANDLERS["QuantizeLinear"] = _quantize
HANDLERS["DequantizeLinear"] = _dequantize
