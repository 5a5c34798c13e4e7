"""fused_sgd, fused_codes_sgd, …: a weight is updated while its gradient is computed, part by part.

Each is the update of its name (`optimizers`, `codes_optimizers`, `codes_residue`), with x and dy, from which the
weight's gradient is computed, in the gradient's place. The gradient never exists as a whole, and the results are those
of the nodes apart, to the last bit. fused_square_sum is the first pass over a gradient that is clipped by its own norm:
the gradient is then computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops.codes_optimizers import CODES_SGD, CODES_SGD_MOMENTUM, CodesMomentumAttrs, CodesSgdAttrs
from micrograft.ops.codes_residue import CODES_SGD_RESIDUE
from micrograft.ops.codes_update import RANGES, Layout
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require, scratch_of
from micrograft.ops.optimizers import SGD, SGD_MOMENTUM, SQUARE_SUM, SgdAttrs, SgdMomentumAttrs
from micrograft.ops.weight_gradient_parts import (
    WEIGHT_GRADIENTS,
    PartsAttrs,
    of_codes,
    params,
    part_size,
    scales_axis,
    source,
    work,
)


@dataclass(frozen=True)
class FusedAttrs(Attrs):
    """gradient: what is computed part by part. update: of the operator that reads it."""

    gradient: PartsAttrs
    update: Attrs


@dataclass(frozen=True)
class _Case:
    """A gradient to be read by a sample. scales: of its codes. number: of the case, which what it is told varies by."""

    gradient: PartsAttrs
    type: TensorType
    scales: Array
    number: int

    def normal(self) -> Array:
        """Numbers in the gradient's shape."""
        return np.random.default_rng(self.number).standard_normal(self.type.shape).astype(np.float32)

    def codes(self) -> Array:
        return np.random.default_rng(self.number).integers(-127, 128, self.type.shape).astype(np.int8)

    def scalars(self, *values: float) -> tuple[Array, ...]:
        return tuple(np.array(value, np.float32) for value in values)

    @property
    def decay(self) -> float:
        return 0.1 * (self.number % 2)

    @property
    def factor(self) -> tuple[Array, ...]:
        """For every third one, what the gradient is multiplied by."""
        return self.scalars(0.3) if self.number % 3 == 0 else ()


_Reader = tuple[Attrs, Arrays, Arrays]
"""Of a sample: the update's attributes, and what it reads before and behind the gradient."""

_Item = TypeVar("_Item")


def _fused(update: Operator, weight: DType | None, reader: Callable[[_Case], _Reader]) -> Operator:
    """`update`, with x and dy in place of its gradient. Its scales, if it has any, are those of the gradient, too.

    weight: its element type; None for an operator that reads gradients of either kind and no weight. reader: of a
    sample for each gradient.
    """
    at = update.inputs.index("gradient")
    roles = [role.rstrip("?") for role in update.inputs[at + 1 :]]
    place = roles.index("scales") if "scales" in roles else len(roles)

    def apart(items: Sequence[_Item]) -> tuple[_Item, _Item, list[_Item], list[_Item]]:
        """x, dy, and what the update reads before and behind the gradient."""
        x, dy, *behind = items[at:]
        return x, dy, list(items[:at]), behind

    def infer(attrs: FusedAttrs, types: Types) -> Types:
        x, dy, before, behind = apart(types)
        require(weight in (None, x.dtype), f"x is {x.dtype.value}, unlike the weight")
        return update.infer(attrs.update, (*before, attrs.gradient.infer(x, dy), *behind))

    def evaluate(attrs: FusedAttrs, arrays: Arrays) -> Arrays:
        x, dy, before, behind = apart(arrays)
        gradient = attrs.gradient.evaluate(x, dy, *behind[place : place + 1])
        return update.evaluate(attrs.update, (*before, gradient, *behind))

    def nodes(node: Node) -> tuple[Node, Node]:
        """The node that computes the gradient as a whole, and the update that reads it."""
        x, dy, before, behind = apart(node.inputs)
        attrs = node.attrs
        assert isinstance(attrs, FusedAttrs)
        gradient = Value(f"{node.outputs[0].name}.gradient", attrs.gradient.infer(x.type, dy.type))
        whole = Node(attrs.gradient.gradient, (x, dy), (gradient,), attrs.gradient.attrs)
        return whole, replace(node, op=update.name, inputs=(*before, gradient, *behind), attrs=attrs.update)

    def scratch(node: Node) -> tuple[Value, ...]:
        return (scratch_of(node, part_size(nodes(node)[0])),)

    def macs(node: Node) -> int:
        whole, own = nodes(node)
        return WEIGHT_GRADIENTS[whole.op].macs(whole) + update.macs(own)

    def cost(node: Node, macs: float) -> float:
        whole, own = nodes(node)
        assert isinstance(node.attrs, FusedAttrs)
        return work(whole, node.attrs.gradient.layout) + update.work(own)

    def call(node: Node) -> tuple[KernelCall, ...]:
        """The call of the update, told how the gradient is computed instead of where it lies."""
        whole, own = nodes(node)
        assert isinstance(node.attrs, FusedAttrs)
        layout, (part,), (_, _, _, behind) = node.attrs.gradient.layout, scratch(node), apart(node.inputs)
        (apply,) = update.kernels[own.outputs[0].dtype](own)
        kind = apply.function.removeprefix("mg_").rpartition("_")[0]
        dtype = node.attrs.gradient.dtype.value
        group = source(whole, behind[place] if layout is not None else None, part)
        pointers = tuple(group if pointer == whole.outputs[0] else pointer for pointer in apply.pointers)
        fields = params(whole, layout), ("update", tuple(value for _, value in apply.fields))
        struct = f"mg_fused_{kind.removesuffix('_residue')}_{dtype}_params"
        return (KernelCall(f"mg_fused_{kind}_{dtype}", struct, fields, pointers),)

    def samples() -> Iterator[Sample]:
        for x, dy, case in _cases():
            if weight in (None, case.gradient.dtype):
                attrs, before, behind = reader(case)
                yield Sample((*before, x, dy, *behind), FusedAttrs(case.gradient, attrs))

    return Operator(
        name=f"fused_{update.name}",
        inputs=(*update.inputs[:at], "x", "dy", *update.inputs[at + 1 :]),
        outputs=update.outputs,
        infer=infer,
        evaluate=evaluate,
        samples=samples,
        kernels={weight or DType.FLOAT32: call},
        mutates=tuple((output, index + (index > at)) for output, index in update.mutates),
        macs=macs,
        cost=cost,
        scratch=scratch,
    )


