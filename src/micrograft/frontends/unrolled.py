"""Recurrent layers step by step, for what our operators over whole sequences do not know: other activations, clipping,
peepholes, coupled gates, a reset gate that acts before the matrix product.

The input's part of all gates is one linear layer, as in `recurrent`; each step is a handful of ordinary nodes. A reset
gate's layer multiplies by the whole recurrent weight twice and takes the gates that it wants, so that no part of a
weight is ever copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from micrograft.frontends import layers, rearrange
from micrograft.frontends.network import Constant, Network, Tensor
from micrograft.frontends.recurrent import Results, Weights
from micrograft.ops.carry import CarryAttrs

Activation = Callable[[Network, Tensor, str], Tensor]
"""A function of one element: network, x, origin."""


@dataclass(frozen=True)
class Cell:
    """What happens in one step, in ONNX's order of gates.

    activations: of gates, candidate and, in an LSTM, the output. clip: of what goes into an activation, 0 for none.
    coupled: an LSTM's forget gate is one less its input gate. reset_first: a GRU's reset gate acts on the state.
    """

    kind: str
    activations: tuple[Activation, ...]
    clip: float = 0.0
    coupled: bool = False
    reset_first: bool = False


@dataclass(frozen=True)
class _Direction:
    """The tensors of one direction: recurrent weight (G·H, H) and bias (G·H,) or None; peepholes (3, H) or None."""

    cell: Cell
    weight: Tensor
    bias: Tensor | None
    peepholes: Tensor | None
    hidden: int
    network: Network
    origin: str

    def step(self, row: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The states behind one step. row: (1, G·H), the input's part of the gates."""
        return {"lstm": self._lstm, "gru": self._gru, "rnn": self._rnn}[self.cell.kind](row, states)

    def _rnn(self, row: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (self._activated(self._sum(row, self._products(states[0])), 0),)

    def _gru(self, row: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """h = n + u·(h' − n); the gates stand as update, reset, candidate."""
        (before,) = states
        products = self._products(before)
        update, reset = (
            self._activated(self._sum(self._gate(row, gate), self._gate(products, gate)), 0) for gate in (0, 1)
        )
        if self.cell.reset_first:
            inner = self._gate(self._products(self._times(reset, before)), 2)
        else:
            inner = self._times(reset, self._gate(products, 2))
        candidate = self._activated(self._sum(self._gate(row, 2), inner), 1)
        change = self.network.add("sub", (before, candidate), origin=self.origin)
        return (self._sum(candidate, self._times(update, change)),)

    def _lstm(self, row: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The gates stand as input, output, forget, cell; the peepholes as input, output, forget."""
        before, cells = states
        raw = self._sum(row, self._products(before))
        gates = [self._gate(raw, gate) for gate in range(4)]
        taken = self._activated(self._peeped(gates[0], 0, cells), 0)
        if self.cell.coupled:
            one = Constant(np.ones((1, self.hidden), np.float32), f"{self.origin}.one")
            kept: Tensor = self.network.add("sub", (one, taken), origin=self.origin)
        else:
            kept = self._activated(self._peeped(gates[2], 2, cells), 0)
        candidate = self._activated(gates[3], 1)
        cells = self._sum(self._times(kept, cells), self._times(taken, candidate))
        shown = self._activated(self._peeped(gates[1], 1, cells), 0)
        return self._times(shown, self._function(cells, 2)), cells

    def _products(self, before: Tensor) -> Tensor:
        """(1, G·H): the recurrent weight times the outputs before, plus its bias."""
        return layers.linear(self.network, before, self.weight, self.bias, origin=f"{self.origin}.recurrent")

    def _peeped(self, gate: Tensor, place: int, cells: Tensor) -> Tensor:
        if self.peepholes is None:
            return gate
        own = rearrange.part(self.network, self.peepholes, 0, place, place + 1, origin=self.origin)
        return self._sum(gate, self._times(own, cells))

    def _gate(self, gates: Tensor, place: int) -> Tensor:
        start = place * self.hidden
        return rearrange.part(self.network, gates, 1, start, start + self.hidden, origin=self.origin)

    def _activated(self, x: Tensor, which: int) -> Tensor:
        if self.cell.clip:
            x = layers.clip(self.network, x, -self.cell.clip, self.cell.clip, origin=self.origin)
        return self._function(x, which)

    def _function(self, x: Tensor, which: int) -> Tensor:
        return self.cell.activations[which](self.network, x, f"{self.origin}.activation_{which}")

    def _sum(self, a: Tensor, b: Tensor) -> Tensor:
        return self.network.add("add", (a, b), origin=self.origin)

    def _times(self, a: Tensor, b: Tensor) -> Tensor:
        return self.network.add("mul", (a, b), origin=self.origin)


def layer(
    network: Network,
    cells: Sequence[Cell],
    x: Tensor,
    weights: Weights,
    peepholes: Tensor | None,
    reverse: Sequence[bool],
    states: Sequence[Tensor | None],
    *,
    origin: str,
) -> Results:
    """One layer, of which all last states are given, (D, H) each.

    cells: of each direction. x: (1, T, C). states: (D, H) each, None for zeros. peepholes: (D, 3·H), or None.
    """
    steps, hidden, directions = x.shape[1], weights.recurrent.shape[1], len(reverse)
    rows = weights.recurrent.shape[0] // directions
    z = layers.linear(network, x, weights.input, weights.bias, origin=origin)

    def own(tensor: Tensor | None, axis: int, size: int, direction: int) -> Tensor | None:
        """The part of a direction."""
        if tensor is None:
            return None
        trained = network.value(tensor, trains=True)
        return rearrange.part(network, trained, axis, direction * size, (direction + 1) * size, origin=origin)

    outputs: list[Tensor] = []
    lasts: list[list[Tensor]] = [[] for _ in states]
    zeros = Constant(np.zeros((1, hidden), np.float32), f"{origin}.no_state")
    for number, (cell, backwards) in enumerate(zip(cells, reverse, strict=True)):
        weight, bias = own(weights.recurrent, 0, rows, number), own(weights.recurrent_bias, 0, rows, number)
        seen = own(peepholes, 0, 1, number)
        seen = None if seen is None else network.reshape(seen, (3, hidden), origin=origin)
        assert weight is not None
        name = origin if directions == 1 else f"{origin}.{number}"
        direction = _Direction(cell, weight, bias, seen, hidden, network, name)
        gates = own(z, 2, rows, number)
        assert gates is not None
        present: tuple[Tensor, ...] = tuple(own(each, 0, 1, number) or zeros for each in states)
        found: list[Tensor] = []
        for count in range(steps):
            place = steps - 1 - count if backwards else count
            row = rearrange.select(network, gates, 1, place, origin=origin)
            if count:
                present = tuple(network.add("carry", (each,), CarryAttrs(count), origin=origin) for each in present)
            present = direction.step(row, present)
            found.append(present[0])
        ordered = found[::-1] if backwards else found
        outputs.append(layers.concat(network, ordered, 0, origin=origin) if steps > 1 else ordered[0])
        for last, state in zip(lasts, present, strict=True):
            last.append(state)
    y = outputs[0] if directions == 1 else layers.concat(network, outputs, 1, origin=origin)
    joined = (each[0] if directions == 1 else layers.concat(network, each, 0, origin=origin) for each in lasts)
    return Results(network.reshape(y, (1, steps, directions * hidden), origin=origin), tuple(joined))
