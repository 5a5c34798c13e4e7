"""coded_linear: a linear layer from int8 codes to float32, in integers: the head of a network that trains in them.

y = factor · (Σ (x − zero)·w + b), cut to the float32 next towards 0; no grid of the outputs is needed, and no float is
computed with. x: (..., inputs) int8; weight: (outputs, inputs) int8; bias: (outputs,) int32; factors: (outputs, 2)
int32 (see `requantization`); y: (..., outputs) float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Quantization, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.linear import LINEAR, bias_gradient, rows
from micrograft.ops.linear_of_codes import OfCodesAttrs
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.quantized_linear import QUANTIZED_LINEAR, QuantizedLinearAttrs
from micrograft.ops.requantization import MULTIPLIER, SHIFT, channels_group, check_channels, check_codes


@dataclass(frozen=True)
class CodedLinearAttrs(Attrs):
    """x_zero: the code of the input that means 0."""

    x_zero: int


def _infer(attrs: CodedLinearAttrs, types: Types) -> Types:
    x, weight, bias, factors = types
    check_codes(x, attrs.x_zero)
    require(weight.dtype is DType.INT8, f"the weight is {weight.dtype.value}, not int8")
    (y,) = LINEAR.infer(Attrs(), (TensorType(x.shape), TensorType(weight.shape)))
    check_channels(bias, factors, y.shape[-1])
    return (y,)


def float_below(magnitudes: Array, exponents: Array) -> Array:
    """The float32 next to magnitude · 2^exponent towards 0; subnormals are 0. Magnitudes: int64 of at most 62 bits."""
    _, length = np.frexp(magnitudes.astype(np.float64))
    length = np.where(magnitudes >> np.maximum(length - 1, 0) == 0, length - 1, length)  # float64 rounds up to 2^n
    spare = np.maximum(length - 24, 0)
    real = np.ldexp((magnitudes >> spare << spare).astype(np.float64), exponents)
    return np.where(real < 2.0**-126, 0.0, real).astype(np.float32)


def _evaluate(attrs: CodedLinearAttrs, arrays: Arrays) -> Arrays:
    x, weight, bias, factors = arrays
    sums = ((x.astype(np.float64) - attrs.x_zero) @ weight.astype(np.float64).T).astype(np.int64) + bias
    magnitudes, places = np.abs(sums), np.zeros(sums.shape, np.int64)
    while np.any(large := magnitudes >> 31 > 0):
        magnitudes, places = np.where(large, magnitudes >> 1, magnitudes), places + large
    products = magnitudes * factors[:, MULTIPLIER].astype(np.int64)
    return (np.sign(sums).astype(np.float32) * float_below(products, factors[:, SHIFT] - 31 + places),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, bias, factors = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, CodedLinearAttrs)
    sums = backward.emit("rescale_gradient", dy, factors)
    dx = backward.emit("linear_input_gradient", sums, weight) if backward.needs(x) else None
    dw = None
    if backward.needs(weight):
        codes = OfCodesAttrs(Quantization((1.0,), (attrs.x_zero,)))
        dw = backward.emit("linear_of_codes_weight_gradient", x, sums, attrs=codes)
    return dx, dw, bias_gradient(backward, bias, sums), None


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, bias, factors = node.inputs
    assert isinstance(node.attrs, CodedLinearAttrs)
    shape = (("rows", rows(x.shape)), ("inputs", weight.shape[-1]), ("outputs", weight.shape[0]))
    pointers = (x, weight, channels_group(bias, factors), node.outputs[0])
    fields = (*shape, ("x_zero", node.attrs.x_zero))
    return (KernelCall("mg_coded_linear_float32", "mg_coded_linear_params", fields, pointers),)


def _samples() -> Iterator[Sample]:
    for sample in QUANTIZED_LINEAR.samples():
        assert isinstance(sample.attrs, QuantizedLinearAttrs)
        yield Sample(sample.inputs, CodedLinearAttrs(sample.attrs.x_zero), differentiable=())
        x, weight, bias, factors = sample.inputs
        large = np.where(np.arange(len(bias)) % 2, 1 << 30, -(1 << 30)).astype(np.int32)
        yield Sample((x, 0 * weight, large, factors), CodedLinearAttrs(sample.attrs.x_zero), differentiable=())
        yield Sample((x, 0 * weight, 0 * bias, factors), CodedLinearAttrs(sample.attrs.x_zero), differentiable=())


CODED_LINEAR = Operator(
    name="coded_linear",
    inputs=("x", "weight", "bias", "factors"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=lambda node: rows(node.inputs[0].shape) * node.inputs[1].type.size,
    cost=Cost(mac=2.3, output=104),
)
