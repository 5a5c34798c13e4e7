"""quantized_add: the sum of two int8 tensors of one shape and any scales, as TensorFlow Lite computes it.

Both are raised by 20 bits, brought to the scale of twice the larger one, added in int32, and brought to the output's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, TensorType, Value
from micrograft.ops.fixed_point import Rounding, multiplier_of
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import Codes, check_codes, codes_gradient, sample_codes, with_mask
from micrograft.ops.scale import ScaleAttrs

_RAISED_BY = 20


@dataclass(frozen=True)
class QuantizedAddAttrs(Attrs):
    """a, b: what the inputs' codes mean; y: the output's, and its clamp."""

    a: Quantization
    b: Quantization
    y: Codes

    @property
    def multipliers(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """(multiplier, shift) of a, of b and of the sum."""
        common = 2.0 * max(self.a.scale, self.b.scale)
        return (
            multiplier_of(self.a.scale / common),
            multiplier_of(self.b.scale / common),
            multiplier_of(common / ((1 << _RAISED_BY) * self.y.quant.scale)),
        )


def _infer(attrs: QuantizedAddAttrs, types: Types) -> Types:
    a, b = types
    check_codes(a, attrs.a.zero, "the first input")
    check_codes(b, attrs.b.zero, "the second input")
    require(a.shape == b.shape, f"{a.shape} and {b.shape} differ")
    return attrs.y.type(a.shape), TensorType(a.shape, DType.BIT)


def _evaluate(attrs: QuantizedAddAttrs, arrays: Arrays) -> Arrays:
    *inputs, output = attrs.multipliers
    total = np.zeros(arrays[0].shape, np.int64)
    for array, quant, factor in zip(arrays, (attrs.a, attrs.b), inputs, strict=True):
        total += attrs.y.rescaled((array.astype(np.int64) - quant.zero) << _RAISED_BY, *factor)
    y = attrs.y.of(attrs.y.rescaled(total, *output))
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, QuantizedAddAttrs)
    passed = codes_gradient(backward, node, dy)

    def part(value: Value, quant: Quantization) -> Value | None:
        factor = ScaleAttrs(quant.scale / attrs.y.quant.scale)
        return backward.emit("scale", passed, attrs=factor) if backward.needs(value) else None

    return part(node.inputs[0], attrs.a), part(node.inputs[1], attrs.b)


def _call(node: Node) -> tuple[KernelCall, ...]:
    a, b = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedAddAttrs)
    left, right, sums = attrs.multipliers
    fields = (
        ("size", a.type.size),
        ("a_zero", attrs.a.zero),
        ("a_factor", left),
        ("b_zero", attrs.b.zero),
        ("b_factor", right),
        ("sum_factor", sums),
        attrs.y.field,
    )
    call = KernelCall("mg_add_int8", "mg_add_int8_params", fields, (a, b, node.outputs[0]))
    return with_mask(call, node, attrs.y)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for scales, zeros, low in [((0.04, 0.1, 0.05), (-128, 4, -128), -128), ((0.5, 0.01, 0.4), (0, 17, 20), 20)]:
        a, b, y = (Quantization((float(np.float32(s)),), (z,)) for s, z in zip(scales, zeros, strict=True))
        arrays = sample_codes(generator, (1, 5, 3, 7)), sample_codes(generator, (1, 5, 3, 7))
        yield Sample(arrays, QuantizedAddAttrs(a, b, Codes(y, low)))
        yield Sample(arrays, QuantizedAddAttrs(a, b, Codes(y, low, rounding=Rounding.ONCE)))


QUANTIZED_ADD = Operator(
    name="quantized_add",
    inputs=("a", "b"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    inplace=((0, 0), (0, 1)),
)
