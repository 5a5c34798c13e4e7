"""quantized_add: the sum or difference of two int8 tensors of any scales, as TensorFlow Lite computes it.

Both are raised by 20 bits, brought to the scale of twice the larger one, added in int32, and brought to the output's.
Either is stretched as NumPy does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, TensorType, Value
from micrograft.ops.arithmetic import SHAPES, stretched_shape, sum_back
from micrograft.ops.broadcast import broadcast_fields
from micrograft.ops.cost import Cost
from micrograft.ops.fixed_point import Rounding, multiplier_of
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types
from micrograft.ops.requantization import Codes, by_rounding, check_codes, codes_gradient, sample_codes, with_mask
from micrograft.ops.scale import ScaleAttrs

_RAISED_BY = 20


@dataclass(frozen=True)
class QuantizedAddAttrs(Attrs):
    """a, b: what the inputs' codes mean; y: the output's, and its clamp. sign: of b, 1 or −1."""

    a: Quantization
    b: Quantization
    y: Codes
    sign: int = 1

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
    return infer_of_two(attrs.a, attrs.b, attrs.y, types)


def infer_of_two(a: Quantization, b: Quantization, y: Codes, types: Types) -> Types:
    """The types of an operator of two int8 tensors that are stretched to each other, and of its mask."""
    left, right = types
    check_codes(left, a.zero, "the first input")
    check_codes(right, b.zero, "the second input")
    shape = stretched_shape(left.shape, right.shape)
    return y.type(shape), TensorType(shape, DType.BIT)


def _evaluate(attrs: QuantizedAddAttrs, arrays: Arrays) -> Arrays:
    *inputs, output = attrs.multipliers
    parts = [
        attrs.y.rescaled((array.astype(np.int64) - quant.zero) << _RAISED_BY, *factor)
        for array, quant, factor in zip(arrays, (attrs.a, attrs.b), inputs, strict=True)
    ]
    y = attrs.y.of(attrs.y.rescaled(parts[0] + attrs.sign * parts[1], *output))
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, QuantizedAddAttrs)
    passed = codes_gradient(backward, node, dy)

    def part(value: Value, scale: float) -> Value | None:
        if not backward.needs(value):
            return None
        factor = ScaleAttrs(scale / attrs.y.quant.scale)
        return backward.emit("scale", sum_back(backward, passed, value.shape), attrs=factor)

    return part(node.inputs[0], attrs.a.scale), part(node.inputs[1], attrs.sign * attrs.b.scale)


def _call(node: Node) -> tuple[KernelCall, ...]:
    a, b = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedAddAttrs)
    left, right, sums = attrs.multipliers
    fields = (
        *broadcast_fields(a.shape, b.shape, node.outputs[0].shape),
        ("a_zero", attrs.a.zero),
        ("a_factor", left),
        ("b_zero", attrs.b.zero),
        ("b_factor", right),
        ("b_sign", attrs.sign),
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
        for left, right in SHAPES:
            arrays = sample_codes(generator, left), sample_codes(generator, right)
            yield Sample(arrays, QuantizedAddAttrs(a, b, Codes(y, low), -1))


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
    cost=by_rounding(once=Cost(output=133, optional=14), twice=Cost(output=90, optional=14)),
)
