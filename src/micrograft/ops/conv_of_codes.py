"""conv_of_codes: a float32 convolution that reads int8 codes, dequantized as they are read; and its weight's gradient.

It is what an adapter's A makes of a frozen int8 layer's input: y = scale · Σ (x − zero)·a. x: (1, *spatial, C) int8;
weight: (O, *kernel, C/groups) float32; y: (1, *positions, O) float32. The backward pass keeps the codes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Quantization, Shape, TensorType, Value
from micrograft.ops.block import contracted
from micrograft.ops.conv import (
    CONV,
    CONV_WEIGHT_GRADIENT,
    ConvAttrs,
    ConvInputGradientAttrs,
    ConvWeightGradientAttrs,
    window_cost,
)
from micrograft.ops.cost import Cost, by_fours
from micrograft.ops.operator import Arrays, Backward, Gradients, Group, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import check_codes, sample_codes
from micrograft.ops.scale import ScaleAttrs
from micrograft.ops.window import Window


@dataclass(frozen=True)
class ConvOfCodesAttrs(Attrs):
    """x: what the input's codes mean."""

    conv: ConvAttrs
    x: Quantization


@dataclass(frozen=True)
class ConvOfCodesWeightGradientAttrs(Attrs):
    """kernel: the weight's spatial axes. x: what the input's codes mean."""

    conv: ConvAttrs
    kernel: tuple[int, ...]
    x: Quantization


def _real(quant: Quantization, x: Array, like: Array) -> Array:
    return np.asarray(quant.real(x).astype(like.dtype))


def _infer(attrs: ConvOfCodesAttrs, types: Types) -> Types:
    x, weight = types
    check_codes(x, attrs.x.zero)
    (y,) = CONV.infer(attrs.conv, (TensorType(x.shape), weight))
    return (y,)


def _evaluate(attrs: ConvOfCodesAttrs, arrays: Arrays) -> Arrays:
    x, weight = arrays
    return CONV.evaluate(attrs.conv, (_real(attrs.x, x, weight), weight))


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight = node.inputs
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, ConvOfCodesAttrs)
    conv, quant = node.attrs.conv, node.attrs.x
    dx = dw = None
    if backward.needs(x):
        real = backward.emit("conv_input_gradient", dy, weight, attrs=ConvInputGradientAttrs(conv, x.shape))
        dx = backward.emit("scale", real, attrs=ScaleAttrs(quant.scale))
    if backward.needs(weight):
        attrs = ConvOfCodesWeightGradientAttrs(conv, weight.shape[1:-1], quant)
        dw = backward.emit("conv_of_codes_weight_gradient", x, dy, attrs=attrs)
    return dx, dw


def codes_call(
    function: str, window: Window, x: Shape, outputs: int, groups: int, quant: Quantization, *pointers: Value | Group
) -> tuple[KernelCall, ...]:
    """A call of one of the kernels that read codes as real numbers, whose parameters are all alike."""
    shape = (("in_channels", x[-1]), ("out_channels", outputs), ("groups", groups))
    meaning = (("x_zero", quant.zero), ("x_scale", quant.scale))
    return (KernelCall(function, "mg_conv_of_codes_params", (*window.fields(x), *shape, *meaning), pointers),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvOfCodesAttrs)
    return codes_call(
        "mg_conv_of_codes_float32", attrs.conv.window(weight.shape[1:-1]), x.shape, weight.shape[0],
        attrs.conv.groups, attrs.x, x, weight, node.outputs[0],
    )  # fmt: skip


def _macs(node: Node) -> int:
    return node.outputs[0].type.size * math.prod(node.inputs[1].shape[1:])


def _cases() -> Iterator[tuple[Shape, int, tuple[int, ...], ConvAttrs, Quantization]]:
    ones, same = (1, 1), ((1, 1), (1, 1))
    quant = Quantization((0.0625,), (-128,))
    yield (1, 5, 6, 4), 4, (3, 3), ConvAttrs(ones, same, ones), quant
    yield (1, 7, 5, 3), 3, (3, 2), ConvAttrs((2, 2), ((0, 1), (1, 0)), ones), quant
    yield (1, 5, 4, 8), 6, (1, 1), ConvAttrs((2, 2), ((0, 0), (0, 0)), ones, 2), Quantization((0.5,), (12,))
    yield (1, 5, 4, 9), 5, (1, 1), ConvAttrs(ones, ((0, 0), (0, 0)), ones), Quantization((0.03125,), (0,))
    yield (1, 13, 6), 2, (5,), ConvAttrs((2,), ((2, 2),), (2,)), quant


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, outputs, kernel, attrs, quant in _cases():
        weight = generator.standard_normal((outputs, *kernel, shape[-1] // attrs.groups)).astype(np.float32)
        yield Sample((sample_codes(generator, shape), weight), ConvOfCodesAttrs(attrs, quant))


CONV_OF_CODES = Operator(
    name="conv_of_codes",
    inputs=("x", "weight"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=_macs,
    cost=window_cost(Cost(mac=5.28, output=17), Cost(mac=5.24, output=51), row=26),
)


def _infer_weight_gradient(attrs: ConvOfCodesWeightGradientAttrs, types: Types) -> Types:
    x, dy = types
    check_codes(x, attrs.x.zero)
    require(dy.dtype is DType.FLOAT32, "the gradient is not float32")
    gradient = ConvWeightGradientAttrs(attrs.conv, attrs.kernel)
    return CONV_WEIGHT_GRADIENT.infer(gradient, (TensorType(x.shape), dy))


def _evaluate_weight_gradient(attrs: ConvOfCodesWeightGradientAttrs, arrays: Arrays) -> Arrays:
    x, dy = arrays
    gradient = ConvWeightGradientAttrs(attrs.conv, attrs.kernel)
    return CONV_WEIGHT_GRADIENT.evaluate(gradient, (_real(attrs.x, x, dy), dy))


def _weight_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    x, dy = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvOfCodesWeightGradientAttrs)
    return codes_call(
        "mg_conv_of_codes_weight_gradient_float32", attrs.conv.window(attrs.kernel), x.shape, dy.shape[-1],
        attrs.conv.groups, attrs.x, x, dy, node.outputs[0],
    )  # fmt: skip


def _weight_gradient_macs(node: Node) -> int:
    return node.inputs[1].type.size * math.prod(node.outputs[0].shape[1:])


def _weight_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, outputs, kernel, attrs, quant in _cases():
        positions = attrs.window(kernel).output(shape[1:-1])
        dy = generator.standard_normal((1, *positions, outputs)).astype(np.float32)
        yield Sample((sample_codes(generator, shape), dy), ConvOfCodesWeightGradientAttrs(attrs, kernel, quant))


CONV_OF_CODES_WEIGHT_GRADIENT = Operator(
    name="conv_of_codes_weight_gradient",
    inputs=("x", "dy"),
    infer=_infer_weight_gradient,
    evaluate=_evaluate_weight_gradient,
    samples=_weight_gradient_samples,
    kernels={DType.FLOAT32: _weight_gradient_call},
    in_blocks=contracted("block_conv_of_codes_weight_gradient", gradient=1, unit=lambda attrs: attrs.x.scale),
    macs=_weight_gradient_macs,
    cost=window_cost(by_fours(Cost(mac=2.65, output=18), 0.65), by_fours(Cost(mac=2.63, output=8.8), 0.65)),
)
