"""depthwise_conv: each output channel sees one input channel, number o // multiplier.

x: (1, *spatial, C); weight: (1, *kernel, O) with O = multiplier·C; bias: (O,); y: (1, *positions, O).
The channels of a tap lie side by side, so that four neighbours are computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import Array, DType, Shape, TensorType
from micrograft.ops.block import contracted
from micrograft.ops.conv import (
    ConvAttrs,
    ConvInputGradientAttrs,
    ConvWeightGradientAttrs,
    conv_gradient,
    conv_kernel_call,
    window_cost,
)
from micrograft.ops.cost import Cost, by_weight
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.window import Window


def _products(window: Window, x: Array, factor: Array) -> Array:
    """The windows of x, each channel repeated for its outputs, times `factor`: (1, *positions, *kernel, O)."""
    windows = window.view(x)
    product: Array = windows.repeat(factor.shape[-1] // x.shape[-1], axis=-1) * factor
    return product


def _spread(window: Window, dy: Array) -> Array:
    """dy with an axis of one for each of the window's, to meet (1, *positions, *kernel, O)."""
    return np.expand_dims(dy, tuple(range(dy.ndim - 1, dy.ndim - 1 + len(window.kernel))))


def _infer(attrs: ConvAttrs, types: Types) -> Types:
    x, weight, *bias = types
    window = attrs.window(weight.shape[1:-1])
    window.check(x.shape)
    outputs = weight.shape[-1]
    require(weight.shape[0] == 1, f"the weight's first axis is {weight.shape[0]}, not 1")
    require(outputs % x.shape[-1] == 0, f"{outputs} outputs are not a multiple of {x.shape[-1]} channels")
    require(all(each.shape == (outputs,) for each in bias), "the bias does not match the outputs")
    return (TensorType((1, *window.output(x.shape[1:-1]), outputs), x.dtype),)


