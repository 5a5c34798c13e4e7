"""quantized_depthwise_conv: on int8 codes, output channel o sees input channel o // multiplier alone.

x: (1, *spatial, C) int8; weight: (1, *kernel, O) int8, zero point 0; bias: (O,) and factors: (O, 2) int32 (see
`requantization`); y: (1, *positions, O) int8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, Shape
from micrograft.ops.columns import four_weights
from micrograft.ops.conv import ConvAttrs, window_cost
from micrograft.ops.cost import Cost
from micrograft.ops.depthwise_conv import DEPTHWISE_CONV
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.quantized_conv import QuantizedConvAttrs, conv_int8_call, quantized_gradient, sample_attrs
from micrograft.ops.requantization import (
    by_rounding,
    channels_group,
    check_channels,
    check_codes,
    requantized,
    sample_channels,
    sample_codes,
    with_mask,
)


def _infer(attrs: QuantizedConvAttrs, types: Types) -> Types:
    x, weight, bias, factors = types
    check_codes(x, attrs.x_zero)
    require(weight.dtype is DType.INT8, f"the weight is {weight.dtype.value}, not int8")
    (real,) = DEPTHWISE_CONV.infer(attrs.conv, (x, weight))
    check_channels(bias, factors, real.shape[-1])
    return attrs.y.type(real.shape), replace(real, dtype=DType.BIT, quant=None)


def _evaluate(attrs: QuantizedConvAttrs, arrays: Arrays) -> Arrays:
    x, weight, bias, factors = arrays
    centred = x.astype(np.float64) - attrs.x_zero
    (sums,) = DEPTHWISE_CONV.evaluate(attrs.conv, (centred, weight.astype(np.float64)))
    y = requantized(sums, bias, factors, attrs.y)
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    return quantized_gradient("depthwise_conv", backward, node, gradients)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, bias, factors = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedConvAttrs)
    call = conv_int8_call(
        "mg_depthwise_conv_int8", attrs.conv.window(weight.shape[1:-1]), x.shape, weight.shape[-1], x.shape[-1],
        attrs.x_zero, attrs.y, x, weight, channels_group(bias, factors), *four_weights(node), node.outputs[0],
    )  # fmt: skip
    return with_mask(call, node, attrs.y)


def _macs(node: Node) -> int:
    return node.outputs[0].type.size * math.prod(node.inputs[1].shape[1:-1])


def _cases() -> Iterator[tuple[Shape, int, tuple[int, ...], ConvAttrs]]:
    ones, same = (1, 1), ((1, 1), (1, 1))
    yield (1, 6, 7, 8), 1, (3, 3), ConvAttrs(ones, same, ones)
    yield (1, 7, 5, 5), 1, (3, 3), ConvAttrs((2, 2), ((0, 1), (1, 0)), ones)
    yield (1, 6, 7, 3), 2, (3, 2), ConvAttrs((1, 2), same, (2, 1))
    yield (1, 5, 5, 1), 5, (3, 3), ConvAttrs(ones, same, ones)
    yield (1, 3, 2, 4), 1, (5, 5), ConvAttrs(ones, ((2, 2), (2, 3)), ones)
    yield (1, 14, 9), 1, (5,), ConvAttrs((2,), ((2, 2),), (1,))


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for index, (shape, multiplier, kernel, attrs) in enumerate(_cases()):
        outputs = multiplier * shape[-1]
        weight = sample_codes(generator, (1, *kernel, outputs))
        channels = sample_channels(generator, outputs, math.prod(kernel))
        yield Sample((sample_codes(generator, shape), weight, *channels), sample_attrs(attrs, index))


QUANTIZED_DEPTHWISE_CONV = Operator(
    name="quantized_depthwise_conv",
    inputs=("x", "weight", "bias", "factors"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    macs=_macs,
    cost=by_rounding(
        once=window_cost(Cost(mac=3.4, output=49, optional=13)),
        twice=window_cost(Cost(mac=3.4, output=59, optional=13)),
    ),
    scratch=four_weights,
)
