"""gru: a gated recurrent layer whose reset gate acts behind the matrix product, as in PyTorch, over T steps.

r, u = σ(z + W·h' + b);  n = tanh(z + r·(W·h' + b));  h = (1 − u)·n + u·h', with h' of the step before.
z: (1, T, D·3H), the input's biases included; weight W: (D·3H, H); bias b: (D·3H,); state: (1, D·H), h before the
first step, of a framed layer; y: (1, T, D·H), with the frame's rows where it is framed (`ops/recurrent.py`).
The backward pass keeps 4·H floats per step and direction: the three gates, in the place of z, and the products
W·h' + b of the candidate.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    products_in_steps,
)
from micrograft.ops.sigmoid import logistic

GATES = 3
PYTORCH_ORDER, ONNX_ORDER = (0, 1), (1, 0)
"""Where the reset and the update gate stand; the candidate is the last in both."""


def _of(attrs: RecurrentAttrs, z: TensorType | Value, weight: TensorType | Value) -> Sequence1D:
    require(sorted(attrs.order) == [0, 1], f"{attrs.order} is no order of two gates")
    return Sequence1D.of(attrs, z.shape, weight.shape, GATES)


def _infer(attrs: RecurrentAttrs, types: Types) -> Types:
    z, weight, bias, *state = types
    sequence = _of(attrs, z, weight)
    require(bias.shape == weight.shape[:1], "the bias does not match the recurrent weight")
    check_state(sequence, state, rows=1)
    return TensorType(sequence.y, z.dtype), z, TensorType(sequence.kept, z.dtype)


def _evaluate(attrs: RecurrentAttrs, arrays: Arrays) -> Arrays:
    z, weight, bias, *state = arrays
    sequence = Sequence1D.of(attrs, z.shape, weight.shape, GATES)
    y, gates, products = np.zeros(sequence.y, z.dtype), np.zeros_like(z), np.zeros(sequence.kept, z.dtype)
    rows = GATES * sequence.hidden
    for direction in range(sequence.directions):
        units = slice(direction * sequence.hidden, (direction + 1) * sequence.hidden)
        own, shift = weight[direction * rows :][:rows], bias[direction * rows :][:rows]
        h = state[0][0, units] if state else np.zeros(sequence.hidden, z.dtype)
        if state:
            sequence.frame(y, direction)[0][:] = h
        parts, values = sequence.in_steps(z, direction), sequence.in_steps(gates, direction)
        outputs = sequence.outputs_in_steps(y, direction)
        for step in range(sequence.steps):
            sent = (own @ h + shift).reshape(GATES, -1)
            r, u = (logistic(parts[step][part] + sent[part]) for part in attrs.order)
            n = np.tanh(parts[step][2] + r * sent[2])
            h = n + u * (h - n)
            outputs[step], products_in_steps(sequence, products, direction)[step] = h, sent[2]
            values[step][[*attrs.order, 2]] = r, u, n
    return y, gates, products


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    _, weight, bias, *state = node.inputs
    y, dy = node.outputs[0], gradients[0]
    assert dy is not None and isinstance(node.attrs, RecurrentAttrs)
    gates, products = backward.keep(node, "gates"), backward.keep(node, "products")
    dz, dproducts = backward.emit_all("gru_gradient", dy, gates, products, weight, y, attrs=node.attrs, outputs=2)
    dw = db = dstate = None
    attrs = RecurrentWeightAttrs(node.attrs, GATES)
    if backward.needs(weight):
        dw = backward.emit("recurrent_weight_gradient", y, dz, dproducts, attrs=attrs)
    if backward.needs(bias):
        db = backward.emit("gru_bias_gradient", dz, dproducts, attrs=node.attrs)
    if any(map(backward.needs, state)):
        state_attrs = RecurrentStateAttrs(node.attrs, GATES)
        dstate = backward.emit("recurrent_state_gradient", dy, dz, weight, dproducts, attrs=state_attrs)
    return (dz, dw, db, *(dstate for _ in state))


def _call(node: Node) -> tuple[KernelCall, ...]:
    z, weight, bias, *state = node.inputs
    y, *kept = node.outputs
    assert isinstance(node.attrs, RecurrentAttrs)
    sequence = _of(node.attrs, z, weight)
    hidden = sequence.hidden
    calls = [copy_call(z, kept[0], z.type.size)] if kept else []
    for direction in range(sequence.directions):
        if state:
            calls.append(clear_call(Pointer(y, sequence.at_output(direction, sequence.steps)), hidden))
            before = Pointer(y, sequence.at_output(direction, -1))
            calls.append(copy_call(Pointer(state[0], direction * hidden), before, hidden))
        own = Pointer(weight, sequence.at_weight(direction)), Pointer(bias, direction * GATES * hidden)
        outputs = Pointer(y, sequence.at_output(direction, 0))
        fields, at = sequence.fields(direction), sequence.at_gates(direction, 0)
        if not kept:
            pointers = (Pointer(z, at), *own, outputs)
            calls.append(KernelCall("mg_gru_float32", "mg_recurrent_params", fields, pointers))
            continue
        products = Pointer(kept[1], sequence.at_products(direction, 0)) if len(kept) > 1 else None
        keeping = (Pointer(kept[0], at), *own, outputs, products)
        calls.append(KernelCall("mg_gru_keep_float32", "mg_recurrent_params", fields, keeping))
        if products:
            behind = Pointer(kept[1], sequence.at_products(direction, sequence.steps))
            calls.append(clear_call(behind, hidden))
    return tuple(calls)


def _with_order() -> Iterator[tuple[RecurrentAttrs, Sequence1D]]:
    for index, (attrs, steps, hidden) in enumerate(CASES):
        order = ONNX_ORDER if index % 2 else PYTORCH_ORDER
        attrs = RecurrentAttrs(attrs.reverse, order, attrs.framed)
        yield attrs, Sequence1D(attrs, steps, hidden, GATES)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for attrs, sequence in _with_order():
        arrays = [draw(generator, sequence.z), draw(generator, sequence.weight, sequence.hidden**-0.5)]
        arrays.append(draw(generator, sequence.weight[:1]))
        if attrs.framed:
            arrays.append(draw(generator, (1, sequence.kept[1])))
        yield Sample(tuple(arrays), attrs)


GRU = Operator(
    name="gru",
    inputs=("z", "weight", "bias", "state?"),
    outputs=("y", "gates", "products"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    inplace=((1, 0),),
    macs=lambda node: node.inputs[0].type.size * node.inputs[1].shape[1],
    cost=Cost(mac=7.9, output=30, optional=6),
)


def _infer_gradient(attrs: RecurrentAttrs, types: Types) -> Types:
    dy, gates, products, weight, y = types
    sequence = _of(attrs, gates, weight)
    require(dy == y and dy.shape == sequence.y, f"the gradient has shape {dy.shape}, not {sequence.y}")
    require(products.shape == sequence.kept, f"the products have shape {products.shape}, not {sequence.kept}")
    return gates, products


def _evaluate_gradient(attrs: RecurrentAttrs, arrays: Arrays) -> Arrays:
    dy, gates, products, weight, y = arrays
    sequence = Sequence1D.of(attrs, gates.shape, weight.shape, GATES)
    dz, dproducts = np.zeros_like(gates), np.zeros_like(products)
    rows = GATES * sequence.hidden
    for direction in range(sequence.directions):
        own = weight[direction * rows :][:rows]
        parts, found = sequence.in_steps(gates, direction), sequence.in_steps(dz, direction)
        seen, sent = (products_in_steps(sequence, each, direction) for each in (products, dproducts))
        carry = np.zeros(sequence.hidden, dy.dtype)
        for step in reversed(range(sequence.steps)):
            dh = sequence.outputs_in_steps(dy, direction)[step]
            if sequence.flows_back(step):
                behind = np.concatenate([found[step + 1][:2].reshape(-1), sent[step + 1]])
                dh = dh + carry + behind @ own
            (r, u), n = (parts[step][part] for part in attrs.order), parts[step][2]
            dn = dh * (1 - u) * (1 - n**2)
            du = dh * (sequence.outputs_in_steps(y, direction)[step] - n) * (1 - u)
            found[step][[*attrs.order, 2]] = dn * seen[step] * r * (1 - r), du, dn
            sent[step] = dn * r
            carry = dh * u
        dproducts[_behind(sequence, direction)] = carry
    return dz, dproducts


def _behind(sequence: Sequence1D, direction: int) -> tuple[int, slice]:
    """The row of the products behind a direction's last step."""
    units = slice(direction * sequence.hidden, (direction + 1) * sequence.hidden)
    return (0 if sequence.attrs.reverse[direction] else sequence.steps), units


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, gates, products, weight, y = node.inputs
    assert isinstance(node.attrs, RecurrentAttrs)
    sequence = _of(node.attrs, gates, weight)
    last = sequence.steps - 1
    dz, *others = node.outputs
    dproducts = others[0] if others else _gradient_scratch(node)[0]
    calls = [copy_call(gates, dz, dz.type.size), copy_call(products, dproducts, products.type.size)]
    for direction in range(sequence.directions):
        pointers = (
            Pointer(dy, sequence.at_output(direction, last)),
            Pointer(weight, sequence.at_weight(direction)),
            Pointer(y, sequence.at_output(direction, last)),
            Pointer(dz, sequence.at_gates(direction, last)),
            Pointer(dproducts, sequence.at_products(direction, last)),
        )
        fields = sequence.fields(direction)
        calls.append(KernelCall("mg_gru_gradient_float32", "mg_recurrent_params", fields, pointers))
    return tuple(calls)


