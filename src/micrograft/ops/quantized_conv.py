"""quantized_conv: convolution on int8 codes, int32 sums, one factor per output channel.

x: (1, *spatial, C) int8; weight: (O, *kernel, C/groups) int8, zero point 0; bias: (O,) and factors: (O, 2) int32 (see
`requantization`); y: (1, *positions, O) int8. Padding is with the code that means zero. The backward pass keeps one
bit per output, and x where the weight is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, Shape, Value
from micrograft.ops.columns import row_columns
from micrograft.ops.conv import CONV, ConvAttrs, ConvInputGradientAttrs, window_cost
from micrograft.ops.conv_of_codes import ConvOfCodesWeightGradientAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.fixed_point import Rounding
from micrograft.ops.linear import bias_gradient
from micrograft.ops.operator import Arrays, Backward, Gradients, Group, KernelCall, Operator, Sample, Types, require
from micrograft.ops.quantized_linear import linear_int8_call
from micrograft.ops.requantization import (
    Codes,
    by_rounding,
    channels_group,
    check_channels,
    check_codes,
    codes_gradient,
    requantized,
    sample_channels,
    sample_codes,
    with_mask,
)
from micrograft.ops.scaled_factors import factors_gradient
from micrograft.ops.window import Window


@dataclass(frozen=True)
class QuantizedConvAttrs(Attrs):
    """x_zero: the code of the input that means 0. y: what the output's codes mean, and its clamp."""

    conv: ConvAttrs
    x_zero: int
    y: Codes


def _infer(attrs: QuantizedConvAttrs, types: Types) -> Types:
    x, weight, bias, factors = types
    check_codes(x, attrs.x_zero)
    require(weight.dtype is DType.INT8, f"the weight is {weight.dtype.value}, not int8")
    (real,) = CONV.infer(attrs.conv, (x, weight))
    check_channels(bias, factors, real.shape[-1])
    return attrs.y.type(real.shape), replace(real, dtype=DType.BIT, quant=None)


def _evaluate(attrs: QuantizedConvAttrs, arrays: Arrays) -> Arrays:
    x, weight, bias, factors = arrays
    centred = x.astype(np.float64) - attrs.x_zero  # its sums of products are exact
    (sums,) = CONV.evaluate(attrs.conv, (centred, weight.astype(np.float64)))
    y = requantized(sums, bias, factors, attrs.y)
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    return quantized_gradient("conv", backward, node, gradients)


def quantized_gradient(op: str, backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    """The gradient rule of a convolution on codes, `op` being the one on real numbers."""
    x, weight, bias, factors = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, QuantizedConvAttrs)
    passed = codes_gradient(backward, node, dy)
    d_factors = factors_gradient(backward, node, passed, attrs.y)
    sums = backward.emit("rescale_gradient", passed, factors)
    dx = dw = None
    if backward.needs(x):
        input_attrs = ConvInputGradientAttrs(attrs.conv, x.shape)
        dx = backward.emit(f"{op}_input_gradient", sums, weight, attrs=input_attrs)
    if backward.needs(weight):
        codes = Quantization((1.0,), (attrs.x_zero,))
        weight_attrs = ConvOfCodesWeightGradientAttrs(attrs.conv, weight.shape[1:-1], codes)
        dw = backward.emit(f"{op}_of_codes_weight_gradient", x, sums, attrs=weight_attrs)
    return dx, dw, bias_gradient(backward, bias, sums), d_factors


