"""scaled_factors: an int8 layer's factors, each times a trained scale. The layer rounds its sums once, scaled.

factors: (outputs, 2) int32, multiplier and shift (`fixed_point`); scale: (outputs,) float32; result: as factors,
rounded to nearest in integers. A scale of one changes no bit. A product beyond what a shift may be saturates; one too
small for any effect, and a scale that is no number, give 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, TensorType, Value
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.conv_of_codes import ConvOfCodesWeightGradientAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import MULTIPLIER, SHIFT, Codes, check_factors, sample_channels
from micrograft.ops.reshape import ReshapeAttrs

FACTORS = 3
"""Which input of an int8 layer its factors are."""

LEAST = 1 / 16
"""Of a scale's size, in its gradient: see `scaled_factors_gradient`."""


def _infer(attrs: Attrs, types: Types) -> Types:
    factors, scale = types
    require(scale == TensorType(scale.shape[:1]), f"the scale is {scale}, not float32 of one axis")
    check_factors(factors, scale.shape[0])
    return (factors,)


def _evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
    factors, scale = arrays
    multiplier, shift = factors[:, MULTIPLIER].astype(np.int64), factors[:, SHIFT].astype(np.int64)
    bits = scale.astype(np.float32).view(np.uint32).astype(np.int64)
    exponent, fraction = (bits >> 23) & 0xFF, bits & 0x7FFFFF
    product = multiplier * (fraction | 0x800000)  # of 53 to 55 bits, with the multiplier's sign
    size = np.abs(product)
    places = np.where(size < 1 << 54, 23, 24)
    rounded = (size + (np.int64(1) << (places - 1))) >> places
    places, rounded = np.where(rounded >> 31, places + 1, places), np.where(rounded >> 31, rounded >> 1, rounded)
    moved = shift + places + exponent - 150
    most = np.maximum(shift, 0)
    rounded, moved = np.where(moved > most, (1 << 31) - 1, rounded), np.minimum(moved, most)
    gone = (moved < -31) | (multiplier == 0) | (exponent == 0) | ((exponent == 0xFF) & (fraction != 0))
    negative = (product < 0) != (bits >> 31 > 0)
    signed = np.where(negative, -rounded, rounded)
    return (np.where(gone[:, None], 0, np.column_stack([signed, moved])).astype(np.int32),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    _, scale = node.inputs
    (d_factors,) = gradients
    assert d_factors is not None
    if not backward.needs(scale):
        return None, None
    return None, backward.emit("scaled_factors_gradient", d_factors, scale)


def _call(node: Node) -> tuple[KernelCall, ...]:
    fields = (("outputs", node.inputs[1].shape[0]),)
    return (KernelCall("mg_scaled_factors_int32", "mg_scaled_factors_params", fields, (*node.inputs, node.outputs[0])),)


def _samples() -> Iterator[Sample]:
    _, factors = sample_channels(np.random.default_rng(1), 12, 9)
    scale = np.array([1, 2, -1, 0.7, -1.3, 1.9999999, 1e-30, 0, 1e20, 1.0000001, np.nan, np.inf], np.float32)
    yield Sample((factors, scale), differentiable=())
    large = np.array([[1 << 30, 3], [(1 << 31) - 1, 0], [0, 0], [(1 << 31) - 1, -31]], np.int32)
    yield Sample((large, np.array([3.0, 1.5, 2.0, 0.5], np.float32)), differentiable=())


SCALED_FACTORS = Operator(
    name="scaled_factors",
    inputs=("factors", "scale"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT32: _call},
    gradient=_gradient,
    cost=Cost(output=31),
)


def factors_gradient(backward: Backward, node: Node, passed: Value, y: Codes) -> Value | None:
    """The gradient of a layer's factors: of their logarithms, Σ passed·(codes − zero) for each output.

    passed: that of what was rounded to the node's codes. The backward pass keeps the codes.
    """
    if not backward.needs(node.inputs[FACTORS]):
        return None
    outputs = passed.shape[-1]
    flat = ReshapeAttrs((1, passed.type.size // outputs, outputs))
    codes = backward.emit("reshape", backward.keep(node, "y"), attrs=flat)
    one_tap = ConvAttrs((1,), ((0, 0),), (1,))
    attrs = ConvOfCodesWeightGradientAttrs(one_tap, (1,), Quantization((1.0,), (y.quant.zero,)))
    rows = backward.emit("reshape", passed, attrs=flat)
    sums = backward.emit("depthwise_conv_of_codes_weight_gradient", codes, rows, attrs=attrs)
    return backward.emit("reshape", sums, attrs=ReshapeAttrs((outputs,)))


# A scale's gradient is that of its factor's logarithm over the scale. As the codes behind it are rounded, a scale near
# 0 would make noise of it, and counts as ±1/16.


def _infer_gradient(attrs: Attrs, types: Types) -> Types:
    d_factors, scale = types
    require(d_factors == scale, f"the gradient {d_factors} does not match the scale {scale}")
    return (d_factors,)


def _evaluate_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    d_factors, scale = arrays
    size = np.maximum(np.abs(scale), scale.dtype.type(LEAST))
    return (d_factors / np.where(scale < 0, -size, size),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    fields = (("outputs", node.inputs[1].shape[0]),)
    pointers = (*node.inputs, node.outputs[0])
    return (KernelCall("mg_scaled_factors_gradient_float32", "mg_scaled_factors_params", fields, pointers),)


def _gradient_samples() -> Iterator[Sample]:
    d_factors = np.random.default_rng(2).standard_normal(6).astype(np.float32)
    yield Sample((d_factors, np.array([1, 0.5, -2, 0, 0.01, -0.01], np.float32)))


SCALED_FACTORS_GRADIENT = Operator(
    name="scaled_factors_gradient",
    inputs=("d_factors", "scale"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    inplace=((0, 0),),
    cost=Cost(output=20),
)