def _gradient_scratch(node: Node) -> tuple[Value, ...]:
    return (scratch_of(node, node.inputs[2].type.size),) if len(node.outputs) < 2 else ()


def _gradient_cases() -> Iterator[tuple[RecurrentAttrs, tuple[Array, ...]]]:
    generator = np.random.default_rng(2)
    for index, ((attrs, sequence), sample) in enumerate(zip(_with_order(), _samples(), strict=True)):
        y, gates, products = _evaluate(attrs, sample.inputs)
        attrs = RecurrentAttrs(attrs.reverse, attrs.order, attrs.framed, truncate=index % 3)
        yield attrs, (draw(generator, sequence.y), gates, products, sample.inputs[1], y)


def _gradient_samples() -> Iterator[Sample]:
    for attrs, arrays in _gradient_cases():
        yield Sample(arrays, attrs)


GRU_GRADIENT = Operator(
    name="gru_gradient",
    inputs=("dy", "gates", "products", "weight", "y"),
    outputs=("dz", "dproducts"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    inplace=((0, 1), (1, 2)),
    macs=lambda node: node.inputs[1].type.size * node.inputs[3].shape[1],
    cost=Cost(mac=2.7, output=25, input=10),
    scratch=_gradient_scratch,
)


def _infer_bias(attrs: RecurrentAttrs, types: Types) -> Types:
    dz, dproducts = types
    hidden = dproducts.shape[-1] // len(attrs.reverse)
    rows = len(attrs.reverse) * GATES * hidden
    sequence = Sequence1D.of(attrs, dz.shape, (rows, hidden), GATES)
    require(dproducts.shape == sequence.kept, f"the products have shape {dproducts.shape}, not {sequence.kept}")
    return (TensorType((rows,), dz.dtype),)


def _evaluate_bias(attrs: RecurrentAttrs, arrays: Arrays) -> Arrays:
    dz, dproducts = arrays
    hidden = dproducts.shape[-1] // len(attrs.reverse)
    sequence = Sequence1D(attrs, dz.shape[1], hidden, GATES)
    found = []
    for direction in range(sequence.directions):
        sums = sequence.in_steps(dz, direction).sum(axis=0)
        sums[2] = products_in_steps(sequence, dproducts, direction).sum(axis=0)
        found.append(sums.reshape(-1))
    return (np.concatenate(found),)


def _bias_call(node: Node) -> tuple[KernelCall, ...]:
    dz, dproducts = node.inputs
    assert isinstance(node.attrs, RecurrentAttrs)
    hidden = dproducts.shape[-1] // len(node.attrs.reverse)
    sequence = Sequence1D(node.attrs, dz.shape[1], hidden, GATES)
    calls = []
    for direction in range(sequence.directions):
        to = direction * GATES * hidden
        for source, offset, parts, at in (
            (dz, sequence.at_gates(direction, 0), 2, to),
            (dproducts, sequence.at_products(direction, 0), 1, to + 2 * hidden),
        ):
            step = -source.shape[-1] if node.attrs.reverse[direction] else source.shape[-1]
            fields = (
                ("rows", sequence.steps),
                ("inputs", 0),
                ("outputs", parts * hidden),
                ("x_step", 0),
                ("dy_step", step),
            )
            pointers = (Pointer(source, offset), Pointer(node.outputs[0], at))
            calls.append(KernelCall("mg_rows_bias_gradient_float32", "mg_rows_params", fields, pointers))
    return tuple(calls)


def _bias_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for attrs, sequence in _with_order():
        yield Sample((draw(generator, sequence.z), draw(generator, sequence.kept)), attrs)


GRU_BIAS_GRADIENT = Operator(
    name="gru_bias_gradient",
    inputs=("dz", "dproducts"),
    infer=_infer_bias,
    evaluate=_evaluate_bias,
    samples=_bias_samples,
    kernels={DType.FLOAT32: _bias_call},
    cost=Cost(output=15, input=5),
)
