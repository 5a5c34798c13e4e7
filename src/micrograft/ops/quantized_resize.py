"""quantized_resize: int8 codes between four neighbours, in steps of the input: sums of whole shares, rounded once.

Rounding.TWICE gives the bits of TensorFlow Lite's RESIZE_BILINEAR, whose shares are 1024ths: of the codes' mean to
nearest, ties away from zero. Rounding.ONCE rounds the mean of the steps to an even number. x: (1, *spatial, C) int8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Quantization
from micrograft.ops.cost import Cost
from micrograft.ops.fixed_point import Rounding, divided, multiplier_of, rescaled
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import Codes, check_codes, sample_codes
from micrograft.ops.resize import RESIZE, ResizeAttrs, ResizeGradientAttrs, Scaling, resize_fields

_PLACES = 20
"""Of 1024 · 1024 shares."""


@dataclass(frozen=True)
class QuantizedResizeAttrs(Attrs):
    """resize: a linear one. y: what the codes of input and output mean."""

    resize: ResizeAttrs
    y: Codes

    @property
    def shares(self) -> int:
        """The sum of the four neighbours' shares."""
        return math.prod(axis.parts for axis in self.resize.axes)


def fits(resize: ResizeAttrs) -> bool:
    """Whether sums of codes times shares are int32."""
    return math.prod(axis.parts for axis in resize.axes) <= 1 << 22


def in_1024ths(axis: Scaling) -> Scaling:
    """The scaling that TensorFlow Lite computes in place of an exact one."""
    step = (2 * 1024 * axis.step + axis.parts) // (2 * axis.parts)
    return Scaling(axis.size, step, step // 2 - 512 if axis.start else 0, 1024)


def _infer(attrs: QuantizedResizeAttrs, types: Types) -> Types:
    (x,) = types
    check_codes(x, attrs.y.quant.zero)
    require(attrs.resize.linear and fits(attrs.resize), "shares are too fine for int32, or there are none")
    (real,) = RESIZE.infer(attrs.resize, (replace(x, dtype=DType.FLOAT32, quant=None),))
    return (attrs.y.type(real.shape),)


def _sums(attrs: ResizeAttrs, x: Array) -> Array:
    """The sums of shares times what is there."""
    y = x
    for number, axis in enumerate(attrs.axes, start=1):
        place, rest = axis.below()
        along = [1] * x.ndim
        along[number] = -1
        first, second = (np.take(y, np.clip(place + k, 0, x.shape[number] - 1), axis=number) for k in (0, 1))
        y = first * (axis.parts - rest).reshape(along) + second * rest.reshape(along)
    return y


def _evaluate(attrs: QuantizedResizeAttrs, arrays: Arrays) -> Arrays:
    x, zero = arrays[0].astype(np.int64), attrs.y.quant.zero
    if attrs.y.rounding is Rounding.TWICE:
        return (divided(_sums(attrs.resize, x), np.array(_PLACES)).astype(np.int8),)
    multiplier, shift = map(np.array, multiplier_of(1.0 / attrs.shares))
    steps = rescaled(_sums(attrs.resize, x - zero), multiplier, shift, Rounding.ONCE)
    return (attrs.y.of(steps),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy = gradients[0]
    assert dy is not None and isinstance(node.attrs, QuantizedResizeAttrs)
    attrs = ResizeGradientAttrs(node.attrs.resize, node.inputs[0].shape)
    return (backward.emit("resize_gradient", dy, attrs=attrs),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedResizeAttrs)
    multiplier, shift = multiplier_of(1.0 / attrs.shares)
    fields = (*resize_fields(attrs.resize, x.shape), ("multiplier", multiplier), ("shift", shift), attrs.y.field)
    return (KernelCall("mg_resize_linear_int8", "mg_resize_int8_params", fields, (x, node.outputs[0])),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    y = Codes(Quantization((0.1,), (-7,)))
    for sample in RESIZE.samples():
        if isinstance(sample.attrs, ResizeAttrs) and sample.attrs.linear:
            x = sample_codes(generator, sample.inputs[0].shape)
            yield Sample((x,), QuantizedResizeAttrs(sample.attrs, replace(y, rounding=Rounding.ONCE)))
            coarse = replace(sample.attrs, axes=tuple(map(in_1024ths, sample.attrs.axes)))
            if len(coarse.axes) == 2:
                yield Sample((x,), QuantizedResizeAttrs(coarse, y))


QUANTIZED_RESIZE = Operator(
    name="quantized_resize",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    macs=lambda node: 4 * node.outputs[0].type.size,
    cost=Cost(output=62),
)
