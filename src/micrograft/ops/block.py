"""Gradients in integers: block floating point, a tensor of codes that share a power of two.

real = unit · 2^exponent · code, with int16 or int8 codes in RAM, an exponent in RAM that follows the data, and a unit
that is known before any code is written. Products and sums of codes are exact (int32 within a run, int64 beyond), and
are narrowed to codes by one rounding shift. That shift is the last step's, unless it does not fit what this step
brought: then the kernel sees so at its end and runs once more, so that codes never saturate but in the last rounding
and the tensor's largest element keeps at least `bits − 1 − SLACK` significant bits.

`scale`: (2,) int32 in RAM beside each block: the shift to start from, and the exponent. `mg_block.h` is the same in C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, TensorType
from micrograft.ops.cost import CostRule
from micrograft.ops.operator import (
    Arrays,
    BlockRule,
    Blocks,
    Group,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)

SCALE = TensorType((2,), DType.INT32)
"""The type of a block's shift and exponent."""

SHIFT, EXPONENT = 0, 1

HEADROOM = {DType.INT16: 1, DType.INT8: 0}
"""Places that the next step's shift is larger than this step's largest sum asked for."""

SLACK = {DType.INT16: 3, DType.INT8: 1}
"""Places that a shift may be larger than its sums ask for before they are computed again."""


@dataclass(frozen=True)
class BlockAddAttrs(Attrs):
    """a, b: the factor of each, (multiplier, shift): multiplier · 2^(shift − 15), the multiplier of 15 bits."""

    a: tuple[int, int]
    b: tuple[int, int]


def short_factor(real: float) -> tuple[int, int]:
    """(multiplier, shift) of a factor, the multiplier of 15 bits.

    >>> short_factor(1.0), short_factor(-0.75)
    ((16384, 1), (-24576, 0))
    """
    fraction, shift = math.frexp(real)
    return round(fraction * (1 << 15)), shift


def limit(dtype: DType) -> int:
    """The largest code, either way."""
    return (1 << (dtype.bits - 1)) - 1


def dtype_of(codes: Array) -> DType:
    return DType(codes.dtype.name)


def bit_length(sums: Array) -> int:
    """Bits of the largest of int64 numbers without its sign; a negative one counts as its complement."""
    return int(np.bitwise_or.reduce((sums ^ (sums >> 63)).ravel(), initial=0)).bit_length()


def shifted(sums: Array, places: Array | int) -> Array:
    """sums / 2^places to nearest, ties up."""
    places = np.asarray(places, np.int64)
    return np.asarray(np.where(places > 0, ((sums >> np.maximum(places - 1, 0)) + 1) >> 1, sums))


def narrowed(sums: Array, shift: Array | int, dtype: DType) -> Array:
    """The codes of int64 sums."""
    return np.asarray(np.clip(shifted(sums, shift), -limit(dtype), limit(dtype)), dtype.numpy)


def settled(sums: Array, scale: Array, exponent: int, dtype: DType) -> tuple[Array, Array]:
    """Codes and scale of sums that count in 2^exponent; the shift to start from is in `scale`."""
    start = int(scale[SHIFT])
    needed = max(bit_length(sums) - (dtype.bits - 1), 0)
    if not sums.any():
        return np.zeros(sums.shape, dtype.numpy), np.array([start, exponent + start], np.int32)
    shift = start if needed <= start <= needed + SLACK[dtype] else needed
    codes = narrowed(sums, shift, dtype)
    return codes, np.array([needed + HEADROOM[dtype], exponent + shift], np.int32)


def scanned(sums: Array, exponent: int, dtype: DType) -> tuple[Array, Array]:
    """Codes and scale of elements that are looked at before any is written: the shift is what they ask for."""
    shift = max(bit_length(sums) - (dtype.bits - 1), 0)
    return narrowed(sums, shift, dtype), np.array([shift, exponent + shift], np.int32)


def check_block(codes: TensorType, scale: TensorType) -> None:
    """Raise ShapeError unless these are codes and a scale."""
    require(codes.dtype in HEADROOM, f"the gradient is {codes.dtype.value}, not int16 or int8")
    check_scale(scale)


def check_scale(scale: TensorType) -> None:
    require(scale == SCALE, f"the scale is {scale}, not {SCALE}")


