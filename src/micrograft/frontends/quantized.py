"""How both file formats' int8 networks are drawn: in real numbers, between the codes that the file holds.

An operator's inputs are dequantized in front of it and its output is quantized behind it, whatever it is; a weight is
real numbers that remember the grid they came from. `passes.fuse_quantization` then makes int8 operators of that.
"""

from __future__ import annotations

import numpy as np

from micrograft.frontends.network import Constant, Network, Tensor, refused
from micrograft.ir.types import Array, DType, Quantization, Value
from micrograft.ops.fixed_point import Rounding
from micrograft.ops.quantize import DequantizeAttrs, QuantizeAttrs
from micrograft.ops.requantization import Codes


def quantization(scale: Array, zero_point: Array, axis: int) -> Quantization:
    """Scales and zero points as a file gives them."""
    scales = tuple(float(each) for each in np.asarray(scale, np.float32).ravel())
    zeros = tuple(int(each) for each in np.asarray(zero_point).ravel()) or (0,)
    zeros = zeros * (len(scales) // len(zeros))
    return Quantization(scales, zeros, axis if len(scales) > 1 else None)


def quantized(network: Network, x: Tensor, quant: Quantization, rounding: Rounding, *, origin: str) -> Value:
    """The codes of a tensor of real numbers. rounding: of the arithmetic that the file format means."""
    if quant.axis is not None:
        raise refused("its output has a scale per channel, and micrograft knows activations of one scale", origin)
    return network.add("quantize", (x,), QuantizeAttrs(Codes(quant, rounding=rounding)), origin=origin)


def real(network: Network, x: Tensor, *, origin: str) -> Tensor:
    """The real numbers of a tensor of codes; any other tensor as it is."""
    if isinstance(x, Constant) or x.dtype is not DType.INT8 or x.type.quant is None:
        return x
    return network.add("dequantize", (x,), DequantizeAttrs(x.type.quant), origin=origin)
