"""What LSTM, GRU and plain recurrent layers share: how a sequence lies, and the gradients of their weights.

z: (1, T, D·G·H), what the input adds to the G gates of H units in D directions: a linear layer in front computes it
for all steps at once. weight: (D·G·H, H), recurrent. y: (1, T, D·H). Where a state goes in or the last one out
(`framed`), y has a row more at either end: what came before the first step, and behind the last one an LSTM's cells.

Backpropagation through time walks the steps backward; `truncate` cuts what flows back to an earlier step at every
so many steps, as detaching the state there does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    KernelCall,
    Operator,
    Pointer,
    Sample,
    Types,
    require,
    scratch_of,
)
from micrograft.ops.strides import walk

Fields = tuple[tuple[str, int | tuple[int, ...]], ...]


@dataclass(frozen=True)
class RecurrentAttrs(Attrs):
    """reverse: per direction, whether it runs from the end. order: which part of the gates is which.

    LSTM: parts of input, forget, cell and output gate. GRU: of reset and update gate; the candidate is the last.
    Plain: (1,) for max(·, 0) instead of tanh.
    """

    reverse: tuple[bool, ...] = (False,)
    order: tuple[int, ...] = ()
    framed: bool = False
    truncate: int = 0


@dataclass(frozen=True)
class Sequence1D:
    """The geometry of one layer. steps: T. hidden: H. gates: G."""

    attrs: RecurrentAttrs
    steps: int
    hidden: int
    gates: int

    @classmethod
    def of(cls, attrs: RecurrentAttrs, z: Shape, weight: Shape, gates: int) -> Sequence1D:
        """Raises ShapeError where the shapes do not make a layer."""
        require(len(z) == 3 and z[0] == 1, f"the gates have shape {z}, not (1, steps, gates)")
        require(len(weight) == 2, f"the recurrent weight has {len(weight)} axes, not 2")
        hidden, directions = weight[1], len(attrs.reverse)
        rows = directions * gates * hidden
        require(weight[0] == rows, f"the recurrent weight has {weight[0]} rows, not {rows}")
        require(z[2] == rows, f"the gates have {z[2]} parts, not {rows}")
        require(attrs.truncate >= 0, f"gradients cannot flow back over {attrs.truncate} steps")
        return cls(attrs, z[1], hidden, gates)

    @property
    def directions(self) -> int:
        return len(self.attrs.reverse)

    @property
    def z(self) -> Shape:
        return (1, self.steps, self.directions * self.gates * self.hidden)

    @property
    def y(self) -> Shape:
        return (1, self.steps + 2 * self.attrs.framed, self.directions * self.hidden)

    @property
    def kept(self) -> Shape:
        """A row per step and one more: before an LSTM's first step, behind a GRU's last."""
        return (self.steps + 1, self.directions * self.hidden)

    @property
    def weight(self) -> Shape:
        return (self.directions * self.gates * self.hidden, self.hidden)

    def row(self, direction: int, step: int) -> int:
        """The place in the sequence of a direction's step; −1 and T belong to the frame."""
        return self.steps - 1 - step if self.attrs.reverse[direction] else step

    def at_gates(self, direction: int, step: int) -> int:
        """Offset in z of a direction's gates at a step, in elements."""
        return (self.row(direction, step) * self.directions + direction) * self.gates * self.hidden

    def at_output(self, direction: int, step: int) -> int:
        """Offset in y; step −1 is what came before, T the frame behind the last."""
        return ((self.row(direction, step) + self.attrs.framed) * self.directions + direction) * self.hidden

    def at_cells(self, direction: int, step: int) -> int:
        """Offset among the kept rows; step −1 is an LSTM's cells before the first."""
        row = self.row(direction, step) + (0 if self.attrs.reverse[direction] else 1)
        return (row * self.directions + direction) * self.hidden

    def at_products(self, direction: int, step: int) -> int:
        """Offset among the kept rows; step T is a GRU's extra row."""
        row = self.row(direction, step) + (1 if self.attrs.reverse[direction] else 0)
        return (row * self.directions + direction) * self.hidden

    def at_weight(self, direction: int) -> int:
        return direction * self.gates * self.hidden * self.hidden

    def fields(self, direction: int, *, cells: bool = True) -> Fields:
        """`mg_recurrent_params`. cells: whether all of them are kept."""
        sign = -1 if self.attrs.reverse[direction] else 1
        width = sign * self.directions * self.hidden
        return (
            ("steps", self.steps),
            ("hidden", self.hidden),
            ("gates", width * self.gates),
            ("outputs", width),
            ("cells", width if cells else 0),
            ("known", int(self.attrs.framed)),
            ("truncate", self.attrs.truncate),
            ("order", (*self.attrs.order, 0, 0, 0, 0)[:4]),
        )

    def flows_back(self, step: int) -> bool:
        """Whether the gradient flows from the step behind `step` back to it."""
        truncate = self.attrs.truncate
        return step + 1 < self.steps and (truncate == 0 or (step + 1) % truncate != 0)

    def before(self, y: Array, direction: int) -> Array:
        """(T, H): for each step, in the order of steps, the output before it; zeros where there was none."""
        units = slice(direction * self.hidden, (direction + 1) * self.hidden)
        own = y[0, :, units][:: -1 if self.attrs.reverse[direction] else 1]
        if self.attrs.framed:
            return own[:-2]
        return np.concatenate([np.zeros((1, self.hidden), y.dtype), own[:-1]])

    def in_steps(self, z: Array, direction: int) -> Array:
        """(T, G, H): the gates of a direction in the order of its steps; a view."""
        parts = z.reshape(self.steps, self.directions, self.gates, self.hidden)[:, direction]
        return parts[::-1] if self.attrs.reverse[direction] else parts

    def outputs_in_steps(self, y: Array, direction: int) -> Array:
        """(T, H): the outputs of a direction in the order of its steps; a view."""
        inner = y[0, 1:-1] if self.attrs.framed else y[0]
        own = inner[:, direction * self.hidden : (direction + 1) * self.hidden]
        return own[::-1] if self.attrs.reverse[direction] else own

    def frame(self, y: Array, direction: int) -> tuple[Array, Array]:
        """(H,), (H,): the rows before the first step and behind the last one; views."""
        units = slice(direction * self.hidden, (direction + 1) * self.hidden)
        first, last = y[0, 0, units], y[0, -1, units]
        return (last, first) if self.attrs.reverse[direction] else (first, last)