def conv_int8_call(
    function: str, window: Window, x: Shape, outputs: int, groups: int, x_zero: int, y: Codes,
    *pointers: Value | Group, rank: int = 0, places: int = 0
) -> KernelCall:  # fmt: skip
    """A call of one of the int8 convolution kernels, whose parameters are all alike. rank, places: of a detour."""
    shape = (("in_channels", x[-1]), ("out_channels", outputs), ("groups", groups), ("x_zero", x_zero))
    detour = (("rank", rank), ("steps", 1.0 / y.quant.scale if rank else 0.0), ("places", places))
    return KernelCall(function, "mg_conv_int8_params", (*window.fields(x), *shape, y.field, *detour), pointers)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, bias, factors = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedConvAttrs)
    if attrs.conv.is_linear(weight.shape[1:-1]):
        return with_mask(linear_int8_call(node, attrs.x_zero, attrs.y), node, attrs.y)
    call = conv_int8_call(
        "mg_conv_int8", attrs.conv.window(weight.shape[1:-1]), x.shape, weight.shape[0], attrs.conv.groups,
        attrs.x_zero, attrs.y, x, weight, channels_group(bias, factors), *row_columns(node), node.outputs[0],
    )  # fmt: skip
    return with_mask(call, node, attrs.y)


def _macs(node: Node) -> int:
    return node.outputs[0].type.size * math.prod(node.inputs[1].shape[1:])


def _cases() -> Iterator[tuple[Shape, int, tuple[int, ...], ConvAttrs]]:
    ones, none, same = (1, 1), ((0, 0), (0, 0)), ((1, 1), (1, 1))
    yield (1, 5, 6, 4), 8, (3, 3), ConvAttrs(ones, same, ones)
    yield (1, 7, 5, 3), 5, (3, 2), ConvAttrs((2, 2), ((0, 1), (1, 0)), ones)
    yield (1, 9, 8, 6), 10, (3, 3), ConvAttrs((1, 2), ((2, 1), (0, 3)), (2, 2), 2)
    yield (1, 5, 4, 7), 9, (1, 1), ConvAttrs(ones, none, ones)
    yield (1, 5, 4, 8), 4, (1, 1), ConvAttrs((2, 2), none, ones, 4)
    yield (1, 13, 6), 7, (5,), ConvAttrs((2,), ((2, 2),), (1,))
    yield (1, 3, 2, 1), 3, (5, 5), ConvAttrs(ones, ((2, 2), (2, 3)), ones)


def sample_attrs(conv: ConvAttrs, index: int) -> QuantizedConvAttrs:
    """Zero points and clamps of all kinds."""
    codes = (
        Codes(Quantization((0.05,), (-128,))),
        Codes(Quantization((0.02,), (4,)), low=4),
        Codes(Quantization((0.1,), (-20,)), low=-20, high=40, rounding=Rounding.ONCE),
    )
    return QuantizedConvAttrs(conv, (-128, 3, 127, 0)[index % 4], codes[index % 3])


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for index, (shape, outputs, kernel, attrs) in enumerate(_cases()):
        weights = (outputs, *kernel, shape[-1] // attrs.groups)
        channels = sample_channels(generator, outputs, math.prod(weights[1:]))
        arrays = (sample_codes(generator, shape), sample_codes(generator, weights), *channels)
        yield Sample(arrays, sample_attrs(attrs, index))
    bias, large = np.array([-5, 7, 0], np.int32), np.array([[1 << 30, 3], [(1 << 31) - 1, 0], [0, 0]], np.int32)
    x, weight = sample_codes(generator, (1, 4, 4, 2)), generator.integers(-2, 3, (3, 1, 1, 2)).astype(np.int8)
    yield Sample((x, weight, bias, large), sample_attrs(ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1)), 1))


QUANTIZED_CONV = Operator(
    name="quantized_conv",
    inputs=("x", "weight", "bias", "factors"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    macs=_macs,
    cost=by_rounding(
        once=window_cost(
            Cost(mac=1.56, output=40, optional=15), Cost(mac=1.44, output=33, input=2.5, optional=15), tap=78
        ),
        twice=window_cost(
            Cost(mac=1.56, output=51, optional=15), Cost(mac=1.44, output=44, input=2.5, optional=15), tap=78
        ),
    ),
    scratch=row_columns,
)
