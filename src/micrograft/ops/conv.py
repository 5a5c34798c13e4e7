"""conv: convolution over one or two spatial axes, with stride, padding, dilation and groups.

x: (1, *spatial, C); weight: (O, *kernel, C/groups); bias: (O,); y: (1, *positions, O).
A 1×1 convolution is a linear layer over the positions and runs in its kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.block import contracted
from micrograft.ops.cost import Cost, CostRule, by_fours, by_weight
from micrograft.ops.linear import bias_gradient, linear_call, linear_input_gradient_call, linear_weight_gradient_call
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    Group,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)
from micrograft.ops.window import Window


@dataclass(frozen=True)
class ConvAttrs(Attrs):
    """One entry per spatial axis; padding is (before, after)."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def window(self, kernel: tuple[int, ...]) -> Window:
        return Window(kernel, self.stride, self.padding, self.dilation)

    def is_linear(self, kernel: tuple[int, ...]) -> bool:
        """Whether it is a linear layer over the positions."""
        unpadded = all(pads == (0, 0) for pads in self.padding)
        return {*kernel, *self.stride, self.groups} == {1} and unpadded


@dataclass(frozen=True)
class ConvInputGradientAttrs(Attrs):
    """input_shape: of the x whose gradient this is, (1, *spatial, C)."""

    conv: ConvAttrs
    input_shape: Shape


@dataclass(frozen=True)
class ConvWeightGradientAttrs(Attrs):
    """kernel: the weight's spatial axes."""

    conv: ConvAttrs
    kernel: tuple[int, ...]


def conv_kernel_call(
    function: str, window: Window, x: Shape, outputs: int, groups: int, *pointers: Value | Group | None
) -> tuple[KernelCall, ...]:
    """A call of one of the convolution kernels, whose parameters are all alike."""
    channels = (("in_channels", x[-1]), ("out_channels", outputs), ("groups", groups))
    return (KernelCall(function, "mg_conv_params", (*window.fields(x), *channels), pointers),)


def window_cost(cost: CostRule, linear: CostRule | None = None, *, row: float = 0, tap: float = 0) -> CostRule:
    """The cost of a convolution, or of a gradient of one: products with padding are not computed.

    row, tap: instructions for each row of the window at each output, and for each tap at each position. linear: the
    cost where it is a linear layer over the positions and runs in its kernels.
    """

    def rule(node: Node, macs: float) -> float:
        attrs: Any = node.attrs  # of any convolution: its geometry, or what holds that
        conv = attrs if isinstance(attrs, ConvAttrs) else attrs.conv
        kernel = getattr(attrs, "kernel", node.inputs[1].shape[1:-1])
        if linear is not None and conv.is_linear(kernel):
            return linear(node, macs)
        x, window = getattr(attrs, "input_shape", node.inputs[0].shape), conv.window(kernel)
        seen, all_taps = window.taps_inside(x), window.places * math.prod(window.output(x[1:-1]))
        rows = node.outputs[0].type.size * (kernel[0] if len(kernel) == 2 else 1)
        return cost(node, macs * seen / all_taps) + row * rows + tap * seen

    return rule