def check_state(sequence: Sequence1D, state: Sequence[TensorType], rows: int) -> None:
    """Raise ShapeError unless a framed layer, and no other, has a state of so many rows."""
    expected = (rows, sequence.directions * sequence.hidden)
    require(len(state) == int(sequence.attrs.framed), "a framed layer, and no other, takes a state")
    require(all(each.shape == expected for each in state), f"the state is not {expected}")


def copy_call(source: Value | Pointer, target: Value | Pointer, size: int) -> KernelCall:
    """Copies so many elements."""
    fields = (("rows", 1), ("columns", size), ("x_stride", 0), ("y_stride", 0))
    return KernelCall("mg_copy_float32", "mg_copy_params", fields, (source, target))


def clear_call(target: Pointer, size: int) -> KernelCall:
    """Puts zeros in so many elements. (The kernel that clears gradients declares it with the optimizers.)"""
    return KernelCall("mg_clear_float32", "mg_clear_params", (("size", size),), (target,))


def add_call(to: Pointer, addend: Pointer, size: int) -> KernelCall:
    """Adds so many elements to those in `to`."""
    way = walk((size,), (1,), (1,))
    fields = (
        ("rows", way.rows),
        ("columns", way.columns),
        ("shape", way.shape),
        ("a_step", 1),
        ("b_step", 1),
        ("a_jump", way.strides[0].jumps),
        ("b_jump", way.strides[1].jumps),
    )
    return KernelCall("mg_add_float32", "mg_broadcast_params", fields, (to, addend, to))


@dataclass(frozen=True)
class RecurrentWeightAttrs(Attrs):
    """layer: whose gradient this is. gates: of it."""

    layer: RecurrentAttrs
    gates: int


def _sequence(attrs: RecurrentWeightAttrs, y: Shape, dz: Shape) -> Sequence1D:
    hidden = y[2] // len(attrs.layer.reverse)
    rows = len(attrs.layer.reverse) * attrs.gates * hidden
    return Sequence1D.of(attrs.layer, dz, (rows, hidden), attrs.gates)


def _infer_weight(attrs: RecurrentWeightAttrs, types: Types) -> Types:
    y, dz, *dproducts = types
    sequence = _sequence(attrs, y.shape, dz.shape)
    require(y.shape == sequence.y, f"the output has shape {y.shape}, not {sequence.y}")
    require(all(each.shape == sequence.kept for each in dproducts), "the gradient of the products does not fit")
    return (TensorType(sequence.weight, y.dtype),)


