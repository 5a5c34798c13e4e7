"""rnn: a plain recurrent layer, h = tanh(z + W·h') or max(z + W·h', 0), with h' of the step before, over T steps.

z: (1, T, D·H), biases included; weight W: (D·H, H); state: (1, D·H), h before the first step, of a framed layer;
y: (1, T, D·H), with the frame's rows where it is framed (`ops/recurrent.py`). The backward pass keeps y alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Pointer, Sample, Types, require
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

TANH, RELU = (0,), (1,)
"""What the `order` of a plain layer says."""


def _infer(attrs: RecurrentAttrs, types: Types) -> Types:
    z, weight, *state = types
    sequence = Sequence1D.of(attrs, z.shape, weight.shape, 1)
    check_state(sequence, state, rows=1)
    return (TensorType(sequence.y, z.dtype),)


def _evaluate(attrs: RecurrentAttrs, arrays: Arrays) -> Arrays:
    z, weight, *state = arrays
    sequence = Sequence1D.of(attrs, z.shape, weight.shape, 1)
    y = np.zeros(sequence.y, z.dtype)
    for direction in range(sequence.directions):
        units = slice(direction * sequence.hidden, (direction + 1) * sequence.hidden)
        h = state[0][0, units] if state else np.zeros(sequence.hidden, z.dtype)
        if state:
            sequence.frame(y, direction)[0][:] = h
        outputs = sequence.outputs_in_steps(y, direction)
        for step in range(sequence.steps):
            raw = sequence.in_steps(z, direction)[step, 0] + weight[units] @ h
            h = np.maximum(raw, 0) if attrs.order == RELU else np.tanh(raw)
            outputs[step] = h
    return (y,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    _, weight, *state = node.inputs
    y, dy = node.outputs[0], gradients[0]
    assert dy is not None and isinstance(node.attrs, RecurrentAttrs)
    dz = backward.emit("rnn_gradient", dy, weight, y, attrs=node.attrs)
    dw = dstate = None
    if backward.needs(weight):
        dw = backward.emit("recurrent_weight_gradient", y, dz, attrs=RecurrentWeightAttrs(node.attrs, 1))
    if any(map(backward.needs, state)):
        attrs = RecurrentStateAttrs(node.attrs, 1)
        dstate = backward.emit("recurrent_state_gradient", dy, dz, weight, attrs=attrs)
    return (dz, dw, *(dstate for _ in state))


def _call(node: Node) -> tuple[KernelCall, ...]:
    z, weight, *state = node.inputs
    y = node.outputs[0]
    assert isinstance(node.attrs, RecurrentAttrs)
    sequence = Sequence1D.of(node.attrs, z.shape, weight.shape, 1)
    hidden, calls = sequence.hidden, []
    for direction in range(sequence.directions):
        if state:
            calls.append(clear_call(Pointer(y, sequence.at_output(direction, sequence.steps)), hidden))
            before = Pointer(y, sequence.at_output(direction, -1))
            calls.append(copy_call(Pointer(state[0], direction * hidden), before, hidden))
        pointers = (
            Pointer(z, sequence.at_gates(direction, 0)),
            Pointer(weight, sequence.at_weight(direction)),
            Pointer(y, sequence.at_output(direction, 0)),
        )
        calls.append(KernelCall("mg_rnn_float32", "mg_recurrent_params", sequence.fields(direction), pointers))
    return tuple(calls)


def _with_order() -> Iterator[tuple[RecurrentAttrs, Sequence1D]]:
    for index, (attrs, steps, hidden) in enumerate(CASES):
        attrs = RecurrentAttrs(attrs.reverse, RELU if index % 2 else TANH, attrs.framed)
        yield attrs, Sequence1D(attrs, steps, hidden, 1)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for attrs, sequence in _with_order():
        arrays = [draw(generator, sequence.z), draw(generator, sequence.weight, sequence.hidden**-0.5)]
        if attrs.framed:
            arrays.append(draw(generator, (1, sequence.kept[1])))
        yield Sample(tuple(arrays), attrs)


RNN = Operator(
    name="rnn",
    inputs=("z", "weight", "state?"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=lambda node: node.inputs[0].type.size * node.inputs[1].shape[1],
    cost=Cost(mac=7.6, output=60),
)


def _infer_gradient(attrs: RecurrentAttrs, types: Types) -> Types:
    dy, weight, y = types
    steps = y.shape[1] - 2 * attrs.framed
    sequence = Sequence1D.of(attrs, (1, steps, y.shape[2]), weight.shape, 1)
    require(dy == y and y.shape == sequence.y, f"the gradient has shape {dy.shape}, not {sequence.y}")
    return (TensorType(sequence.z, dy.dtype),)


def _evaluate_gradient(attrs: RecurrentAttrs, arrays: Arrays) -> Arrays:
    dy, weight, y = arrays
    sequence = Sequence1D(attrs, y.shape[1] - 2 * attrs.framed, weight.shape[1], 1)
    dz = np.zeros(sequence.z, dy.dtype)
    for direction in range(sequence.directions):
        own = weight[direction * sequence.hidden :][: sequence.hidden]
        found = sequence.in_steps(dz, direction)[:, 0]
        for step in reversed(range(sequence.steps)):
            dh = sequence.outputs_in_steps(dy, direction)[step]
            if sequence.flows_back(step):
                dh = dh + found[step + 1] @ own
            h = sequence.outputs_in_steps(y, direction)[step]
            found[step] = dh * (h > 0) if attrs.order == RELU else dh * (1 - h**2)
    return (dz,)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, weight, y = node.inputs
    dz = node.outputs[0]
    assert isinstance(node.attrs, RecurrentAttrs)
    sequence = Sequence1D.of(node.attrs, dz.shape, weight.shape, 1)
    calls, last = [], sequence.steps - 1
    for direction in range(sequence.directions):
        pointers = (
            Pointer(dy, sequence.at_output(direction, last)),
            Pointer(weight, sequence.at_weight(direction)),
            Pointer(y, sequence.at_output(direction, last)),
            Pointer(dz, sequence.at_gates(direction, last)),
        )
        fields = sequence.fields(direction)
        calls.append(KernelCall("mg_rnn_gradient_float32", "mg_recurrent_params", fields, pointers))
    return tuple(calls)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for index, ((attrs, sequence), sample) in enumerate(zip(_with_order(), _samples(), strict=True)):
        (y,) = _evaluate(attrs, sample.inputs)
        attrs = RecurrentAttrs(attrs.reverse, attrs.order, attrs.framed, truncate=index % 3)
        yield Sample((draw(generator, sequence.y), sample.inputs[1], y), attrs)


RNN_GRADIENT = Operator(
    name="rnn_gradient",
    inputs=("dy", "weight", "y"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    inplace=((0, 0),),
    macs=lambda node: node.outputs[0].type.size * node.inputs[1].shape[1],
    cost=Cost(mac=2.4, output=20),
)
