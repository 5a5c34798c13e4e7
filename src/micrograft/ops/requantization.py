"""How an int8 layer ends: its int32 sums times a factor per channel, plus the zero point, clamped to codes.

bias: (outputs,) int32, in the sums' own units; factors: (outputs, 2) int32, multiplier and shift of each output
channel (`fixed_point`). The gradient of a code passes where it lies strictly between the clamp's ends, and is that of
a real number there (straight-through); all gradients of codes are float32, with respect to the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, Quantization, Shape, TensorType, Value
from micrograft.ops.cost import Cost, CostRule
from micrograft.ops.fixed_point import HIGH, LOW, Rounding, clamped, factor_of, multiplier_of, rescaled, scaled_sum
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Blocks,
    Group,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)

MULTIPLIER, SHIFT = 0, 1
"""The columns of `factors`."""


@dataclass(frozen=True)
class Codes:
    """What an int8 output's codes mean, between which of them an activation clamps, and how they are rounded."""

    quant: Quantization
    low: int = LOW
    high: int = HIGH
    rounding: Rounding = Rounding.TWICE

    def type(self, shape: Shape) -> TensorType:
        return TensorType(shape, DType.INT8, self.quant)

    def of(self, steps: Array) -> Array:
        """The codes of a whole number of steps from zero."""
        return clamped(steps + self.quant.zero, self.low, self.high)

    def mask(self, y: Array) -> Array:
        """Where the gradient of a code passes."""
        return np.asarray((y > self.low) & (y < self.high))

    def rescaled(self, steps: Array, multiplier: Array | int, shift: Array | int) -> Array:
        """Steps of another scale times a factor, rounded as these codes are."""
        return rescaled(steps, np.asarray(multiplier), np.asarray(shift), self.rounding)

    @property
    def field(self) -> tuple[str, tuple[int, ...]]:
        """The `mg_code_range` of a kernel's parameters."""
        return "y", (self.quant.zero, self.low, self.high, int(self.rounding))


def by_rounding(once: CostRule, twice: CostRule) -> CostRule:
    """A cost for each way of rounding an int8 output."""

    def rule(node: Node, macs: float) -> float:
        attrs: Any = node.attrs  # of any layer whose output is rounded so
        return (twice if attrs.y.rounding is Rounding.TWICE else once)(node, macs)

    return rule


def requantized(sums: Array, bias: Array, factors: Array, y: Codes) -> Array:
    """The codes of int32 sums: (..., outputs), biases not yet added."""
    total = sums.astype(np.int64) + bias
    return y.of(scaled_sum(total, factors[:, MULTIPLIER], factors[:, SHIFT], y.rounding))


def factors_table(real: Array) -> Array:
    """The factors of a layer. real: (outputs,), input · weight / output scale."""
    return np.asarray([multiplier_of(float(factor)) for factor in real], np.int32)


def check_codes(x: TensorType, zero: int, what: str = "the input") -> None:
    """Raise ShapeError unless `x` holds int8 codes with this zero point."""
    require(x.dtype is DType.INT8, f"{what} is {x.dtype.value}, not int8")
    require(x.quant is None or x.quant.zero_points == (zero,), f"{what} has another zero point than {zero}")


def check_channels(bias: TensorType, factors: TensorType, outputs: int) -> None:
    """Raise ShapeError unless these are the biases and factors of so many outputs."""
    found = (bias.shape, bias.dtype)
    require(found == ((outputs,), DType.INT32), f"the bias is {bias}, not int32({outputs})")
    check_factors(factors, outputs)


def check_factors(factors: TensorType, outputs: int) -> None:
    """Raise ShapeError unless these are the factors of so many outputs."""
    expected = TensorType((outputs, 2), DType.INT32)
    require(factors == expected, f"the table of factors is {factors}, not {expected}")


def channels_group(bias: Value, factors: Value) -> Group:
    """Biases and factors, as the kernels take them."""
    return Group("mg_channels", (("bias", bias), ("factors", factors)))


def with_mask(call: KernelCall, node: Node, y: Codes) -> tuple[KernelCall, ...]:
    """The calls of a node: its kernel, and where the mask is wanted what takes it off the output."""
    if len(node.outputs) == 1:
        return (call,)
    codes, mask, *_ = node.outputs
    fields = (("size", codes.type.size), ("low", y.low), ("high", y.high))
    return call, KernelCall("mg_code_mask_int8", "mg_code_mask_params", fields, (codes, mask))


def sums_gradient(backward: Backward, node: Node, dy: Value, factors: Value) -> Value:
    """The gradient of a layer's sums from that of its codes."""
    return backward.emit("rescale_gradient", codes_gradient(backward, node, dy), factors)


def codes_gradient(backward: Backward, node: Node, dy: Value) -> Value:
    """The gradient of what was rounded and clamped to the node's codes."""
    return backward.emit("mask_gradient", dy, backward.keep(node, "mask"))


def _infer_rescale_gradient(attrs: Attrs, types: Types) -> Types:
    dy, factors = types
    require(dy.dtype is DType.FLOAT32, "the gradient is not float32")
    check_factors(factors, dy.shape[-1])
    return (dy,)


def _evaluate_rescale_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    dy, factors = arrays
    return (dy * factor_of(factors[:, MULTIPLIER], factors[:, SHIFT]).astype(dy.dtype),)


def _rescale_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, factors = node.inputs
    outputs = dy.shape[-1]
    fields = (("rows", dy.type.size // outputs), ("columns", outputs))
    return (KernelCall("mg_rescale_gradient_float32", "mg_rescale_params", fields, (dy, factors, node.outputs[0])),)


def _rescale_in_blocks(blocks: Blocks, node: Node) -> Block:
    """Here a gradient enters the integers: in front of it is the float32 of a loss or of a head."""
    dy, factors = blocks.of(node.inputs[0]), node.inputs[1]
    return blocks.new("block_rescale_gradient", dy.codes, dy.scale, factors, unit=dy.unit)


def sample_channels(generator: np.random.Generator, outputs: int, products: int) -> tuple[Array, Array]:
    """Biases and factors for samples of so many products of codes, which spread the sums over the codes."""
    spread = 40.0 / (60.0 * 60.0 * np.sqrt(products))
    bias = generator.integers(-9000, 9000, outputs).astype(np.int32)
    return bias, factors_table(generator.uniform(0.5, 2.0, outputs) * spread)


def sample_codes(generator: np.random.Generator, shape: Shape) -> Array:
    """All int8 codes, evenly."""
    return generator.integers(LOW, HIGH + 1, shape).astype(np.int8)


def _rescale_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape in [(1, 7), (1, 3, 4, 5)]:
        dy = generator.standard_normal(shape).astype(np.float32)
        yield Sample((dy, sample_channels(generator, shape[-1], 9)[1]))


RESCALE_GRADIENT = Operator(
    name="rescale_gradient",
    inputs=("dy", "factors"),
    infer=_infer_rescale_gradient,
    evaluate=_evaluate_rescale_gradient,
    samples=_rescale_gradient_samples,
    kernels={DType.FLOAT32: _rescale_gradient_call},
    in_blocks=_rescale_in_blocks,
    inplace=((0, 0),),
    cost=Cost(output=9.3),
)