def _evaluate_weight(attrs: RecurrentWeightAttrs, arrays: Arrays) -> Arrays:
    y, dz, *dproducts = arrays
    sequence = _sequence(attrs, y.shape, dz.shape)
    found = []
    for direction in range(sequence.directions):
        parts = np.array(sequence.in_steps(dz, direction))
        for products in dproducts:
            parts[:, -1] = products_in_steps(sequence, products, direction)
        before = sequence.before(y, direction)
        found.append(np.einsum("tgh,tk->ghk", parts, before).reshape(-1, sequence.hidden))
    return (np.concatenate(found),)


def products_in_steps(sequence: Sequence1D, products: Array, direction: int) -> Array:
    """(T, H): a GRU's kept products of a direction in the order of its steps; a view."""
    own = products[:, direction * sequence.hidden : (direction + 1) * sequence.hidden]
    return own[:0:-1] if sequence.attrs.reverse[direction] else own[:-1]


def _rows_fields(sequence: Sequence1D, direction: int, parts: int, width: int, *, first: int) -> Fields:
    """`mg_rows_params` of the steps from `first` on. width: elements from row to row of dy."""
    sign = -1 if sequence.attrs.reverse[direction] else 1
    return (
        ("rows", sequence.steps - first),
        ("inputs", sequence.hidden),
        ("outputs", parts * sequence.hidden),
        ("x_step", sign * sequence.directions * sequence.hidden),
        ("dy_step", sign * width),
    )


def _weight_call(node: Node) -> tuple[KernelCall, ...]:
    y, dz, *dproducts = node.inputs
    assert isinstance(node.attrs, RecurrentWeightAttrs)
    sequence = _sequence(node.attrs, y.shape, dz.shape)
    parts = sequence.gates - len(dproducts)
    start = 0 if sequence.attrs.framed else 1  # without a frame the first step saw zeros
    step = min(start, sequence.steps - 1)
    calls = []
    for direction in range(sequence.directions):
        x = Pointer(y, sequence.at_output(direction, start - 1))
        at = sequence.at_weight(direction)
        sources = [(dz, sequence.at_gates(direction, step), parts, dz.shape[2], at)]
        tail = at + parts * sequence.hidden * sequence.hidden
        sources += [(each, sequence.at_products(direction, step), 1, each.shape[1], tail) for each in dproducts]
        for source, offset, count, width, to in sources:
            fields = _rows_fields(sequence, direction, count, width, first=start)
            pointers = (x, Pointer(source, offset), Pointer(node.outputs[0], to))
            calls.append(KernelCall("mg_rows_weight_gradient_float32", "mg_rows_params", fields, pointers))
    return tuple(calls)


CASES: tuple[tuple[RecurrentAttrs, int, int], ...] = (
    (RecurrentAttrs(), 5, 3),
    (RecurrentAttrs((True,)), 4, 9),
    (RecurrentAttrs((False, True)), 6, 13),
    (RecurrentAttrs((False, True), framed=True), 3, 4),
    (RecurrentAttrs((True,), framed=True), 1, 2),
    (RecurrentAttrs(), 1, 5),
)
"""Attributes without an order, steps and units, for samples."""


def draw(generator: np.random.Generator, shape: Shape, size: float = 1.0) -> Array:
    """A float32 tensor of normal numbers."""
    return (size * generator.standard_normal(shape)).astype(np.float32)


def _weight_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for attrs, steps, hidden in CASES:
        for gates, has_products in ((4, False), (3, True)):
            sequence = Sequence1D(attrs, steps, hidden, gates)
            shapes = [sequence.y, sequence.z, *([sequence.kept] if has_products else [])]
            arrays = tuple(draw(generator, shape) for shape in shapes)
            yield Sample(arrays, RecurrentWeightAttrs(attrs, gates))


def _macs(node: Node) -> int:
    return node.inputs[1].shape[1] * node.outputs[0].type.size


RECURRENT_WEIGHT_GRADIENT = Operator(
    name="recurrent_weight_gradient",
    inputs=("y", "dz", "dproducts?"),
    infer=_infer_weight,
    evaluate=_evaluate_weight,
    samples=_weight_samples,
    kernels={DType.FLOAT32: _weight_call},
    macs=_macs,
    cost=Cost(mac=1.9, input=3),
)


@dataclass(frozen=True)
class RecurrentStateAttrs(Attrs):
    """layer: whose gradient this is. gates: of it: 4 in an LSTM, 3 in a GRU, else 1."""

    layer: RecurrentAttrs
    gates: int