def _cases() -> Iterator[tuple[Array, Array, _Case]]:
    """x, dy, and the case, of each gradient."""
    for name, gradient in WEIGHT_GRADIENTS.items():
        for number, sample in enumerate(gradient.samples()):
            x, dy = sample.inputs
            (whole,) = gradient.evaluate(sample.attrs, (x, dy))
            type_ = TensorType(whole.shape)
            layout = Layout((None, scales_axis(name, type_))[number % 2]) if of_codes(name) and number % 3 else None
            channels = layout.split(whole.shape)[1] if layout is not None else 1
            scales = np.random.default_rng(number).uniform(0.001, 0.1, channels).astype(np.float32)
            yield x, dy, _Case(PartsAttrs(name, sample.attrs, layout), type_, scales, number)


def _sgd_reader(case: _Case) -> _Reader:
    return SgdAttrs(case.decay), (case.normal(),), (*case.scalars(0.05), *case.factor)


def _momentum_reader(case: _Case) -> _Reader:
    velocity = case.normal()[..., ::-1].copy()
    return SgdMomentumAttrs(0.9, case.decay), (case.normal(),), (*case.scalars(0.05), velocity, *case.factor)


def _codes_reader(case: _Case, *state: Array) -> tuple[tuple[Layout, int, int, int], Arrays, Arrays]:
    """As a `_Reader`, with what all attributes begin with. state: of the optimizer."""
    base = case.gradient.layout or Layout(), *RANGES[DType.INT8], 77
    behind = (*case.scalars(0.05), case.scales, np.array(20260101, np.int32), *state, *case.factor)
    return base, (case.codes(),), behind


def _codes_sgd_reader(case: _Case) -> _Reader:
    base, before, behind = _codes_reader(case)
    return CodesSgdAttrs(*base, case.decay), before, behind


def _codes_residue_reader(case: _Case) -> _Reader:
    base, before, behind = _codes_reader(case, case.codes()[..., ::-1].copy())
    return CodesSgdAttrs(*base, case.decay), before, behind


def _codes_momentum_reader(case: _Case) -> _Reader:
    base, before, behind = _codes_reader(case, case.normal())
    return CodesMomentumAttrs(*base, 0.9, case.decay), before, behind


def _square_sum_reader(case: _Case) -> _Reader:
    return Attrs(), (), (case.scales,) if case.gradient.layout is not None else ()


FUSED_SGD = _fused(SGD, DType.FLOAT32, _sgd_reader)
FUSED_SGD_MOMENTUM = _fused(SGD_MOMENTUM, DType.FLOAT32, _momentum_reader)
FUSED_CODES_SGD = _fused(CODES_SGD, DType.INT8, _codes_sgd_reader)
FUSED_CODES_SGD_RESIDUE = _fused(CODES_SGD_RESIDUE, DType.INT8, _codes_residue_reader)
FUSED_CODES_SGD_MOMENTUM = _fused(CODES_SGD_MOMENTUM, DType.INT8, _codes_momentum_reader)
FUSED_SQUARE_SUM = _fused(
    replace(
        SQUARE_SUM,
        inputs=("gradient", "scales?"),
        infer=lambda attrs, types: SQUARE_SUM.infer(attrs, types[:1]),
        evaluate=lambda attrs, arrays: SQUARE_SUM.evaluate(attrs, arrays[:1]),
        kernels={DType.FLOAT32: lambda node: SQUARE_SUM.kernels[DType.FLOAT32](replace(node, inputs=node.inputs[:1]))},
    ),
    None,
    _square_sum_reader,
)
"""Of one gradient alone; scales: which make it that of real numbers."""
