"""quantized_linear: y = x·Wᵀ + b over the last axis, on int8 codes.

x: (..., inputs) int8; weight: (outputs, inputs) int8, zero point 0; bias: (outputs,) and factors:
(outputs, 2) int32 (see `requantization`); y: (..., outputs) int8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization
from micrograft.ops.columns import row_columns
from micrograft.ops.cost import Cost
from micrograft.ops.linear import LINEAR, bias_gradient, rows
from micrograft.ops.linear_of_codes import OfCodesAttrs
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
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


@dataclass(frozen=True)
class QuantizedLinearAttrs(Attrs):
    """x_zero: the code of the input that means 0. y: what the output's codes mean, and its clamp."""

    x_zero: int
    y: Codes


def _infer(attrs: QuantizedLinearAttrs, types: Types) -> Types:
    x, weight, bias, factors = types
    check_codes(x, attrs.x_zero)
    require(weight.dtype is DType.INT8, f"the weight is {weight.dtype.value}, not int8")
    (real,) = LINEAR.infer(Attrs(), (x, weight))
    check_channels(bias, factors, real.shape[-1])
    return attrs.y.type(real.shape), replace(real, dtype=DType.BIT, quant=None)


def _evaluate(attrs: QuantizedLinearAttrs, arrays: Arrays) -> Arrays:
    x, weight, bias, factors = arrays
    sums = (x.astype(np.float64) - attrs.x_zero) @ weight.astype(np.float64).T
    y = requantized(sums, bias, factors, attrs.y)
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, bias, factors = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, QuantizedLinearAttrs)
    passed = codes_gradient(backward, node, dy)
    d_factors = factors_gradient(backward, node, passed, attrs.y)
    sums = backward.emit("rescale_gradient", passed, factors)
    dx = backward.emit("linear_input_gradient", sums, weight) if backward.needs(x) else None
    dw = None
    if backward.needs(weight):
        codes = OfCodesAttrs(Quantization((1.0,), (attrs.x_zero,)))
        dw = backward.emit("linear_of_codes_weight_gradient", x, sums, attrs=codes)
    return dx, dw, bias_gradient(backward, bias, sums), d_factors


def linear_int8_call(node: Node, x_zero: int, y: Codes) -> KernelCall:
    """The call of a linear layer; a 1×1 convolution uses it too."""
    x, weight, bias, factors = node.inputs
    shape = (("rows", rows(x.shape)), ("inputs", weight.shape[-1]), ("outputs", weight.shape[0]))
    pointers = (x, weight, channels_group(bias, factors), *row_columns(node), node.outputs[0])
    return KernelCall("mg_linear_int8", "mg_linear_int8_params", (*shape, ("x_zero", x_zero), y.field), pointers)


def _call(node: Node) -> tuple[KernelCall, ...]:
    attrs = node.attrs
    assert isinstance(attrs, QuantizedLinearAttrs)
    return with_mask(linear_int8_call(node, attrs.x_zero, attrs.y), node, attrs.y)


def _macs(node: Node) -> int:
    return rows(node.inputs[0].shape) * math.prod(node.inputs[1].shape)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, outputs, zero in [((1, 5), 3, 0), ((1, 64), 12, -128), ((2, 3, 7), 9, 30)]:
        x, weight = sample_codes(generator, shape), sample_codes(generator, (outputs, shape[-1]))
        attrs = QuantizedLinearAttrs(zero, Codes(Quantization((0.125,), (14,))))
        yield Sample((x, weight, *sample_channels(generator, outputs, shape[-1])), attrs)


QUANTIZED_LINEAR = Operator(
    name="quantized_linear",
    inputs=("x", "weight", "bias", "factors"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    macs=_macs,
    cost=by_rounding(once=Cost(mac=1.42, output=44, optional=15), twice=Cost(mac=1.42, output=55, optional=15)),
    scratch=row_columns,
)