def _split(array: Array, groups: int) -> Array:
    """(..., groups·n) as (groups, positions, n), positions in order."""
    return np.moveaxis(array.reshape(-1, groups, array.shape[-1] // groups), 1, 0)


def _columns(window: Window, x: Array, groups: int) -> Array:
    """The windows of x as (groups, positions, taps·C/groups)."""
    windows = _split(window.view(x), groups)
    return windows.reshape(groups, -1, window.places * windows.shape[-1])


def _infer(attrs: ConvAttrs, types: Types) -> Types:
    x, weight, *bias = types
    window = attrs.window(weight.shape[1:-1])
    window.check(x.shape)
    outputs, channels = weight.shape[0], weight.shape[-1]
    require(attrs.groups >= 1 and outputs % attrs.groups == 0, f"{outputs} outputs do not make {attrs.groups} groups")
    takes = channels * attrs.groups
    require(x.shape[-1] == takes, f"the input has {x.shape[-1]} channels, but the layer takes {takes}")
    require(all(each.shape == (outputs,) for each in bias), "the bias does not match the outputs")
    return (TensorType((1, *window.output(x.shape[1:-1]), outputs), x.dtype),)


def _evaluate(attrs: ConvAttrs, arrays: Arrays) -> Arrays:
    x, weight, *bias = arrays
    window = attrs.window(weight.shape[1:-1])
    kernels = weight.reshape(attrs.groups, weight.shape[0] // attrs.groups, -1)
    y = _columns(window, x, attrs.groups) @ kernels.swapaxes(1, 2)
    y = np.moveaxis(y, 0, 1).reshape(1, *window.output(x.shape[1:-1]), weight.shape[0])
    return (y + bias[0] if bias else y,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    return conv_gradient("conv", backward, node, gradients)


def conv_gradient(op: str, backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    """The gradient rule of `op`, which has nodes `op`_input_gradient and `op`_weight_gradient."""
    x, weight, *bias = node.inputs
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, ConvAttrs)
    dx = dw = None
    if backward.needs(x):
        dx = backward.emit(f"{op}_input_gradient", dy, weight, attrs=ConvInputGradientAttrs(node.attrs, x.shape))
    if backward.needs(weight):
        attrs = ConvWeightGradientAttrs(node.attrs, weight.shape[1:-1])
        dw = backward.emit(f"{op}_weight_gradient", x, dy, attrs=attrs)
    return (dx, dw, *(bias_gradient(backward, each, dy) for each in bias))


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, *bias = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvAttrs)
    kernel = weight.shape[1:-1]
    if attrs.is_linear(kernel):
        return linear_call(node)
    pointers = (x, weight, bias[0] if bias else None, node.outputs[0])
    return conv_kernel_call("mg_conv_float32", attrs.window(kernel), x.shape, weight.shape[0], attrs.groups, *pointers)


def _macs(node: Node) -> int:
    return node.outputs[0].type.size * math.prod(node.inputs[1].shape[1:])


# Input shape, outputs, kernel, attributes, bias.
_Case = tuple[Shape, int, tuple[int, ...], ConvAttrs, bool]


def _cases() -> Iterator[_Case]:
    ones, none = (1, 1), ((0, 0), (0, 0))
    same = ((1, 1), (1, 1))
    yield (1, 5, 6, 4), 8, (3, 3), ConvAttrs(ones, same, ones), True
    yield (1, 7, 5, 3), 5, (3, 2), ConvAttrs((2, 2), ((0, 1), (1, 0)), ones), True
    yield (1, 9, 8, 6), 10, (3, 3), ConvAttrs((1, 2), ((2, 1), (0, 3)), (2, 2), 2), False
    yield (1, 7, 7, 2), 3, (3, 3), ConvAttrs((2, 3), ((3, 4), (4, 3)), (3, 2)), True
    yield (1, 4, 7, 1), 5, (3, 3), ConvAttrs(ones, same, ones), False
    yield (1, 6, 4, 5), 1, (2, 3), ConvAttrs((2, 1), none, ones), True
    yield (1, 3, 2, 8), 6, (5, 5), ConvAttrs(ones, ((2, 2), (2, 3)), ones), True
    yield (1, 5, 4, 7), 9, (1, 1), ConvAttrs(ones, none, ones), True
    yield (1, 5, 4, 8), 4, (1, 1), ConvAttrs((2, 2), none, ones, 4), False
    yield (1, 13, 6), 7, (5,), ConvAttrs((2,), ((2, 2),), (1,)), True
    yield (1, 11, 4), 8, (3,), ConvAttrs((1,), ((4, 0),), (2,), 2), True
    yield (1, 6, 3), 2, (1,), ConvAttrs((1,), ((0, 0),), (1,)), False


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, outputs, kernel, attrs, bias in _cases():
        arrays = [
            generator.standard_normal(shape),
            generator.standard_normal((outputs, *kernel, shape[-1] // attrs.groups)),
        ]
        if bias:
            arrays.append(generator.standard_normal(outputs))
        yield Sample(tuple(array.astype(np.float32) for array in arrays), attrs)


CONV = Operator(
    name="conv",
    inputs=("x", "weight", "bias?"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=_macs,
    cost=window_cost(by_fours(Cost(mac=2.1, output=9.5)), by_fours(Cost(mac=2.1, output=10)), row=13.7),
)


def _infer_input_gradient(attrs: ConvInputGradientAttrs, types: Types) -> Types:
    dy, weight = types
    window = attrs.conv.window(weight.shape[1:-1])
    expected = (1, *window.output(attrs.input_shape[1:-1]), weight.shape[0])
    require(dy.shape == expected, f"the gradient has shape {dy.shape}, not {expected}")
    return (TensorType(attrs.input_shape, dy.dtype),)


def _evaluate_input_gradient(attrs: ConvInputGradientAttrs, arrays: Arrays) -> Arrays:
    dy, weight = arrays
    groups, window = attrs.conv.groups, attrs.conv.window(weight.shape[1:-1])
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    columns = (_split(dy, groups) @ kernels).reshape(groups, -1, window.places, weight.shape[-1])
    columns = np.moveaxis(columns, 0, 2).reshape(*dy.shape[:-1], *window.kernel, attrs.input_shape[-1])
    return (window.fold(columns, attrs.input_shape),)


def _input_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, weight = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvInputGradientAttrs)
    conv, kernel = attrs.conv, weight.shape[1:-1]
    if conv.is_linear(kernel):
        return linear_input_gradient_call(node)
    return conv_kernel_call(
        f"mg_conv_input_gradient_{weight.dtype.value}", conv.window(kernel), attrs.input_shape, weight.shape[0],
        conv.groups, dy, weight, node.outputs[0],
    )  # fmt: skip


def _input_gradient_macs(node: Node) -> int:
    return node.inputs[0].type.size * math.prod(node.inputs[1].shape[1:])


def _input_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, outputs, kernel, attrs, _ in _cases():
        positions = attrs.window(kernel).output(shape[1:-1])
        dy = generator.standard_normal((1, *positions, outputs)).astype(np.float32)
        weight = generator.standard_normal((outputs, *kernel, shape[-1] // attrs.groups)).astype(np.float32)
        yield Sample((dy, weight), ConvInputGradientAttrs(attrs, shape))
        codes = generator.integers(-127, 128, weight.shape).astype(np.int8)  # a frozen int8 layer's
        yield Sample((dy, codes), ConvInputGradientAttrs(attrs, shape))


CONV_INPUT_GRADIENT = Operator(
    name="conv_input_gradient",
    inputs=("dy", "weight"),
    infer=_infer_input_gradient,
    evaluate=_evaluate_input_gradient,
    samples=_input_gradient_samples,
    kernels={DType.FLOAT32: _input_gradient_call},
    macs=_input_gradient_macs,
    cost=by_weight(
        window_cost(by_fours(Cost(mac=2.62, output=14)), by_fours(Cost(mac=2.55, output=4.8)), tap=60),
        window_cost(Cost(mac=5.5, output=14), Cost(mac=2.43, output=5), tap=55),
    ),
    in_blocks=contracted("block_conv_input_gradient"),
)


def _infer_weight_gradient(attrs: ConvWeightGradientAttrs, types: Types) -> Types:
    x, dy = types
    window = attrs.conv.window(attrs.kernel)
    expected = (1, *window.output(x.shape[1:-1]), dy.shape[-1])
    require(dy.shape == expected, f"the gradient has shape {dy.shape}, not {expected}")
    return (TensorType((dy.shape[-1], *attrs.kernel, x.shape[-1] // attrs.conv.groups), x.dtype),)


def _evaluate_weight_gradient(attrs: ConvWeightGradientAttrs, arrays: Arrays) -> Arrays:
    x, dy = arrays
    groups = attrs.conv.groups
    dw = _split(dy, groups).swapaxes(1, 2) @ _columns(attrs.conv.window(attrs.kernel), x, groups)
    return (dw.reshape(dy.shape[-1], *attrs.kernel, x.shape[-1] // groups),)


def _weight_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    x, dy = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvWeightGradientAttrs)
    conv = attrs.conv
    if conv.is_linear(attrs.kernel):
        return linear_weight_gradient_call(node)
    return conv_kernel_call(
        "mg_conv_weight_gradient_float32", conv.window(attrs.kernel), x.shape, dy.shape[-1], conv.groups,
        x, dy, node.outputs[0],
    )  # fmt: skip


def _weight_gradient_macs(node: Node) -> int:
    return node.inputs[1].type.size * math.prod(node.outputs[0].shape[1:])


def _weight_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for shape, outputs, kernel, attrs, _ in _cases():
        positions = attrs.window(kernel).output(shape[1:-1])
        x = generator.standard_normal(shape).astype(np.float32)
        dy = generator.standard_normal((1, *positions, outputs)).astype(np.float32)
        yield Sample((x, dy), ConvWeightGradientAttrs(attrs, kernel))


CONV_WEIGHT_GRADIENT = Operator(
    name="conv_weight_gradient",
    inputs=("x", "dy"),
    infer=_infer_weight_gradient,
    evaluate=_evaluate_weight_gradient,
    samples=_weight_gradient_samples,
    kernels={DType.FLOAT32: _weight_gradient_call},
    macs=_weight_gradient_macs,
    cost=window_cost(by_fours(Cost(mac=1.85, output=14)), Cost(mac=1.83, output=3.5)),
)
