"""quantized_softmax over the last axis: int8 codes in, codes of 1/256 with zero point -128 out.

Bit for bit TensorFlow Lite's: gemmlowp's fixed-point exponential and reciprocal, in int32 of so many integer bits.
The gradient reads the output's codes as real numbers; a loss reads the logits before a last one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization
from micrograft.ops.cost import Cost
from micrograft.ops.fixed_point import HIGH, LOW, clamped, divided, doubled_high, multiplier_of
from micrograft.ops.gemmlowp import exp_on_negative, reciprocal
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.quantize import DequantizeAttrs
from micrograft.ops.requantization import Codes, sample_codes
from micrograft.ops.scale import ScaleAttrs

_INTEGER_BITS = 5
"""Of the difference to the largest input."""

_OUTPUT = Codes(Quantization((1 / 256,), (-128,)))


@dataclass(frozen=True)
class QuantizedSoftmaxAttrs(Attrs):
    """scale: of the input's codes, times beta."""

    scale: float

    @property
    def multiplier(self) -> tuple[int, int]:
        """(multiplier, places to the left) that take a difference of codes to the exponential's fixed point."""
        return multiplier_of(min(self.scale * (1 << (31 - _INTEGER_BITS)), float((1 << 31) - 1)))

    @property
    def smallest(self) -> int:
        """The smallest difference to the largest input whose exponential is not taken as 0."""
        _, left = self.multiplier
        return -math.floor(((1 << _INTEGER_BITS) - 1) * (1 << (31 - _INTEGER_BITS)) / (1 << left))


def _infer(attrs: QuantizedSoftmaxAttrs, types: Types) -> Types:
    (x,) = types
    require(x.dtype is DType.INT8, f"the input is {x.dtype.value}, not int8")
    require(len(x.shape) >= 1, "a single number has no axis to normalise over")
    require(attrs.multiplier[1] >= 0, f"the input's scale {attrs.scale} is too small")
    return (_OUTPUT.type(x.shape),)


def _evaluate(attrs: QuantizedSoftmaxAttrs, arrays: Arrays) -> Arrays:
    x = arrays[0].astype(np.int64)
    multiplier, left = attrs.multiplier
    difference = x - x.max(axis=-1, keepdims=True)
    counts = difference >= attrs.smallest
    powers = exp_on_negative(doubled_high(np.where(counts, difference, 0) << left, np.array(multiplier)), _INTEGER_BITS)
    total = np.where(counts, divided(powers, np.array(12)), 0).sum(axis=-1, keepdims=True)
    scale, over = reciprocal(total)
    y = divided(doubled_high(scale, powers), over + 31 - 8) + LOW
    return (clamped(np.where(counts, y, LOW), LOW, HIGH),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, QuantizedSoftmaxAttrs)
    y = backward.emit("dequantize", node.outputs[0], attrs=DequantizeAttrs(_OUTPUT.quant))
    dx = backward.emit("softmax_gradient", dy, y)
    return (backward.emit("scale", dx, attrs=ScaleAttrs(attrs.scale / _OUTPUT.quant.scale)),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedSoftmaxAttrs)
    multiplier, left = attrs.multiplier
    columns = x.shape[-1]
    fields = (("rows", x.type.size // columns), ("columns", columns))
    factor = (("multiplier", multiplier), ("left", left), ("smallest", attrs.smallest))
    return (KernelCall("mg_softmax_int8", "mg_softmax_int8_params", (*fields, *factor), (x, node.outputs[0])),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, scale in [((1, 12), 0.14469251), ((3, 10), 0.02), ((2, 2, 40), 1.5), ((1, 1), 0.1), ((1, 300), 0.003)]:
        yield Sample((sample_codes(generator, shape),), QuantizedSoftmaxAttrs(scale))


QUANTIZED_SOFTMAX = Operator(
    name="quantized_softmax",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    inplace=((0, 0),),
    cost=Cost(output=200),
)
