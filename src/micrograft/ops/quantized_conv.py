"""quantized_conv: convolution on int8 codes, int32 sums, one factor per output channel.

x: (1, *spatial, C) int8; weight: (O, *kernel, C/groups) int8, zero point 0; channels: (O, 3) int32 (see
`requantization`); y: (1, *positions, O) int8. Padding is with the code that means zero. The backward pass keeps one
bit per output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Quantization, Shape, Value
from micrograft.ops.conv import CONV, ConvAttrs, ConvInputGradientAttrs
from micrograft.ops.fixed_point import Rounding
from micrograft.ops.operator import Arrays, Backward, Gradients, Group, KernelCall, Operator, Sample, Types, require
from micrograft.ops.quantized_linear import linear_int8_call
from micrograft.ops.requantization import (
    Codes,
    check_channels,
    check_codes,
    requantized,
    sample_channels,
    sample_codes,
    sums_gradient,
    with_mask,
)
from micrograft.ops.window import Window


@dataclass(frozen=True)
class QuantizedConvAttrs(Attrs):
    """x_zero: the code of the input that means 0. y: what the output's codes mean, and its clamp."""

    conv: ConvAttrs
    x_zero: int
    y: Codes


def _infer(attrs: QuantizedConvAttrs, types: Types) -> Types:
    x, weight, channels = types
    check_codes(x, attrs.x_zero)
    require(weight.dtype is DType.INT8, f"the weight is {weight.dtype.value}, not int8")
    (real,) = CONV.infer(attrs.conv, (x, weight))
    check_channels(channels, real.shape[-1])
    return attrs.y.type(real.shape), replace(real, dtype=DType.BIT, quant=None)


def _evaluate(attrs: QuantizedConvAttrs, arrays: Arrays) -> Arrays:
    x, weight, channels = arrays
    centred = x.astype(np.float64) - attrs.x_zero  # its sums of products are exact
    (sums,) = CONV.evaluate(attrs.conv, (centred, weight.astype(np.float64)))
    y = requantized(sums, channels, attrs.y)
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    return quantized_gradient("conv_input_gradient", backward, node, gradients)


def quantized_gradient(op: str, backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    """The gradient rule of a convolution on codes; `op` computes its input's from that of its sums."""
    x, weight, channels = node.inputs
    dy = gradients[0]
    assert dy is not None and isinstance(node.attrs, QuantizedConvAttrs)
    if not backward.needs(x):
        return None, None, None
    attrs = ConvInputGradientAttrs(node.attrs.conv, x.shape)
    return backward.emit(op, sums_gradient(backward, node, dy, channels), weight, attrs=attrs), None, None


def conv_int8_call(
    function: str, window: Window, x: Shape, outputs: int, groups: int, x_zero: int, y: Codes,
    *pointers: Value | Group, rank: int = 0
) -> KernelCall:  # fmt: skip
    """A call of one of the int8 convolution kernels, whose parameters are all alike. rank: of a detour."""
    shape = (("in_channels", x[-1]), ("out_channels", outputs), ("groups", groups), ("x_zero", x_zero))
    detour = (("rank", rank), ("steps", 1.0 / y.quant.scale if rank else 0.0))
    return KernelCall(function, "mg_conv_int8_params", (*window.fields(x), *shape, y.field, *detour), pointers)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, channels = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedConvAttrs)
    if attrs.conv.is_linear(weight.shape[1:-1]):
        return with_mask(linear_int8_call(attrs.x_zero, attrs.y, x, weight, channels, node.outputs[0]), node, attrs.y)
    call = conv_int8_call(
        "mg_conv_int8", attrs.conv.window(weight.shape[1:-1]), x.shape, weight.shape[0], attrs.conv.groups,
        attrs.x_zero, attrs.y, x, weight, channels, node.outputs[0],
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
        table = sample_channels(generator, outputs, math.prod(weights[1:]))
        arrays: list[Array] = [sample_codes(generator, shape), sample_codes(generator, weights), table]
        yield Sample(tuple(arrays), sample_attrs(attrs, index))
    large = np.array([[-5, 1 << 30, 3], [7, (1 << 31) - 1, 0], [0, 0, 0]], np.int32)  # factors of 4, almost 1, and 0
    x, weight = sample_codes(generator, (1, 4, 4, 2)), generator.integers(-2, 3, (3, 1, 1, 2)).astype(np.int8)
    yield Sample((x, weight, large), sample_attrs(ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1)), 1))


QUANTIZED_CONV = Operator(
    name="quantized_conv",
    inputs=("x", "weight", "channels"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    macs=_macs,
)
