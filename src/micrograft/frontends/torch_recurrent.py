"""Handlers of ATen's recurrent layers: several layers, one or two directions, states in and out."""

from __future__ import annotations

from collections.abc import Sequence

from micrograft.frontends import layers, recurrent
from micrograft.frontends.network import Tensor
from micrograft.frontends.recurrent import STATES, Weights
from micrograft.frontends.torch_operators import Call, handles
from micrograft.ops import gru, lstm, rnn
from micrograft.ops.recurrent import RecurrentAttrs


@handles("lstm")
def _lstm(call: Call) -> tuple[Tensor | None, ...]:
    return _stack(call, "lstm", lstm.PYTORCH_ORDER)


@handles("gru")
def _gru(call: Call) -> tuple[Tensor | None, ...]:
    return _stack(call, "gru", gru.PYTORCH_ORDER)


@handles("rnn_tanh")
def _rnn_tanh(call: Call) -> tuple[Tensor | None, ...]:
    return _stack(call, "rnn", rnn.TANH)


@handles("rnn_relu")
def _rnn_relu(call: Call) -> tuple[Tensor | None, ...]:
    return _stack(call, "rnn", rnn.RELU)


@handles("lstm_cell")
def _lstm_cell(call: Call) -> tuple[Tensor | None, ...]:
    return _cell(call, "lstm", lstm.PYTORCH_ORDER, call.get("hx"))


@handles("gru_cell")
def _gru_cell(call: Call) -> Tensor:
    return _hidden(_cell(call, "gru", gru.PYTORCH_ORDER, [call.tensor("hx")]))


@handles("rnn_tanh_cell")
def _rnn_tanh_cell(call: Call) -> Tensor:
    return _hidden(_cell(call, "rnn", rnn.TANH, [call.tensor("hx")]))


@handles("rnn_relu_cell")
def _rnn_relu_cell(call: Call) -> Tensor:
    return _hidden(_cell(call, "rnn", rnn.RELU, [call.tensor("hx")]))


def _hidden(states: tuple[Tensor | None, ...]) -> Tensor:
    (hidden,) = states
    assert hidden is not None, "it is wanted"
    return hidden


def _cell(call: Call, kind: str, order: tuple[int, ...], states: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """The states behind one step: a layer over a sequence of length one."""
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    weights = Weights(call.tensor(names[0]), call.tensor(names[1]), *map(call.optional, names[2:]))
    x = call.network.reshape(call.x, (1, 1, call.x.shape[-1]), origin=call.origin)
    attrs, wants = RecurrentAttrs((False,), order), [True] * STATES[kind]
    return recurrent.layer(call.network, kind, x, weights, attrs, states, wants=wants, origin=call.origin).last


def _stack(call: Call, kind: str, order: tuple[int, ...]) -> tuple[Tensor | None, ...]:
    """(y, last outputs, last cells): y as the module gives it, the others (L·D, 1, H) or None if nobody reads them."""
    network, origin = call.network, call.origin
    if call.get("train", False) and float(call.get("dropout", 0)) > 0:
        raise call.refused("it is in training mode with dropout", "export the model after model.eval()")
    batch_first, has_biases = bool(call.get("batch_first", False)), bool(call.get("has_biases", True))
    x = call.x if batch_first else network.transpose(call.x, (1, 0, 2), origin=origin)
    given = call.get("hx")
    states: Sequence[Tensor] = given if isinstance(given, (list, tuple)) else [given]
    parts, per_direction = call.get("params"), 4 if has_biases else 2
    directions = 2 if call.get("bidirectional", False) else 1
    count = int(call.get("num_layers", 1))
    if len(parts) != count * directions * per_direction:
        raise call.refused("a recurrent layer with a projection is not supported", "use proj_size=0")
    wants = [1 + state in call.used for state in range(STATES[kind])]
    last: list[list[Tensor]] = [[] for _ in wants]
    for first in range(0, count * directions, directions):
        outputs: list[Tensor] = []
        for number in range(first, first + directions):
            attrs = RecurrentAttrs((number > first,), order)
            weights = Weights(*parts[number * per_direction : (number + 1) * per_direction])
            own = [recurrent.rows_of(network, state, number, 1, origin=origin) for state in states]
            results = recurrent.layer(network, kind, x, weights, attrs, own, wants=wants, origin=origin)
            outputs.append(results.y)
            for rows, row in zip(last, results.last, strict=True):
                if row is not None:
                    rows.append(network.reshape(row, (1, 1, row.shape[1]), origin=origin))
        x = outputs[0] if directions == 1 else layers.concat(network, outputs, 2, origin=origin)
    y = x if batch_first else network.transpose(x, (1, 0, 2), origin=origin)
    return y, *(_joined(call, rows) for rows in last)


def _joined(call: Call, rows: Sequence[Tensor]) -> Tensor | None:
    if not rows:
        return None
    return rows[0] if len(rows) == 1 else layers.concat(call.network, rows, 0, origin=call.origin)
