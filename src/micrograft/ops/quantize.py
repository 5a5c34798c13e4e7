"""quantize, dequantize and requantize: real numbers to int8 codes, back, and codes to those of another scale.

The gradient of a code is float32, with respect to the code; it passes the rounding as it is and stops where the code
is at an end of the clamp (straight-through, arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.fixed_point import Rounding, factor_of, multiplier_of
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import Codes, check_codes, codes_gradient, sample_codes, with_mask
from micrograft.ops.scale import ScaleAttrs


@dataclass(frozen=True)
class QuantizeAttrs(Attrs):
    """y: what the output's codes mean, and its clamp."""

    y: Codes


@dataclass(frozen=True)
class DequantizeAttrs(Attrs):
    """x: what the input's codes mean."""

    x: Quantization


@dataclass(frozen=True)
class RequantizeAttrs(Attrs):
    """x: what the input's codes mean; y: the output's, and its clamp."""

    x: Quantization
    y: Codes

    @property
    def multiplier(self) -> tuple[int, int]:
        return multiplier_of(self.x.scale / self.y.quant.scale)


def _mask(type_: TensorType) -> TensorType:
    return TensorType(type_.shape, DType.BIT)


def _infer_quantize(attrs: QuantizeAttrs, types: Types) -> Types:
    require(types[0].dtype is DType.FLOAT32, f"the input is {types[0].dtype.value}, not float32")
    return attrs.y.type(types[0].shape), _mask(types[0])


def _evaluate_quantize(attrs: QuantizeAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    low, high = (end - attrs.y.quant.zero for end in (attrs.y.low, attrs.y.high))
    steps = x / x.dtype.type(attrs.y.quant.scale)
    steps = np.where(steps > low, np.minimum(steps, high), low)  # a NaN becomes the lower end
    y = attrs.y.of(np.rint(steps).astype(np.int64))
    return y, attrs.y.mask(y)


def _quantize_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy = gradients[0]
    assert dy is not None and isinstance(node.attrs, QuantizeAttrs)
    factor = ScaleAttrs(1.0 / node.attrs.y.quant.scale)
    return (backward.emit("scale", codes_gradient(backward, node, dy), attrs=factor),)


def _fields(size: int, codes: Codes) -> tuple[tuple[str, int | float], ...]:
    quant = codes.quant
    return ("size", size), ("scale", quant.scale), ("zero", quant.zero), ("low", codes.low), ("high", codes.high)


def _quantize_call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    assert isinstance(node.attrs, QuantizeAttrs)
    fields = _fields(x.type.size, node.attrs.y)
    call = KernelCall("mg_quantize_int8", "mg_quantize_params", fields, (x, node.outputs[0]))
    return with_mask(call, node, node.attrs.y)


def _quantize_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for codes in (Codes(Quantization((0.5,), (-20,))), Codes(Quantization((0.0078125,), (0,)), low=0, high=90)):
        x = generator.uniform(-2, 2, (1, 3, 25)) * codes.quant.scale * 128
        x[..., :4] = np.array([0.5, 1.5, -2.5, 1e30]) * codes.quant.scale  # ties go to even
        yield Sample((x.astype(np.float32),), QuantizeAttrs(codes), differentiable=())


QUANTIZE = Operator(
    name="quantize",
    inputs=("x",),
    outputs=("y", "mask"),
    infer=_infer_quantize,
    evaluate=_evaluate_quantize,
    samples=_quantize_samples,
    kernels={DType.INT8: _quantize_call},
    gradient=_quantize_gradient,
    elementwise=True,
    cost=Cost(output=21.5, optional=15),
)


def _infer_dequantize(attrs: DequantizeAttrs, types: Types) -> Types:
    check_codes(types[0], attrs.x.zero)
    return (TensorType(types[0].shape),)


def _evaluate_dequantize(attrs: DequantizeAttrs, arrays: Arrays) -> Arrays:
    return (attrs.x.real(arrays[0]),)


def _dequantize_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, DequantizeAttrs)
    return (backward.emit("scale", dy, attrs=ScaleAttrs(node.attrs.x.scale)),)


def _dequantize_call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    assert isinstance(node.attrs, DequantizeAttrs)
    fields = _fields(x.type.size, Codes(node.attrs.x))
    return (KernelCall("mg_dequantize_float32", "mg_quantize_params", fields, (x, node.outputs[0])),)


def _dequantize_samples() -> Iterator[Sample]:
    codes = sample_codes(np.random.default_rng(2), (1, 5, 7))
    yield Sample((codes,), DequantizeAttrs(Quantization((0.75,), (83,))))


DEQUANTIZE = Operator(
    name="dequantize",
    inputs=("x",),
    infer=_infer_dequantize,
    evaluate=_evaluate_dequantize,
    samples=_dequantize_samples,
    kernels={DType.FLOAT32: _dequantize_call},
    gradient=_dequantize_gradient,
    elementwise=True,
    cost=Cost(output=11),
)


def _infer_requantize(attrs: RequantizeAttrs, types: Types) -> Types:
    check_codes(types[0], attrs.x.zero)
    return attrs.y.type(types[0].shape), _mask(types[0])


def _evaluate_requantize(attrs: RequantizeAttrs, arrays: Arrays) -> Arrays:
    steps = attrs.y.rescaled(arrays[0].astype(np.int64) - attrs.x.zero, *attrs.multiplier)
    y = attrs.y.of(steps)
    return y, attrs.y.mask(y)


def _requantize_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy = gradients[0]
    assert dy is not None and isinstance(node.attrs, RequantizeAttrs)
    factor = ScaleAttrs(float(factor_of(*map(np.array, node.attrs.multiplier))))
    return (backward.emit("scale", codes_gradient(backward, node, dy), attrs=factor),)


def _requantize_call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, RequantizeAttrs)
    multiplier, shift = attrs.multiplier
    factor = (("multiplier", multiplier), ("shift", shift))
    fields = (("size", x.type.size), ("x_zero", attrs.x.zero), *factor, attrs.y.field)
    call = KernelCall("mg_requantize_int8", "mg_requantize_params", fields, (x, node.outputs[0]))
    return with_mask(call, node, attrs.y)


def _requantize_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for x, y in [
        (Quantization((0.1,), (3,)), Codes(Quantization((0.17,), (-128,)))),
        (Quantization((0.3,), (-128,)), Codes(Quantization((0.02,), (5,)), low=5)),
        (Quantization((0.25,), (-7,)), Codes(Quantization((0.25,), (-7,)), low=-7, high=60, rounding=Rounding.ONCE)),
    ]:
        yield Sample((sample_codes(generator, (1, 9, 11)),), RequantizeAttrs(x, y))


REQUANTIZE = Operator(
    name="requantize",
    inputs=("x",),
    outputs=("y", "mask"),
    infer=_infer_requantize,
    evaluate=_evaluate_requantize,
    samples=_requantize_samples,
    kernels={DType.INT8: _requantize_call},
    gradient=_requantize_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=45, optional=16),
)
