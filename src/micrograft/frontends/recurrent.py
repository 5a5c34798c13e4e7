"""Recurrent layers as PyTorch and ONNX share them: a linear layer for all steps at once, and the recurrence behind.

LoRA and IA³ adapt the linear layer, whose weight is the input's; the recurrent weight is trained whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from micrograft.frontends import layers
from micrograft.frontends.network import Constant, Network, Tensor
from micrograft.ir.types import Value
from micrograft.ops.concat import ConcatAttrs, SliceAttrs
from micrograft.ops.recurrent import RecurrentAttrs

STATES = {"lstm": 2, "gru": 1, "rnn": 1}
"""Kind of layer to how many states it takes: the outputs before the first step, and an LSTM's cells."""


@dataclass(frozen=True)
class Weights:
    """One layer's, for all its directions. input: (D·G·H, C); recurrent: (D·G·H, H); biases: (D·G·H,) of each."""

    input: Tensor
    recurrent: Tensor
    bias: Tensor | None = None
    recurrent_bias: Tensor | None = None


@dataclass(frozen=True)
class Results:
    """What one layer gives. y: (1, T, D·H). last: per state (1, D·H), what stands behind the last step, or None."""

    y: Tensor
    last: tuple[Tensor | None, ...]


def layer(
    network: Network,
    kind: str,
    x: Tensor,
    weights: Weights,
    attrs: RecurrentAttrs,
    states: Sequence[Tensor | None],
    *,
    wants: Sequence[bool],
    origin: str,
) -> Results:
    """One recurrent layer. x: (1, T, C); states: (1, D·H) each, None for zeros; wants: which last ones are read."""
    source = network.source(weights.input)
    z: Tensor = layers.linear(
        network, x, weights.input, weights.bias, origin=layers.layer_of(origin, source) if source else origin
    )
    weight: Tensor = network.value(weights.recurrent, trains=True)
    directions = len(attrs.reverse)
    units = weight.shape[1] * directions
    inputs = [z, weight]
    bias = weights.recurrent_bias
    if kind == "gru":
        bias = bias or Constant(np.zeros(weight.shape[0], np.float32), f"{origin}.bias")
        inputs.append(network.value(bias, trains=True))
    elif bias is not None:
        inputs[0] = network.add("add_bias", (z, network.value(bias, trains=True)), origin=origin)
    given = [each for each in states if each is not None]
    attrs = replace(attrs, framed=bool(given) or (kind == "lstm" and wants[1]))
    if attrs.framed:
        zeros = Constant(np.zeros((1, units), np.float32), f"{origin}.no_state")
        rows = [zeros if each is None else each for each in states]
        inputs.append(network.add("concat", rows, ConcatAttrs(0), origin=origin) if len(rows) > 1 else rows[0])
    y = network.add(kind, inputs, attrs, origin=origin)
    last: list[Tensor | None] = [None] * STATES[kind]
    steps = x.shape[1]
    if wants[0]:
        last[0] = _behind(network, y, attrs, steps - 1, origin)
    if kind == "lstm" and wants[1]:
        last[1] = _behind(network, y, attrs, steps, origin)
    if attrs.framed:
        y = network.add("slice", (y,), SliceAttrs(1, 1, steps + 1), origin=origin)
    return Results(y, tuple(last))


def _behind(network: Network, y: Value, attrs: RecurrentAttrs, step: int, origin: str) -> Tensor:
    """(1, D·H): of each direction its own units at a step of its own, counted from the front or from the end."""
    directions = len(attrs.reverse)
    hidden = y.shape[2] // directions
    rows = y.shape[1]
    found: list[Tensor] = []
    for direction, reverse in enumerate(attrs.reverse):
        place = step + int(attrs.framed)
        place = rows - 1 - place if reverse else place
        row = network.add("slice", (y,), SliceAttrs(1, place, place + 1), origin=origin)
        if directions > 1:
            units = SliceAttrs(2, direction * hidden, (direction + 1) * hidden)
            row = network.add("slice", (row,), units, origin=origin)
        found.append(network.reshape(row, (1, hidden), origin=origin))
    return found[0] if directions == 1 else layers.concat(network, found, 1, origin=origin)


def rows_of(network: Network, x: Tensor | None, start: int, count: int, *, origin: str) -> Tensor | None:
    """(count, H): rows of a state (L·D, 1, H); None where all of it is zero, which is what no state means."""
    if x is None or (isinstance(x, Constant) and not np.any(x.data)):
        return None
    rows = network.reshape(x, (x.shape[0], x.shape[2]), origin=origin)
    if (start, count) == (0, x.shape[0]):
        return rows
    return network.add("slice", (rows,), SliceAttrs(0, start, start + count), origin=origin)
