"""depthwise_conv_of_codes_weight_gradient: the gradient of a depthwise convolution's int8 weight.

dw = scale · Σ (x − zero)·dy over the positions that a tap meets. x: (1, *spatial, C) int8; dy: (1, *positions, O)
float32, the gradient of the int32 sums; dw: (1, *kernel, O) float32. The backward pass keeps the codes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, Quantization, Shape, TensorType
from micrograft.ops.block import contracted
from micrograft.ops.conv import ConvAttrs, ConvWeightGradientAttrs, window_cost
from micrograft.ops.conv_of_codes import ConvOfCodesWeightGradientAttrs, codes_call
from micrograft.ops.cost import Cost
from micrograft.ops.depthwise_conv import DEPTHWISE_CONV_WEIGHT_GRADIENT
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import check_codes, sample_codes


def _infer(attrs: ConvOfCodesWeightGradientAttrs, types: Types) -> Types:
    x, dy = types
    check_codes(x, attrs.x.zero)
    require(dy.dtype is DType.FLOAT32, "the gradient is not float32")
    gradient = ConvWeightGradientAttrs(attrs.conv, attrs.kernel)
    return DEPTHWISE_CONV_WEIGHT_GRADIENT.infer(gradient, (TensorType(x.shape), dy))


def _evaluate(attrs: ConvOfCodesWeightGradientAttrs, arrays: Arrays) -> Arrays:
    x, dy = arrays
    gradient = ConvWeightGradientAttrs(attrs.conv, attrs.kernel)
    return DEPTHWISE_CONV_WEIGHT_GRADIENT.evaluate(gradient, (attrs.x.real(x).astype(dy.dtype), dy))


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, dy = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvOfCodesWeightGradientAttrs)
    return codes_call(
        "mg_depthwise_conv_of_codes_weight_gradient_float32", attrs.conv.window(attrs.kernel), x.shape, dy.shape[-1],
        x.shape[-1], attrs.x, x, dy, node.outputs[0],
    )  # fmt: skip


def _macs(node: Node) -> int:
    return node.inputs[1].type.size * (node.outputs[0].type.size // node.outputs[0].shape[-1])


def _cases() -> Iterator[tuple[Shape, int, tuple[int, ...], ConvAttrs, Quantization]]:
    ones, same = (1, 1), ((1, 1), (1, 1))
    codes = Quantization((1.0,), (-128,))
    yield (1, 6, 7, 8), 1, (3, 3), ConvAttrs(ones, same, ones), codes
    yield (1, 7, 5, 5), 1, (3, 3), ConvAttrs((2, 2), ((0, 1), (1, 0)), ones), Quantization((0.5,), (9,))
    yield (1, 6, 7, 3), 2, (3, 2), ConvAttrs((1, 2), same, (2, 1)), codes
    yield (1, 3, 2, 4), 1, (5, 5), ConvAttrs(ones, ((2, 2), (2, 3)), ones), codes
    yield (1, 14, 9), 1, (5,), ConvAttrs((2,), ((2, 2),), (1,)), Quantization((1.0,), (0,))


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, multiplier, kernel, attrs, codes in _cases():
        positions = attrs.window(kernel).output(shape[1:-1])
        dy = generator.standard_normal((1, *positions, multiplier * shape[-1])).astype(np.float32)
        yield Sample((sample_codes(generator, shape), dy), ConvOfCodesWeightGradientAttrs(attrs, kernel, codes))


DEPTHWISE_CONV_OF_CODES_WEIGHT_GRADIENT = Operator(
    name="depthwise_conv_of_codes_weight_gradient",
    inputs=("x", "dy"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    in_blocks=contracted("block_depthwise_conv_of_codes_weight_gradient", gradient=1, unit=lambda attrs: attrs.x.scale),
    macs=_macs,
    cost=window_cost(Cost(mac=7.4, output=18)),
)
