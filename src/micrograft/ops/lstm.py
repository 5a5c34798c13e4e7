"""lstm: a long short-term memory layer (Hochreiter & Schmidhuber 1997; gates as in PyTorch and ONNX), over T steps.

i, f, g, o = σ, σ, tanh, σ (z + W·h');  c = f·c' + i·g;  h = o·tanh(c), with h', c' of the step before.
z: (1, T, D·4H), biases included; weight W: (D·4H, H); state: (2, D·H), h and c before the first step, of a framed
layer; y: (1, T, D·H), with the frame's rows where it is framed (`ops/recurrent.py`).
The backward pass keeps 5·H floats per step and direction: the four gates, in the place of z, and the cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    Operator,
    Pointer,
    Sample,
    Types,
    require,
    scratch_of,
)
from micrograft.ops.recurrent import (
    CASES,
    RecurrentAttrs,
    RecurrentStateAttrs,
    RecurrentWeightAttrs,
    Sequence1D,
    check_state,
    clear_call,
    copy_call,
    draw,
)
from micrograft.ops.sigmoid import logistic

GATES = 4
PYTORCH_ORDER, ONNX_ORDER = (0, 1, 2, 3), (0, 2, 3, 1)
"""Where the input, forget, cell and output gates stand."""


def _of(attrs: RecurrentAttrs, z: TensorType | Value, weight: TensorType | Value) -> Sequence1D:
    require(sorted(attrs.order) == list(range(GATES)), f"{attrs.order} is no order of four gates")
    return Sequence1D.of(attrs, z.shape, weight.shape, GATES)


def _infer(attrs: RecurrentAttrs, types: Types) -> Types:
    z, weight, *state = types
    sequence = _of(attrs, z, weight)
    check_state(sequence, state, rows=2)
    return TensorType(sequence.y, z.dtype), z, TensorType(sequence.kept, z.dtype)


def _evaluate(attrs: RecurrentAttrs, arrays: Arrays) -> Arrays:
    z, weight, *state = arrays
    sequence = Sequence1D.of(attrs, z.shape, weight.shape, GATES)
    y, gates, cells = np.zeros(sequence.y, z.dtype), np.zeros_like(z), np.zeros(sequence.kept, z.dtype)
    for direction in range(sequence.directions):
        units = slice(direction * sequence.hidden, (direction + 1) * sequence.hidden)
        own = weight[direction * GATES * sequence.hidden :][: GATES * sequence.hidden]
        h, c = (row[units] for row in state[0]) if state else np.zeros((2, sequence.hidden), z.dtype)
        first, last = sequence.frame(y, direction)
        if state:
            first[:] = h
        kept = cells[:, units][:: -1 if attrs.reverse[direction] else 1]
        kept[0] = c
        parts, values = sequence.in_steps(z, direction), sequence.in_steps(gates, direction)
        outputs = sequence.outputs_in_steps(y, direction)
        for step in range(sequence.steps):
            raw = parts[step] + (own @ h).reshape(GATES, -1)
            i, f, g, o = (raw[part] for part in attrs.order)
            i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
            c = f * c + i * g
            h = o * np.tanh(c)
            outputs[step], kept[step + 1] = h, c
            values[step][list(attrs.order)] = i, f, g, o
        if state:
            last[:] = c
    return y, gates, cells


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    _, weight, *state = node.inputs
    dy = gradients[0]
    assert dy is not None and isinstance(node.attrs, RecurrentAttrs)
    gates, cells = backward.keep(node, "gates"), backward.keep(node, "cells")
    wants_state = any(map(backward.needs, state))
    dz, *carry = backward.emit_all(
        "lstm_gradient", dy, gates, cells, weight, attrs=node.attrs, outputs=2 if wants_state else 1
    )
    dw = dstate = None
    if backward.needs(weight):
        attrs = RecurrentWeightAttrs(node.attrs, GATES)
        dw = backward.emit("recurrent_weight_gradient", node.outputs[0], dz, attrs=attrs)
    if wants_state:
        state_attrs = RecurrentStateAttrs(node.attrs, GATES)
        dstate = backward.emit("recurrent_state_gradient", dy, dz, weight, *carry, attrs=state_attrs)
    return (dz, dw, *(dstate for _ in state))


def _call(node: Node) -> tuple[KernelCall, ...]:
    z, weight, *state = node.inputs
    y, *kept = node.outputs
    gates = kept[0] if kept else None
    assert isinstance(node.attrs, RecurrentAttrs)
    sequence = _of(node.attrs, z, weight)
    hidden, calls = sequence.hidden, []
    for direction in range(sequence.directions):
        cells, final = _cells(node, sequence, direction)
        if state:
            own = direction * hidden
            outputs_before = Pointer(y, sequence.at_output(direction, -1))
            calls.append(copy_call(Pointer(state[0], own), outputs_before, hidden))
            calls.append(copy_call(Pointer(state[0], own + sequence.directions * hidden), cells, hidden))
        else:
            calls.append(clear_call(cells, hidden))
        at = sequence.at_gates(direction, 0)
        pointers = (
            Pointer(z, at),
            Pointer(weight, sequence.at_weight(direction)),
            Pointer(y, sequence.at_output(direction, 0)),
            Pointer(gates, at) if gates else None,
            cells,
        )
        fields = sequence.fields(direction, cells=len(kept) == 2)
        calls.append(KernelCall("mg_lstm_float32", "mg_recurrent_params", fields, pointers))
        if state:
            calls.append(copy_call(final, Pointer(y, sequence.at_output(direction, sequence.steps)), hidden))
    return tuple(calls)


def _cells(node: Node, sequence: Sequence1D, direction: int) -> tuple[Pointer, Pointer]:
    """Where the cells lie before the first step, and behind the last: among those that are kept, or in scratch."""
    if len(node.outputs) < 3:
        (scratch,) = _scratch(node)
        return Pointer(scratch), Pointer(scratch)
    cells = node.outputs[2]
    return (
        Pointer(cells, sequence.at_cells(direction, -1)),
        Pointer(cells, sequence.at_cells(direction, sequence.steps - 1)),
    )


def _scratch(node: Node) -> tuple[Value, ...]:
    return (scratch_of(node, node.inputs[1].shape[1]),) if len(node.outputs) < 3 else ()


def _with_order() -> Iterator[tuple[RecurrentAttrs, Sequence1D]]:
    for index, (attrs, steps, hidden) in enumerate(CASES):
        order = ONNX_ORDER if index % 2 else PYTORCH_ORDER
        attrs = RecurrentAttrs(attrs.reverse, order, attrs.framed)
        yield attrs, Sequence1D(attrs, steps, hidden, GATES)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for attrs, sequence in _with_order():
        arrays = [draw(generator, sequence.z), draw(generator, sequence.weight, sequence.hidden**-0.5)]
        if attrs.framed:
            arrays.append(draw(generator, (2, sequence.kept[1])))
        yield Sample(tuple(arrays), attrs)


def _macs(node: Node) -> int:
    return node.inputs[0].type.size * node.inputs[1].shape[1]


LSTM = Operator(
    name="lstm",
    inputs=("z", "weight", "state?"),
    outputs=("y", "gates", "cells"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    inplace=((1, 0),),
    macs=_macs,
    cost=Cost(mac=2.8, output=56, input=64, optional=3.5),
    scratch=_scratch,
)


def _infer_gradient(attrs: RecurrentAttrs, types: Types) -> Types:
    dy, gates, cells, weight = types
    sequence = _of(attrs, gates, weight)
    require(dy.shape == sequence.y, f"the gradient has shape {dy.shape}, not {sequence.y}")
    require(cells.shape == sequence.kept, f"the cells have shape {cells.shape}, not {sequence.kept}")
    return gates, TensorType((1, sequence.kept[1]), dy.dtype)


def _evaluate_gradient(attrs: RecurrentAttrs, arrays: Arrays) -> Arrays:
    dy, gates, cells, weight = arrays
    sequence = Sequence1D.of(attrs, gates.shape, weight.shape, GATES)
    dz, carries = np.zeros_like(gates), []
    for direction in range(sequence.directions):
        units = slice(direction * sequence.hidden, (direction + 1) * sequence.hidden)
        own = weight[direction * GATES * sequence.hidden :][: GATES * sequence.hidden]
        kept = cells[:, units][:: -1 if attrs.reverse[direction] else 1]
        parts, found = sequence.in_steps(gates, direction), sequence.in_steps(dz, direction)
        carry = sequence.frame(dy, direction)[1] if attrs.framed else np.zeros(sequence.hidden, dy.dtype)
        for step in reversed(range(sequence.steps)):
            dh = sequence.outputs_in_steps(dy, direction)[step]
            if sequence.flows_back(step):
                dh = dh + found[step + 1].reshape(-1) @ own
            elif step + 1 < sequence.steps:
                carry = np.zeros_like(carry)
            i, f, g, o = (parts[step][part] for part in attrs.order)
            shown = np.tanh(kept[step + 1])
            dc = carry + dh * o * (1 - shown**2)
            each: Sequence[Array] = (
                dc * g * i * (1 - i), dc * kept[step] * f * (1 - f), dc * i * (1 - g**2), dh * shown * o * (1 - o),
            )  # fmt: skip
            found[step][list(attrs.order)] = each
            carry = dc * f
        carries.append(carry)
    return dz, np.concatenate(carries)[None]


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, gates, cells, weight = node.inputs
    assert isinstance(node.attrs, RecurrentAttrs)
    sequence = _of(node.attrs, gates, weight)
    hidden, last = sequence.hidden, sequence.steps - 1
    dz, *carries = node.outputs
    calls = [copy_call(gates, dz, dz.type.size)]
    for direction in range(sequence.directions):
        carry = Pointer(carries[0], direction * hidden) if carries else Pointer(_gradient_scratch(node)[0])
        if node.attrs.framed:
            calls.append(copy_call(Pointer(dy, sequence.at_output(direction, sequence.steps)), carry, hidden))
        else:
            calls.append(clear_call(carry, hidden))
        pointers = (
            Pointer(dy, sequence.at_output(direction, last)),
            Pointer(weight, sequence.at_weight(direction)),
            Pointer(cells, sequence.at_cells(direction, last)),
            Pointer(dz, sequence.at_gates(direction, last)),
            carry,
        )
        fields = sequence.fields(direction)
        calls.append(KernelCall("mg_lstm_gradient_float32", "mg_recurrent_params", fields, pointers))
    return tuple(calls)


def _gradient_scratch(node: Node) -> tuple[Value, ...]:
    return (scratch_of(node, node.inputs[3].shape[1]),) if len(node.outputs) < 2 else ()


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for index, (attrs, sequence) in enumerate(_with_order()):
        attrs = RecurrentAttrs(attrs.reverse, attrs.order, attrs.framed, truncate=index % 3)
        (sample, *_) = (each for number, each in enumerate(_samples()) if number == index)
        _, gates, cells = _evaluate(attrs, sample.inputs)
        yield Sample((draw(generator, sequence.y), gates, cells, sample.inputs[1]), attrs)


LSTM_GRADIENT = Operator(
    name="lstm_gradient",
    inputs=("dy", "gates", "cells", "weight"),
    outputs=("dz", "carry"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    inplace=((0, 1),),
    macs=lambda node: node.inputs[1].type.size * node.inputs[3].shape[1],
    cost=Cost(mac=2.7, output=30, input=10),
    scratch=_gradient_scratch,
)
