"""wrapping_add and wrapping_sub: sums and differences of int8 codes modulo 256, each the exact inverse of the other.

All codes mean the same, real = scale · (code − zero): y = a + b − zero, and a = y − b + zero gives every bit back.
A sum that leaves the range of the codes goes on at the other end, so a range wants room (`quantization.quantize`).
The gradient is that of the sum, there too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Quantization, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import check_codes, sample_codes
from micrograft.ops.scale import ScaleAttrs


@dataclass(frozen=True)
class WrappingAttrs(Attrs):
    """codes: what those of both inputs and of the output mean."""

    codes: Quantization


def _infer(attrs: WrappingAttrs, types: Types) -> Types:
    a, b = types
    check_codes(a, attrs.codes.zero, "the first input")
    check_codes(b, attrs.codes.zero, "the second input")
    require(a.shape == b.shape, f"{a.shape} and {b.shape} differ")
    return (TensorType(a.shape, DType.INT8, attrs.codes),)


def _operator(name: str, sign: int) -> Operator:
    """y = a + sign · (b − zero), modulo 256."""

    def evaluate(attrs: WrappingAttrs, arrays: Arrays) -> Arrays:
        a, b = (array.astype(np.int64) for array in arrays)
        return ((a + sign * (b - attrs.codes.zero)).astype(np.int8),)

    def gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
        (dy,) = gradients
        assert dy is not None
        a, b = (backward.needs(value) for value in node.inputs)
        db = dy if sign > 0 or not b else backward.emit("scale", dy, attrs=ScaleAttrs(-1.0))
        return dy if a else None, db if b else None

    def call(node: Node) -> tuple[KernelCall, ...]:
        assert isinstance(node.attrs, WrappingAttrs)
        fields = (("size", node.outputs[0].type.size), ("zero", node.attrs.codes.zero))
        return (KernelCall(f"mg_{name}_int8", "mg_wrapping_params", fields, (*node.inputs, node.outputs[0])),)

    return Operator(
        name=name,
        inputs=("a", "b"),
        infer=_infer,
        evaluate=evaluate,
        samples=_samples,
        kernels={DType.INT8: call},
        gradient=gradient,
        inplace=((0, 0), (0, 1)),
        cost=Cost(output=10),
    )


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for zero in (-128, -3, 0, 127):
        arrays = sample_codes(generator, (1, 5, 3, 7)), sample_codes(generator, (1, 5, 3, 7))
        yield Sample(arrays, WrappingAttrs(Quantization((0.0625,), (zero,))))
    every = np.arange(-128, 128, dtype=np.int8)
    pairs = np.repeat(every, 256).reshape(1, -1), np.tile(every, 256).reshape(1, -1)
    yield Sample(pairs, WrappingAttrs(Quantization((0.0625,), (-71,))))


WRAPPING_ADD = _operator("wrapping_add", 1)
WRAPPING_SUB = _operator("wrapping_sub", -1)
