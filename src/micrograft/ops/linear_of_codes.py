"""linear_of_codes: a float32 linear layer that reads int8 codes, dequantized as they are read; its weight's gradient.

y = scale · Σ (x − zero)·w. x: (..., inputs) int8; weight: (outputs, inputs) float32; y: (..., outputs) float32. It is
what an adapter's A makes of a frozen int8 layer's input; with a scale of one its weight's gradient is that of int8
codes. The kernels are those of `conv_of_codes`, with rows for positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, Shape, TensorType, Value
from micrograft.ops.block import contracted
from micrograft.ops.conv_of_codes import codes_call
from micrograft.ops.cost import Cost
from micrograft.ops.linear import LINEAR, LINEAR_WEIGHT_GRADIENT, rows
from micrograft.ops.operator import Arrays, Backward, Gradients, Group, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import check_codes, sample_codes
from micrograft.ops.scale import ScaleAttrs
from micrograft.ops.window import Window

ROWS = Window((1,), (1,), ((0, 0),), (1,))
"""Rows as the positions of a window of one place."""


@dataclass(frozen=True)
class OfCodesAttrs(Attrs):
    """x: what the input's codes mean."""

    x: Quantization


def _infer(attrs: OfCodesAttrs, types: Types) -> Types:
    x, weight = types
    check_codes(x, attrs.x.zero)
    (y,) = LINEAR.infer(Attrs(), (TensorType(x.shape), weight))
    return (y,)


def _evaluate(attrs: OfCodesAttrs, arrays: Arrays) -> Arrays:
    x, weight = arrays
    return LINEAR.evaluate(Attrs(), (attrs.x.real(x).astype(weight.dtype), weight))


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight = node.inputs
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, OfCodesAttrs)
    dx = dw = None
    if backward.needs(x):
        real = backward.emit("linear_input_gradient", dy, weight)
        dx = backward.emit("scale", real, attrs=ScaleAttrs(node.attrs.x.scale))
    if backward.needs(weight):
        dw = backward.emit("linear_of_codes_weight_gradient", x, dy, attrs=node.attrs)
    return dx, dw


def rows_call(
    function: str, x: Value, outputs: int, quant: Quantization, *pointers: Value | Group
) -> tuple[KernelCall, ...]:
    """A call of one of the kernels of `conv_of_codes`, with rows for positions."""
    shape = (1, rows(x.shape), x.shape[-1])
    return codes_call(function, ROWS, shape, outputs, 1, quant, x, *pointers)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight = node.inputs
    assert isinstance(node.attrs, OfCodesAttrs)
    return rows_call("mg_conv_of_codes_float32", x, weight.shape[0], node.attrs.x, weight, node.outputs[0])


def _macs(node: Node) -> int:
    return rows(node.inputs[0].shape) * node.inputs[1].type.size


def _cases() -> Iterator[tuple[Shape, int, OfCodesAttrs]]:
    yield (1, 5), 3, OfCodesAttrs(Quantization((0.0625,), (-128,)))
    yield (1, 64), 12, OfCodesAttrs(Quantization((1.0,), (7,)))
    yield (2, 3, 7), 9, OfCodesAttrs(Quantization((0.5,), (0,)))


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, outputs, attrs in _cases():
        weight = generator.standard_normal((outputs, shape[-1])).astype(np.float32)
        yield Sample((sample_codes(generator, shape), weight), attrs)


LINEAR_OF_CODES = Operator(
    name="linear_of_codes",
    inputs=("x", "weight"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=_macs,
    cost=Cost(mac=5.0, output=45),
)


def _infer_weight_gradient(attrs: OfCodesAttrs, types: Types) -> Types:
    x, dy = types
    check_codes(x, attrs.x.zero)
    require(dy.dtype is DType.FLOAT32, "the gradient is not float32")
    return LINEAR_WEIGHT_GRADIENT.infer(Attrs(), (TensorType(x.shape), dy))


def _evaluate_weight_gradient(attrs: OfCodesAttrs, arrays: Arrays) -> Arrays:
    x, dy = arrays
    return LINEAR_WEIGHT_GRADIENT.evaluate(Attrs(), (attrs.x.real(x).astype(dy.dtype), dy))


def _weight_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    x, dy = node.inputs
    assert isinstance(node.attrs, OfCodesAttrs)
    function = "mg_conv_of_codes_weight_gradient_float32"
    return rows_call(function, x, dy.shape[-1], node.attrs.x, dy, node.outputs[0])


def _weight_gradient_macs(node: Node) -> int:
    return rows(node.inputs[0].shape) * node.outputs[0].type.size


def _weight_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, outputs, attrs in _cases():
        dy = generator.standard_normal((*shape[:-1], outputs)).astype(np.float32)
        yield Sample((sample_codes(generator, shape), dy), attrs)


LINEAR_OF_CODES_WEIGHT_GRADIENT = Operator(
    name="linear_of_codes_weight_gradient",
    inputs=("x", "dy"),
    infer=_infer_weight_gradient,
    evaluate=_evaluate_weight_gradient,
    samples=_weight_gradient_samples,
    kernels={DType.FLOAT32: _weight_gradient_call},
    in_blocks=contracted("block_linear_of_codes_weight_gradient", gradient=1, unit=lambda attrs: attrs.x.scale),
    macs=_weight_gradient_macs,
    cost=Cost(mac=2.9, output=5),
)
