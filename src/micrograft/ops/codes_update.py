"""What the updates of integer codes share: where scales apply, and how a step becomes a whole number of codes.

A step is rounded at random, up with the probability of its fraction, so that steps smaller than a code add up to what
they should instead of vanishing; codes saturate and never wrap. The random words are told by the tensor, the update
and the place alone (a counter, hashed: Wellons' lowbias32), so the order in which elements are visited changes
nothing. No product is fused into a sum: NumPy's float32 gives the kernel's bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require

RANGES = {DType.INT8: (-128, 127), DType.INT16: (-32767, 32767), DType.INT32: (-(1 << 30), 1 << 30)}
"""Between which codes a trained tensor stays: all of int8 and int16; of int32 what leaves room for a sum's products."""

_LIMIT = np.float32(1 << 29)
"""What one update may add to a code, either way."""


@dataclass(frozen=True)
class Layout:
    """Where the scales of a tensor of codes apply. axis: each place along it has one; None: one for all."""

    axis: int | None = None

    def split(self, shape: Shape) -> tuple[int, int, int]:
        """The shape as (outer, channels, inner)."""
        if self.axis is None:
            return 1, 1, math.prod(shape)
        return math.prod(shape[: self.axis]), shape[self.axis], math.prod(shape[self.axis + 1 :])

    def spread(self, scales: Array, shape: Shape) -> Array:
        """Scales: (channels,), so that they meet a tensor of this shape."""
        along = [1] * len(shape)
        if self.axis is not None:
            along[self.axis] = -1
        spread: Array = scales.reshape(along)
        return spread

    def check(self, scales: TensorType, shape: Shape) -> None:
        """Raise ShapeError unless there is a scale for each channel."""
        expected = TensorType((self.split(shape)[1],))
        require(scales.shape == expected.shape, f"there are {scales.shape} scales, not {expected.shape}")


@dataclass(frozen=True)
class UpdateAttrs(Attrs):
    """Base of the updates of codes. low, high: the codes saturate there. stream: tells this tensor's random words."""

    layout: Layout
    low: int
    high: int
    stream: int

    def field(self, shape: Shape) -> tuple[str, tuple[int, ...]]:
        """The `mg_code_tensor` of a kernel's parameters."""
        return "codes", (*self.layout.split(shape), self.low, self.high, self.stream)

    def moved(self, codes: Array, steps: Array, random: Array) -> Array:
        """The codes after a step, rounded at random, is taken off them; a step that is no number moves nothing."""
        result = codes.astype(np.int64) - self.whole(steps, random)
        return np.asarray(np.clip(result, self.low, self.high), codes.dtype)

    def whole(self, steps: Array, random: Array) -> Array:
        """Whole steps, int64: their sizes and a random fraction, rounded down, with their signs."""
        chance = (random_words(int(random), self.stream, steps.shape) >> np.uint32(8)).astype(np.float32)
        size = np.nan_to_num(np.minimum(np.abs(steps), _LIMIT), nan=0.0)
        whole = (size + chance * np.float32(2.0**-24)).astype(np.int64)
        return np.asarray(np.where(steps < 0, -whole, whole))


def random_words(random: int, stream: int, shape: Shape) -> Array:
    """One uint32 for each element of a tensor of this shape."""
    start = hashed(np.array([(random ^ stream) & 0xFFFFFFFF], np.uint32))
    places = np.arange(math.prod(shape), dtype=np.uint32)
    return hashed(start + places * np.uint32(0x9E3779B9)).reshape(shape)


def hashed(words: Array) -> Array:
    """Every bit of each uint32 word spread over all of them (lowbias32)."""
    words = (words ^ (words >> np.uint32(16))) * np.uint32(0x7FEB352D)
    words = (words ^ (words >> np.uint32(15))) * np.uint32(0x846CA68B)
    spread: Array = words ^ (words >> np.uint32(16))
    return spread


# The random state of an update: a linear congruential generator, moved on once for all tensors.


def _infer_next(attrs: Attrs, types: Types) -> Types:
    require(types[0] == TensorType((), DType.INT32), f"the random state is {types[0]}, not int32()")
    return types


def _next(attrs: Attrs, arrays: Arrays) -> Arrays:
    word = (int(arrays[0]) * 1664525 + 1013904223) & 0xFFFFFFFF
    return (np.array(word, np.uint32).astype(np.int32),)


def _next_call(node: Node) -> tuple[KernelCall, ...]:
    return (KernelCall("mg_next_random_int32", "mg_next_random_params", (("count", 1),), node.inputs),)


def _next_samples() -> Iterator[Sample]:
    for word in (0, 1, -1, 123456789):
        yield Sample((np.array(word, np.int32),))


NEXT_RANDOM = Operator(
    name="next_random",
    inputs=("random",),
    outputs=("random",),
    infer=_infer_next,
    evaluate=_next,
    samples=_next_samples,
    kernels={DType.INT32: _next_call},
    mutates=((0, 0),),
    cost=Cost(output=13),
)


# The gradient of real numbers from that of their codes: g = G / s.


@dataclass(frozen=True)
class RealGradientAttrs(Attrs):
    """layout: where the scales apply."""

    layout: Layout


def _infer_real(attrs: RealGradientAttrs, types: Types) -> Types:
    gradient, scales = types
    require(gradient.dtype is DType.FLOAT32, "the gradient is not float32")
    attrs.layout.check(scales, gradient.shape)
    return (gradient,)


def _real(attrs: RealGradientAttrs, arrays: Arrays) -> Arrays:
    gradient, scales = arrays
    return (gradient * (1 / attrs.layout.spread(scales, gradient.shape)),)


def layout_field(layout: Layout, value: Value) -> tuple[tuple[str, int], ...]:
    return tuple(zip(("outer", "channels", "inner"), layout.split(value.shape), strict=True))


def _real_call(node: Node) -> tuple[KernelCall, ...]:
    gradient, scales = node.inputs
    assert isinstance(node.attrs, RealGradientAttrs)
    fields = layout_field(node.attrs.layout, gradient)
    pointers = (gradient, scales, node.outputs[0])
    return (KernelCall("mg_real_gradient_float32", "mg_real_gradient_params", fields, pointers),)


def _real_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, axis in [((4, 3, 5), 0), ((1, 3, 3, 6), 3), ((7,), 0), ((2, 9), None)]:
        layout = Layout(axis)
        scales = generator.uniform(0.001, 0.1, layout.split(shape)[1]).astype(np.float32)
        yield Sample((generator.standard_normal(shape).astype(np.float32), scales), RealGradientAttrs(layout))


REAL_GRADIENT = Operator(
    name="real_gradient",
    inputs=("gradient", "scales"),
    infer=_infer_real,
    evaluate=_real,
    samples=_real_samples,
    kernels={DType.FLOAT32: _real_call},
    inplace=((0, 0),),
    cost=Cost(output=8.8),
)
