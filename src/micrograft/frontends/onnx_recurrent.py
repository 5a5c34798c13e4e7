"""Handlers of ONNX's recurrent layers: one or two directions, states in and out, either layout."""

from __future__ import annotations

from dataclasses import replace

from micrograft.frontends import layers, recurrent, unrolled
from micrograft.frontends.network import Tensor
from micrograft.frontends.onnx_cells import activations, cells, is_usual
from micrograft.frontends.onnx_operators import Call, handles
from micrograft.frontends.rearrange import part
from micrograft.frontends.recurrent import STATES, Weights
from micrograft.ops import gru, lstm, rnn
from micrograft.ops.concat import SliceAttrs
from micrograft.ops.recurrent import RecurrentAttrs

_REVERSE = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@handles("LSTM")
def _lstm(call: Call) -> tuple[Tensor | None, ...]:
    return _layer(call, "lstm", lstm.ONNX_ORDER)


@handles("GRU")
def _gru(call: Call) -> tuple[Tensor | None, ...]:
    return _layer(call, "gru", gru.ONNX_ORDER)


@handles("RNN")
def _rnn(call: Call) -> tuple[Tensor | None, ...]:
    return _layer(call, "rnn", rnn.RELU if "relu" in activations(call, "rnn", 1) else rnn.TANH)


def _check_lengths(call: Call) -> None:
    """Refuse sequences that end early."""
    steps = call.x.shape[1 if call.integer("layout", 0) else 0]
    lengths = call.constant(4)
    if lengths is not None and any(int(each) != steps for each in lengths.reshape(-1)):
        raise call.refused("a sequence that ends before its last step is not supported")


def _layer(call: Call, kind: str, order: tuple[int, ...]) -> tuple[Tensor | None, ...]:
    """(Y, Y_h, Y_c): (T, D, 1, H), (D, 1, H), or batch first in the other layout; None where nobody reads one."""
    network, origin = call.network, call.origin
    reverse = _REVERSE[call.text("direction", "forward")]
    directions = len(reverse)
    _check_lengths(call)
    batch_first = bool(call.integer("layout", 0))
    x = call.x if batch_first else network.transpose(call.x, (1, 0, 2), origin=origin)
    if x.shape[0] != 1:
        return _one_by_one(call, kind, order)
    states = [
        recurrent.rows_of(network, _layer_first(call, index, batch_first), 0, directions, origin=origin)
        for index in range(5, 5 + STATES[kind])
    ]
    hidden = call.tensor(2).shape[2]
    weights = _weights(call, directions)
    if is_usual(call, kind, directions):
        own = [each and network.reshape(each, (1, directions * hidden), origin=origin) for each in states]
        wants = [1 + state in call.used for state in range(STATES[kind])]
        attrs = RecurrentAttrs(reverse, order)
        found = recurrent.layer(network, kind, x, weights, attrs, own, wants=wants, origin=origin)
    else:
        every = cells(call, kind, directions)
        found = unrolled.layer(network, every, x, weights, call.optional(7), reverse, states, origin=origin)
    y = network.reshape(found.y, (x.shape[1], directions, 1, hidden), origin=origin)
    if batch_first:
        y = network.reshape(found.y, (1, x.shape[1], directions, hidden), origin=origin)
    last = (1, directions, hidden) if batch_first else (directions, 1, hidden)
    return y, *(each and network.reshape(each, last, origin=origin) for each in found.last)


def _one_by_one(call: Call, kind: str, order: tuple[int, ...]) -> tuple[Tensor | None, ...]:
    """The layer of each sample of a batch, with the same weights, and their results put together."""
    batch_first = bool(call.integer("layout", 0))
    at, behind = (0, 0) if batch_first else (1, 2)  # the batch's axis in x and the states, and in Y
    found = []
    for sample in range(call.x.shape[at]):
        inputs = list(call.inputs)
        for index in (0, 5, 6):
            each = call.optional(index)
            if each is not None:
                inputs[index] = part(call.network, each, at, sample, sample + 1, origin=call.origin)
        if len(inputs) > 4:
            inputs[4] = None  # the lengths are checked, and those of all samples
        found.append(_layer(replace(call, inputs=tuple(inputs)), kind, order))
    joined: list[Tensor | None] = []
    for axis, parts in zip((behind, at, at), zip(*found, strict=True), strict=False):
        whole = [each for each in parts if each is not None]
        joined.append(layers.concat(call.network, whole, axis, origin=call.origin) if whole else None)
    return tuple(joined)


def _layer_first(call: Call, index: int, batch_first: bool) -> Tensor | None:
    """A state as (D, 1, H)."""
    state = call.optional(index)
    if state is None or not batch_first:
        return state
    return call.network.transpose(state, (1, 0, 2), origin=call.origin)


def _weights(call: Call, directions: int) -> Weights:
    """W: (D, G·H, C); R: (D, G·H, H); B: (D, 2·G·H), the input's bias and the recurrent one of each direction."""
    network, origin = call.network, call.origin
    both = []
    for index in (1, 2):
        weight = network.value(call.tensor(index), trains=True)
        both.append(network.reshape(weight, (directions * weight.shape[1], weight.shape[2]), origin=origin))
    if call.optional(3) is None:
        return Weights(*both)
    bias = network.value(call.tensor(3), trains=True)
    rows = bias.shape[1] // 2
    split = network.reshape(bias, (directions, 2, rows), origin=origin)
    halves = [
        network.reshape(
            network.add("slice", (split,), SliceAttrs(1, half, half + 1), origin=origin),
            (directions * rows,), origin=origin,
        )
        for half in (0, 1)
    ]  # fmt: skip
    return Weights(*both, *halves)
