"""lookup: any function of one int8 code, as a table of its 256 results.

x: int8; table: (256,) int8, the result of code c at c + 128. The gradient passes with the slope of the function at the
code, (256,) int16 times a unit: a table of its own, which only a training step needs. The backward pass keeps x.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, Quantization, TensorType
from micrograft.ops.block import contracted, contraction, group
from micrograft.ops.cost import Cost
from micrograft.ops.fixed_point import LOW
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import Codes, check_codes, sample_codes

CODES = 256


@dataclass(frozen=True)
class Slopes:
    """The derivative of each code's result with respect to the code: unit · code, int16 codes."""

    codes: tuple[int, ...]
    unit: float

    @staticmethod
    def of(real: Array) -> Slopes:
        """The slopes nearest to real numbers: (256,).

        >>> Slopes.of(np.array([0.5, -1.0])).codes
        (16384, -32767)
        """
        unit = float(np.abs(real).max(initial=0.0)) / 32767 or 1.0
        return Slopes(tuple(int(code) for code in np.rint(real / unit)), unit)

    def __repr__(self) -> str:
        return f"up to {np.float32(32767 * self.unit)}"


@dataclass(frozen=True)
class LookupAttrs(Attrs):
    """x: what the input's codes mean; y: the output's, and its clamp, which the table has in it already.

    function: the operator of real numbers whose table it is, where that is one of one input.
    """

    x: Quantization
    y: Codes
    slopes: Slopes
    function: str = ""


@dataclass(frozen=True)
class LookupGradientAttrs(Attrs):
    """unit: of the slopes."""

    unit: float


def _require_table(table: TensorType, dtype: DType) -> None:
    require(table == TensorType((CODES,), dtype), f"the table is {table}, not {dtype.value}({CODES})")


def _looked_up(table: Array, x: Array) -> Array:
    return np.asarray(table[x.astype(np.int64) - LOW])


def _infer(attrs: LookupAttrs, types: Types) -> Types:
    x, table = types
    check_codes(x, attrs.x.zero)
    _require_table(replace(table, quant=None), DType.INT8)
    return (attrs.y.type(x.shape),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, LookupAttrs)
    slopes = backward.constant(np.array(attrs.slopes.codes, np.int16), "slopes")
    unit = LookupGradientAttrs(attrs.slopes.unit)
    return backward.emit("lookup_gradient", dy, node.inputs[0], slopes, attrs=unit), None


def _call(node: Node) -> tuple[KernelCall, ...]:
    fields = (("size", node.inputs[0].type.size),)
    return (KernelCall("mg_lookup_int8", "mg_elements_params", fields, (*node.inputs, node.outputs[0])),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    x, y = Quantization((0.05,), (-9,)), Codes(Quantization((1 / 128,), (-3,)))
    attrs = LookupAttrs(x, y, Slopes.of(generator.standard_normal(CODES)))
    for shape in [(1, 7), (1, 3, 5, 11)]:
        yield Sample((sample_codes(generator, shape), sample_codes(generator, (CODES,))), attrs)


LOOKUP = Operator(
    name="lookup",
    inputs=("x", "table"),
    infer=_infer,
    evaluate=lambda attrs, arrays: (_looked_up(arrays[1], arrays[0]),),
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    inplace=((0, 0),),
    cost=Cost(output=7),
)


def _infer_gradient(attrs: LookupGradientAttrs, types: Types) -> Types:
    dy, x, slopes = types
    require(dy.shape == x.shape and x.dtype is DType.INT8, f"the codes are {x}, and the gradient is {dy}")
    _require_table(slopes, DType.INT16)
    return (dy,)


def _evaluate_gradient(attrs: LookupGradientAttrs, arrays: Arrays) -> Arrays:
    dy, x, slopes = arrays
    return ((dy * (_looked_up(slopes, x) * attrs.unit)).astype(dy.dtype),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, LookupGradientAttrs)
    fields = (("size", node.outputs[0].type.size), ("unit", float(node.attrs.unit)))
    pointers = (*node.inputs, node.outputs[0])
    return (KernelCall("mg_lookup_gradient_float32", "mg_lookup_gradient_params", fields, pointers),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape in [(1, 7), (2, 3, 5)]:
        slopes = generator.integers(-32767, 32768, CODES).astype(np.int16)
        dy = generator.standard_normal(shape).astype(np.float32)
        yield Sample((dy, sample_codes(generator, shape), slopes), LookupGradientAttrs(3e-5))


LOOKUP_GRADIENT = Operator(
    name="lookup_gradient",
    inputs=("dy", "x", "slopes"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    in_blocks=contracted("block_lookup_gradient", unit=lambda attrs: attrs.unit),
    inplace=((0, 0),),
    cost=Cost(output=13),
)


def _whole(attrs: LookupGradientAttrs, arrays: Arrays) -> Arrays:
    """The gradient without its unit."""
    return _evaluate_gradient(LookupGradientAttrs(1.0), arrays)


def _block_call(node: Node, dy: Block, dx: Block) -> Sequence[KernelCall]:
    (call,) = _gradient_call(node)
    function = f"mg_block_lookup_gradient_{dy.codes.dtype.value}"
    return (replace(call, function=function, pointers=(group(dy), *node.inputs[1:], group(dx))),)


BLOCK_LOOKUP_GRADIENT = contraction(replace(LOOKUP_GRADIENT, evaluate=_whole), _block_call, cost=Cost(output=25))