def _evaluate(attrs: ConvAttrs, arrays: Arrays) -> Arrays:
    x, weight, *bias = arrays
    window = attrs.window(weight.shape[1:-1])
    rank = len(window.kernel)
    y = _products(window, x, weight[0]).sum(axis=tuple(range(rank + 1, 2 * rank + 1)))
    return (y + bias[0] if bias else y,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    return conv_gradient("depthwise_conv", backward, node, gradients)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, *bias = node.inputs
    assert isinstance(node.attrs, ConvAttrs)
    return conv_kernel_call(
        "mg_depthwise_conv_float32", node.attrs.window(weight.shape[1:-1]), x.shape, weight.shape[-1], x.shape[-1],
        x, weight, bias[0] if bias else None, node.outputs[0],
    )  # fmt: skip


def _macs(node: Node) -> int:
    return node.outputs[0].type.size * math.prod(node.inputs[1].shape[1:-1])


# Input shape, multiplier, kernel, attributes, bias.
_Case = tuple[Shape, int, tuple[int, ...], ConvAttrs, bool]


def _cases() -> Iterator[_Case]:
    ones, same = (1, 1), ((1, 1), (1, 1))
    yield (1, 6, 7, 8), 1, (3, 3), ConvAttrs(ones, same, ones), True
    yield (1, 7, 5, 5), 1, (3, 3), ConvAttrs((2, 2), ((0, 1), (1, 0)), ones), False
    yield (1, 6, 7, 3), 2, (3, 2), ConvAttrs((1, 2), same, (2, 1)), True
    yield (1, 8, 9, 6), 1, (3, 3), ConvAttrs((2, 3), ((3, 2), (2, 4)), (3, 2)), True
    yield (1, 3, 2, 4), 1, (5, 5), ConvAttrs(ones, ((2, 2), (2, 3)), ones), True
    yield (1, 5, 5, 1), 5, (3, 3), ConvAttrs(ones, same, ones), True
    yield (1, 4, 5, 1), 1, (2, 2), ConvAttrs(ones, ((0, 0), (0, 0)), ones), False
    yield (1, 14, 9), 1, (5,), ConvAttrs((2,), ((2, 2),), (1,)), True
    yield (1, 9, 2), 3, (3,), ConvAttrs((1,), ((2, 0),), (2,)), True


def _weight(generator: np.random.Generator, shape: Shape, multiplier: int, kernel: tuple[int, ...]) -> Array:
    return generator.standard_normal((1, *kernel, multiplier * shape[-1])).astype(np.float32)


def _upstream(generator: np.random.Generator, case: _Case) -> Array:
    shape, multiplier, kernel, attrs, _ = case
    positions = attrs.window(kernel).output(shape[1:-1])
    return generator.standard_normal((1, *positions, multiplier * shape[-1])).astype(np.float32)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, multiplier, kernel, attrs, bias in _cases():
        arrays = [generator.standard_normal(shape).astype(np.float32), _weight(generator, shape, multiplier, kernel)]
        if bias:
            arrays.append(generator.standard_normal(multiplier * shape[-1]).astype(np.float32))
        yield Sample(tuple(arrays), attrs)


DEPTHWISE_CONV = Operator(
    name="depthwise_conv",
    inputs=("x", "weight", "bias?"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=_macs,
    cost=window_cost(Cost(mac=4.4, output=5)),
)


def _infer_input_gradient(attrs: ConvInputGradientAttrs, types: Types) -> Types:
    dy, weight = types
    window = attrs.conv.window(weight.shape[1:-1])
    expected = (1, *window.output(attrs.input_shape[1:-1]), weight.shape[-1])
    require(dy.shape == expected, f"the gradient has shape {dy.shape}, not {expected}")
    return (TensorType(attrs.input_shape, dy.dtype),)


def _evaluate_input_gradient(attrs: ConvInputGradientAttrs, arrays: Arrays) -> Arrays:
    dy, weight = arrays
    window = attrs.conv.window(weight.shape[1:-1])
    columns = _spread(window, dy) * weight[0]
    channels = attrs.input_shape[-1]
    columns = columns.reshape(*columns.shape[:-1], channels, weight.shape[-1] // channels).sum(axis=-1)
    return (window.fold(columns, attrs.input_shape),)


def _input_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, weight = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvInputGradientAttrs)
    shape = attrs.input_shape
    return conv_kernel_call(
        f"mg_depthwise_conv_input_gradient_{weight.dtype.value}", attrs.conv.window(weight.shape[1:-1]), shape,
        dy.shape[-1], shape[-1], dy, weight, node.outputs[0],
    )  # fmt: skip


def _input_gradient_macs(node: Node) -> int:
    return node.inputs[0].type.size * math.prod(node.inputs[1].shape[1:-1])


def _input_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for case in _cases():
        shape, multiplier, kernel, attrs, _ = case
        dy, weight = _upstream(generator, case), _weight(generator, shape, multiplier, kernel)
        yield Sample((dy, weight), ConvInputGradientAttrs(attrs, shape))
        codes = generator.integers(-127, 128, weight.shape).astype(np.int8)  # a frozen int8 layer's
        yield Sample((dy, codes), ConvInputGradientAttrs(attrs, shape))


DEPTHWISE_CONV_INPUT_GRADIENT = Operator(
    name="depthwise_conv_input_gradient",
    inputs=("dy", "weight"),
    infer=_infer_input_gradient,
    evaluate=_evaluate_input_gradient,
    samples=_input_gradient_samples,
    kernels={DType.FLOAT32: _input_gradient_call},
    in_blocks=contracted("block_depthwise_conv_input_gradient"),
    macs=_input_gradient_macs,
    cost=by_weight(window_cost(Cost(mac=4.1, output=8)), window_cost(Cost(mac=6.8, output=14))),
)


def _infer_weight_gradient(attrs: ConvWeightGradientAttrs, types: Types) -> Types:
    x, dy = types
    expected = (1, *attrs.conv.window(attrs.kernel).output(x.shape[1:-1]), dy.shape[-1])
    require(dy.shape == expected, f"the gradient has shape {dy.shape}, not {expected}")
    return (TensorType((1, *attrs.kernel, dy.shape[-1]), x.dtype),)


def _evaluate_weight_gradient(attrs: ConvWeightGradientAttrs, arrays: Arrays) -> Arrays:
    x, dy = arrays
    window = attrs.conv.window(attrs.kernel)
    products = _products(window, x, _spread(window, dy))
    return (products.sum(axis=tuple(range(1, len(window.kernel) + 1))),)


def _weight_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    x, dy = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvWeightGradientAttrs)
    return conv_kernel_call(
        "mg_depthwise_conv_weight_gradient_float32", attrs.conv.window(attrs.kernel), x.shape, dy.shape[-1],
        x.shape[-1], x, dy, node.outputs[0],
    )  # fmt: skip


def _weight_gradient_macs(node: Node) -> int:
    assert isinstance(node.attrs, ConvWeightGradientAttrs)
    return node.inputs[1].type.size * math.prod(node.attrs.kernel)


def _weight_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for case in _cases():
        shape, _, kernel, attrs, _ = case
        x = generator.standard_normal(shape).astype(np.float32)
        yield Sample((x, _upstream(generator, case)), ConvWeightGradientAttrs(attrs, kernel))


DEPTHWISE_CONV_WEIGHT_GRADIENT = Operator(
    name="depthwise_conv_weight_gradient",
    inputs=("x", "dy"),
    infer=_infer_weight_gradient,
    evaluate=_evaluate_weight_gradient,
    samples=_weight_gradient_samples,
    kernels={DType.FLOAT32: _weight_gradient_call},
    macs=_weight_gradient_macs,
    cost=window_cost(Cost(mac=3.8, output=7.5)),
)