def group(block: Block) -> Group:
    """A block as a kernel takes it."""
    return Group(f"mg_block_{block.codes.dtype.value}", (("codes", block.codes), ("scale", block.scale)))


def exact(array: Array) -> Array:
    """Codes as float64, whose sums of products are exact below 2^53."""
    return array.astype(np.float64) if array.dtype.kind in "iu" else array


def contraction(
    base: Operator, kernel: Callable[[Node, Block, Block], Sequence[KernelCall]], *, gradient: int = 0, cost: CostRule
) -> Operator:
    """The integer form of `base`, which sums products of a gradient: `block_` before its name, int8 or int16 codes in.

    Its inputs are those of `base`, with the scale of the gradient behind the gradient, and at last the scale of the
    result. gradient: which input of `base` the gradient is. kernel: the calls for a node of `base`, its gradient and
    its result. cost: of a node of `base` with that result; that a kernel may run twice, as the last step's shift does
    not fit, is not foreseen. Its samples are those of `base` where all else is codes.
    """
    at = gradient

    def infer(attrs: Attrs, types: Types) -> Types:
        *given, scale = types
        check_block(given[at], given[at + 1])
        check_scale(scale)
        real = [*given[:at], TensorType(given[at].shape), *given[at + 2 :]]
        (dx, *_) = base.infer(attrs, real)
        return TensorType(dx.shape, given[at].dtype), SCALE

    def evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
        *given, scale = arrays
        operands = [exact(array) for index, array in enumerate(given) if index != at + 1]
        (sums, *_) = base.evaluate(attrs, operands)
        exponent = int(given[at + 1][EXPONENT])
        return settled(np.rint(sums).astype(np.int64), scale, exponent, dtype_of(given[at]))

    def own(node: Node) -> Node:
        """The node of `base`, on codes."""
        return replace(node, op=base.name, inputs=(*node.inputs[: at + 1], *node.inputs[at + 2 : -1]))

    def call(node: Node) -> Sequence[KernelCall]:
        dy, dx = Block(node.inputs[at], node.inputs[at + 1], 1.0), Block(node.outputs[0], node.inputs[-1], 1.0)
        return kernel(own(node), dy, dx)

    def samples() -> Iterator[Sample]:
        for index, sample in enumerate(base.samples()):
            before, (dy, *behind) = sample.inputs[:at], sample.inputs[at:]
            if any(array.dtype == np.float32 for array in (*before, *behind)):
                continue
            codes = np.clip(dy * 9000, -32767, 32767).astype(np.int16)
            start = np.array([(0, 8, 40)[index % 3], 99], np.int32)
            for each in (codes, (codes >> 8).astype(np.int8)):
                given = (*before, each, np.array([5, 3 - index], np.int32), *behind, start)
                yield Sample(given, sample.attrs, differentiable=())

    inputs = (*base.inputs[: at + 1], "scale", *base.inputs[at + 1 :], "dx_scale")
    return Operator(
        name=f"block_{base.name}",
        inputs=inputs,
        outputs=(base.outputs[0], "scale"),
        infer=infer,
        evaluate=evaluate,
        samples=samples,
        kernels={DType.INT16: call, DType.INT8: call},
        mutates=((1, len(inputs) - 1),),
        macs=lambda node: base.macs(own(node)),
        cost=lambda node, macs: cost(own(node), macs),
    )


def contracted(op: str, *, gradient: int = 0, unit: Callable[[Any], float | None] = lambda attrs: 1.0) -> BlockRule:
    """The integer rule of a node that `contraction` has made the integer form `op` of, where all else is codes.

    unit: of attributes, the factor that the integer form leaves out; None where there is none for all elements.
    """

    def rule(blocks: Blocks, node: Node) -> Block | None:
        others = [value for index, value in enumerate(node.inputs) if index != gradient]
        dy, factor = blocks.known(node.inputs[gradient]), unit(node.attrs)
        if dy is None or factor is None or any(value.dtype is DType.FLOAT32 for value in others):
            return None
        inputs = (*node.inputs[:gradient], dy.codes, dy.scale, *node.inputs[gradient + 1 :])
        return blocks.new(op, *inputs, unit=dy.unit * factor, attrs=node.attrs)

    return rule