def _infer_state(attrs: RecurrentStateAttrs, types: Types) -> Types:
    dy, dz, weight, *rest = types
    sequence = Sequence1D.of(attrs.layer, dz.shape, weight.shape, attrs.gates)
    require(attrs.layer.framed and dy.shape == sequence.y, f"the gradient has shape {dy.shape}, not {sequence.y}")
    require(len(rest) == int(attrs.gates > 1), "an LSTM's cells, or a GRU's products, are missing")
    return (TensorType((2 if attrs.gates == 4 else 1, sequence.directions * sequence.hidden), dy.dtype),)


def _evaluate_state(attrs: RecurrentStateAttrs, arrays: Arrays) -> Arrays:
    dy, dz, weight, *rest = arrays
    sequence = Sequence1D.of(attrs.layer, dz.shape, weight.shape, attrs.gates)
    found = []
    for direction in range(sequence.directions):
        parts = np.array(sequence.in_steps(dz, direction)[0])
        own = weight[direction * parts.size :][: parts.size]
        dstate = sequence.frame(dy, direction)[0]
        if attrs.gates == 3:
            units = slice(direction * sequence.hidden, (direction + 1) * sequence.hidden)
            carry_row = 0 if attrs.layer.reverse[direction] else -1
            parts[-1] = products_in_steps(sequence, rest[0], direction)[0]
            dstate = dstate + rest[0][carry_row, units]
        found.append(dstate + parts.reshape(-1) @ own)
    dh = np.concatenate(found)[None]
    return (np.concatenate([dh, rest[0]]) if attrs.gates == 4 else dh,)


def _back_call(source: Pointer, weight: Pointer, to: Value | Pointer, parts: int, hidden: int) -> KernelCall:
    """to: (hidden) = what `parts` gates send back through the weight."""
    fields = (("rows", 1), ("inputs", hidden), ("outputs", parts * hidden))
    return KernelCall("mg_linear_input_gradient_float32", "mg_linear_params", fields, (source, weight, to))


def _state_call(node: Node) -> tuple[KernelCall, ...]:
    dy, dz, weight, *rest = node.inputs
    assert isinstance(node.attrs, RecurrentStateAttrs)
    sequence = Sequence1D.of(node.attrs.layer, dz.shape, weight.shape, node.attrs.gates)
    hidden, is_gru = sequence.hidden, node.attrs.gates == 3
    parts = sequence.gates - is_gru
    calls: list[KernelCall] = []
    for direction in range(sequence.directions):
        to, at = Pointer(node.outputs[0], direction * hidden), sequence.at_weight(direction)
        calls.append(_back_call(Pointer(dz, sequence.at_gates(direction, 0)), Pointer(weight, at), to, parts, hidden))
        if is_gru:
            (scratch,) = _state_scratch(node)
            tail = Pointer(weight, at + parts * hidden * hidden)
            source = Pointer(rest[0], sequence.at_products(direction, 0))
            calls.append(_back_call(source, tail, scratch, 1, hidden))
            calls.append(add_call(to, Pointer(scratch), hidden))
            calls.append(add_call(to, Pointer(rest[0], sequence.at_products(direction, sequence.steps)), hidden))
        calls.append(add_call(to, Pointer(dy, sequence.at_output(direction, -1)), hidden))
    if node.attrs.gates == 4:
        units = sequence.directions * hidden
        calls.append(copy_call(rest[0], Pointer(node.outputs[0], units), units))
    return tuple(calls)


def _state_scratch(node: Node) -> tuple[Value, ...]:
    assert isinstance(node.attrs, RecurrentStateAttrs)
    return (scratch_of(node, node.inputs[2].shape[1]),) if node.attrs.gates == 3 else ()


def _state_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for attrs, steps, hidden in CASES:
        for gates in (1, 3, 4) if attrs.framed else ():
            sequence = Sequence1D(attrs, steps, hidden, gates)
            shapes: list[Shape] = [sequence.y, sequence.z, sequence.weight]
            if gates > 1:
                shapes.append(sequence.kept if gates == 3 else (1, sequence.kept[1]))
            yield Sample(tuple(draw(generator, shape) for shape in shapes), RecurrentStateAttrs(attrs, gates))


RECURRENT_STATE_GRADIENT = Operator(
    name="recurrent_state_gradient",
    inputs=("dy", "dz", "weight", "rest?"),
    outputs=("dstate",),
    infer=_infer_state,
    evaluate=_evaluate_state,
    samples=_state_samples,
    kernels={DType.FLOAT32: _state_call},
    macs=lambda node: node.inputs[2].type.size,
    cost=Cost(mac=5.3, output=8),
    scratch=_state_scratch,
)
