"""down: what an int8 A makes of codes, as int16 codes of 2^places sums each; and A's and B's gradients through it.

y = saturate((Σ (x − zero)·a) / 2^places), to nearest, ties up. x: (1, *spatial, C) or (..., C) int8; weight: (r,
*kernel, C/groups) or (r, C) int8; y: (1, *positions, r) or (..., r) int16. Its gradient passes rounding and saturation
as it is.
`down_weight_gradient`: dw = Σ down·dy over rows; down: (..., r) int16; dy: (..., O) float32; dw: (O, r).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, TensorType
from micrograft.ops.block import contracted, narrowed
from micrograft.ops.conv import CONV, ConvAttrs, ConvInputGradientAttrs
from micrograft.ops.conv_of_codes import ConvOfCodesWeightGradientAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.linear import LINEAR, LINEAR_WEIGHT_GRADIENT, linear_kernel_call, rows
from micrograft.ops.linear_of_codes import ROWS, OfCodesAttrs
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.quantized_conv import QUANTIZED_CONV, QuantizedConvAttrs
from micrograft.ops.requantization import check_codes, sample_codes
from micrograft.ops.scale import ScaleAttrs


@dataclass(frozen=True)
class DownAttrs(Attrs):
    """conv: None for a linear layer. x_zero: the code of x that means 0. places: that a sum is shifted to the right."""

    conv: ConvAttrs | None
    x_zero: int
    places: int


def _infer(attrs: DownAttrs, types: Types) -> Types:
    x, weight = types
    check_codes(x, attrs.x_zero)
    require(weight.dtype is DType.INT8, f"the weight is {weight.dtype.value}, not int8")
    real = [TensorType(type_.shape) for type_ in types]
    (y,) = LINEAR.infer(Attrs(), real) if attrs.conv is None else CONV.infer(attrs.conv, real)
    return (TensorType(y.shape, DType.INT16),)


def _evaluate(attrs: DownAttrs, arrays: Arrays) -> Arrays:
    x, weight = arrays[0].astype(np.float64) - attrs.x_zero, arrays[1].astype(np.float64)
    (sums,) = LINEAR.evaluate(Attrs(), (x, weight)) if attrs.conv is None else CONV.evaluate(attrs.conv, (x, weight))
    return (narrowed(sums.astype(np.int64), attrs.places, DType.INT16),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, DownAttrs)
    sums = backward.emit("scale", dy, attrs=ScaleAttrs(2.0**-attrs.places))
    codes = Quantization((1.0,), (attrs.x_zero,))
    dx = dw = None
    if backward.needs(x) and attrs.conv is None:
        dx = backward.emit("linear_input_gradient", sums, weight)
    elif backward.needs(x) and attrs.conv is not None:
        dx = backward.emit("conv_input_gradient", sums, weight, attrs=ConvInputGradientAttrs(attrs.conv, x.shape))
    if backward.needs(weight) and attrs.conv is None:
        dw = backward.emit("linear_of_codes_weight_gradient", x, sums, attrs=OfCodesAttrs(codes))
    elif backward.needs(weight) and attrs.conv is not None:
        weight_attrs = ConvOfCodesWeightGradientAttrs(attrs.conv, weight.shape[1:-1], codes)
        dw = backward.emit("conv_of_codes_weight_gradient", x, sums, attrs=weight_attrs)
    return dx, dw


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, DownAttrs)
    window, shape, groups = ROWS, x.shape, 1
    if attrs.conv is not None:
        window, groups = attrs.conv.window(weight.shape[1:-1]), attrs.conv.groups
    else:
        shape = (1, rows(x.shape), x.shape[-1])
    channels = (("in_channels", x.shape[-1]), ("out_channels", weight.shape[0]), ("groups", groups))
    fields = (*window.fields(shape), *channels, ("x_zero", attrs.x_zero), ("places", attrs.places))
    return (KernelCall("mg_down_int16", "mg_down_params", fields, (x, weight, node.outputs[0])),)


def _macs(node: Node) -> int:
    return node.outputs[0].type.size * math.prod(node.inputs[1].shape[1:])


def _samples() -> Iterator[Sample]:
    for index, sample in enumerate(QUANTIZED_CONV.samples()):
        assert isinstance(sample.attrs, QuantizedConvAttrs)
        attrs = DownAttrs(sample.attrs.conv, sample.attrs.x_zero, (0, 3, 9)[index % 3])
        yield Sample(sample.inputs[:2], attrs, differentiable=())
    generator = np.random.default_rng(6)
    for shape, outputs, places in [((1, 5), 3, 0), ((2, 3, 70), 9, 4), ((1, 300), 4, 1)]:
        x, weight = sample_codes(generator, shape), sample_codes(generator, (outputs, shape[-1]))
        yield Sample((x, weight), DownAttrs(None, -128, places), differentiable=())


DOWN = Operator(
    name="down",
    inputs=("x", "weight"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT16: _call},
    gradient=_gradient,
    macs=_macs,
    cost=Cost(mac=2.6, output=100),
)


def _infer_weight_gradient(attrs: Attrs, types: Types) -> Types:
    down, dy = types
    require(down.dtype is DType.INT16, f"down is {down.dtype.value}, not int16")
    require(dy.dtype is DType.FLOAT32, f"the gradient is {dy.dtype.value}, not float32")
    return LINEAR_WEIGHT_GRADIENT.infer(attrs, (TensorType(down.shape), dy))


def _evaluate_weight_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    down, dy = arrays
    return LINEAR_WEIGHT_GRADIENT.evaluate(attrs, (down.astype(dy.dtype), dy))


def _weight_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    down, dy = node.inputs
    function = "mg_down_weight_gradient_float32"
    return linear_kernel_call(function, rows(down.shape), down.shape[-1], dy.shape[-1], down, dy, node.outputs[0])


def _weight_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(7)
    for leading, rank, outputs in [((1,), 4, 3), ((1, 5, 5), 3, 7), ((2, 3), 1, 9)]:
        down = generator.integers(-32767, 32768, (*leading, rank)).astype(np.int16)
        yield Sample((down, generator.standard_normal((*leading, outputs)).astype(np.float32)))


DOWN_WEIGHT_GRADIENT = Operator(
    name="down_weight_gradient",
    inputs=("down", "dy"),
    infer=_infer_weight_gradient,
    evaluate=_evaluate_weight_gradient,
    samples=_weight_gradient_samples,
    kernels={DType.FLOAT32: _weight_gradient_call},
    in_blocks=contracted("block_down_weight_gradient", gradient=1),
    macs=lambda node: rows(node.inputs[0].shape) * node.outputs[0].type.size,
    cost=Cost(mac=9.4),
)
