"""Which pieces to train within a budget, by CP-SAT: a knapsack whose items share parts of their cost.

The gains of pieces are taken to add up, and so is memory but for what is shared; both are models, and whoever asked
plans and measures the answer. The answer is the best there is for the model, or the best found in the time allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from micrograft.planning.effort import Effort, new_solver
from micrograft.search.costs import FREE, Cost, Forward
from micrograft.search.pieces import Piece

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

EFFORT = Effort(seconds=10.0, work=float("inf"), workers=8)

_UNIT = 1_000_000
"""Gains are counted in millionths."""


@dataclass(frozen=True)
class Item:
    """A piece with what it gains, alone, and what it costs. gain: share of 1, of the accuracy; 0 leaves it out."""

    piece: Piece
    gain: float
    cost: Cost


@dataclass(frozen=True)
class Budget:
    """ram: bytes of parameters, optimizer state and arena. written: bytes that a save writes to flash, the trained
    parameters. work: estimated instructions of a step. None for no limit."""

    ram: int
    written: int | None = None
    work: int | None = None


@dataclass(frozen=True)
class Selection:
    """chosen: the pieces. gain: the sum of theirs. bound: proven; no set within the budget gains more."""

    chosen: frozenset[Piece]
    gain: float
    bound: float


NOTHING = Selection(frozenset(), 0.0, 0.0)


def select(
    items: Sequence[Item], budget: Budget, forward: Forward, always: Cost = FREE, effort: Effort = EFFORT
) -> Selection:
    """The pieces with the largest sum of gains within the budget; none where none that gains fits.

    forward: of the network as it came. always: what is borne whatever is chosen.
    """
    worth = [item for item in items if item.gain > 0]
    return _Model(worth, budget, forward, always).solve(effort) if worth else NOTHING


class _Model:
    """The knapsack as CP-SAT sees it."""

    def __init__(self, items: Sequence[Item], budget: Budget, forward: Forward, always: Cost) -> None:
        from ortools.sat.python import cp_model

        self._cp = cp_model
        self._model = cp_model.CpModel()
        self._items = items
        self._always = always
        self._taken = [self._model.new_bool_var(str(item.piece)) for item in items]
        for slot in {item.piece.slot for item in items}:
            same = [var for item, var in zip(items, self._taken, strict=True) if item.piece.slot == slot]
            self._model.add_at_most_one(same)
        own = self._terms([item.cost.own for item in items])
        self._limit_ram(own, budget.ram - always.own, forward)
        if budget.written is not None:
            self._limit(self._terms([item.cost.written for item in items]), budget.written - always.written)
        if budget.work is not None:
            ways = self._shared(lambda cost: cost.ways)
            self._limit([part for _, part in ways], budget.work - forward.work)
        gains = self._terms([round(item.gain * _UNIT) for item in items])
        self._model.maximize(self._cp.LinearExpr.sum(gains))

    def solve(self, effort: Effort) -> Selection:
        """The best selection found."""
        solver = new_solver(effort)
        if solver.solve(self._model) not in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            return NOTHING
        found = [item for item, var in zip(self._items, self._taken, strict=True) if solver.value(var)]
        gain = sum(item.gain for item in found)
        return Selection(frozenset(item.piece for item in found), gain, max(gain, solver.best_objective_bound / _UNIT))

    def _limit_ram(self, own: Sequence[cp_model.LinearExpr], most: int, forward: Forward) -> None:
        """At every node of the forward pass, and at the worst moment of the backward pass."""
        since = dict(self._always.since)
        for item in self._items:
            since |= item.cost.since
        parts = self._shared(lambda cost: cost.kept, since)
        transient = self._most([item.cost.transient for item in self._items], self._always.transient)
        self._limit([*own, transient, *(part for _, part in parts)], most)
        for position, alive in enumerate(forward.alive):
            self._limit([*own, *(part for start, part in parts if start <= position)], most - alive)

    def _terms(self, amounts: Sequence[int]) -> list[cp_model.LinearExpr]:
        """Of what is taken."""
        return [amount * var for amount, var in zip(amounts, self._taken, strict=True)]

    def _limit(self, terms: Sequence[cp_model.LinearExpr], most: int) -> None:
        self._model.add(self._cp.LinearExpr.sum(terms) <= most)

    def _most(self, amounts: Sequence[int], least: int) -> cp_model.IntVar:
        """The largest amount of what is taken, and at least `least`."""
        most = self._model.new_int_var(least, max([least, *amounts]), "")
        for amount, var in zip(amounts, self._taken, strict=True):
            if amount > least:
                self._model.add(most >= amount * var)
        return most

    def _shared(
        self, parts_of: Callable[[Cost], Mapping[str, int]], since: Mapping[str, int] | None = None
    ) -> list[tuple[int, cp_model.LinearExpr]]:
        """Parts that each count once, at the most that anything taken wants of them, and since when they are there.

        Parts that are there since the same moment, and that the same items want, each in one amount, are one part.
        """
        wanted: dict[str, list[int]] = {}
        for index, item in enumerate(self._items):
            for name, amount in parts_of(item.cost).items():
                wanted.setdefault(name, [0] * len(self._items))[index] = amount
        always = parts_of(self._always)
        terms: list[tuple[int, cp_model.LinearExpr]] = []
        groups: dict[tuple[int, tuple[bool, ...]], int] = {}
        for name in {**wanted, **always}:
            amounts = wanted.get(name, [0] * len(self._items))
            users, sizes = tuple(map(bool, amounts)), set(amounts) - {0}
            start = since.get(name, 0) if since is not None else 0
            if name not in always and len(sizes) == 1:
                groups[start, users] = groups.get((start, users), 0) + max(sizes)
            else:
                terms.append((start, self._most(amounts, always.get(name, 0))))
        for (start, users), size in groups.items():
            terms.append((start, self._most([size * used for used in users], 0)))
        return terms
