"""A good first answer to what is computed again: which tensors stay is searched, the rest follows.

A tensor that stays lives until its last reader. Any other dies behind its last forward reader, and is computed
again directly before the first backward node that wants it, together with whatever that needs and is gone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from micrograft.planning.recompute_chain import chain_answer
from micrograft.planning.recompute_problem import Choice, Problem, peak

_TRIALS = 4_000_000
"""Work of the search, at most: answers tried, times tensors and nodes; twenty seconds where there are thousands."""

_MOST_TRIALS = 3_000
"""Answers tried, at most; for small problems the exact solver has the last word."""

_STRIDES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48)
"""Every so many units one stays, in the answers from which the search starts."""

_STARTS = 4
"""How many of those the search improves."""


_TEMPERATURE = 0.005
"""Where annealing starts: a share of the step's work by which a worse answer is still likely to be taken."""

_EXCESS = 2.0
"""How many per cent of the step's work one per cent of the capacity counts, where annealing goes beyond it."""

_TIGHTER = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
"""Shares of the capacity for which the chain is cut: what the cuts leave out takes the rest."""


def smallest_peak(problem: Problem) -> int:
    """Bytes of the most frugal answer that this search knows."""
    return peak(problem, _Search(problem).run(0))


def search_greedily(problem: Problem, capacity: int) -> Choice | None:
    """An answer whose peak is at most `capacity` bytes, with little work; None where none was found. Deterministic."""
    found = _Search(problem).run(capacity)
    return found if peak(problem, found) <= capacity else None


@dataclass(frozen=True)
class _Trial:
    """An answer. cost: bytes over the capacity first, then work."""

    stays: frozenset[int]
    choice: Choice
    cost: tuple[int, int]


class _Search:
    """Tensors that stay, tried and improved."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._inputs: list[list[int]] = [[] for _ in problem.units]  # tensors that a unit reads
        self._wanted: dict[int, list[int]] = {}  # backward position to the tensors that its node reads
        for index, tensor in enumerate(problem.tensors):
            for unit in sorted({problem.unit_of[read.position] for read in tensor.forward}):
                self._inputs[unit].append(index)
            for read in tensor.backward:
                self._wanted.setdefault(read.position, []).append(index)
        self._trials = min(_MOST_TRIALS, _TRIALS // (len(problem.tensors) + len(problem.nodes)))

    def run(self, capacity: int) -> Choice:
        """The best answer found: one within the capacity if there is one, of those the one with the least work."""
        starts = dict.fromkeys(self._starts(capacity))
        rated = sorted((self._try(stays, capacity) for stays in starts), key=lambda trial: trial.cost)
        share = self._trials // (2 * _STARTS)
        improved = [self._improve(trial, capacity, share) for trial in rated[:_STARTS]]
        best = min(improved, key=lambda trial: trial.cost)
        found = self._improve(self._anneal(best, capacity, max(0, self._trials - share)), capacity, share)
        return min(best, found, key=lambda trial: trial.cost).choice

    def _starts(self, capacity: int) -> Iterator[frozenset[int]]:
        """Sets of tensors that stay: all, what cuts of the chain keep, what every so many units leave, small ones."""
        tensors = list(enumerate(self._problem.tensors))
        yield frozenset(index for index, _ in tensors)
        optional = frozenset(index for index, tensor in tensors if tensor.optional)
        for share in _TIGHTER:
            cut = chain_answer(self._problem, int(share * capacity))
            if cut is not None:
                yield cut
                yield cut | optional
        units = len(self._problem.units)
        for stride in (*_STRIDES, units + 1):
            for phase in sorted({0, stride // 2}):
                stays = frozenset(index for index, each in tensors if each.unit % stride == phase and not each.optional)
                yield stays
                yield stays | optional
        for size in sorted({tensor.size for _, tensor in tensors}):
            yield frozenset(index for index, each in tensors if each.size <= size)

    def _try(self, stays: frozenset[int], capacity: int) -> _Trial:
        self._trials -= 1
        choice = self.follow(stays)
        return _Trial(stays, choice, (max(0, peak(self._problem, choice) - capacity), choice.work(self._problem)))

    def _improve(self, best: _Trial, capacity: int, trials: int) -> _Trial:
        """Let one tensor more stay, or one stay no more, as long as that makes it fit better or saves work."""
        order = sorted(range(len(self._problem.tensors)), key=self._value, reverse=True)
        improving = True
        while improving and trials > 0:
            improving = False
            for index in order:
                if trials <= 0:
                    break
                trials -= 1
                trial = self._try(best.stays ^ {index}, capacity)
                if trial.cost < best.cost:
                    best, improving = trial, True
        return best

    def _anneal(self, start: _Trial, capacity: int, trials: int) -> _Trial:
        """Let one or two tensors stay or go, also where that costs more, ever less often (Metropolis)."""
        generator = random.Random(0)  # seeded: the same problem always gets the same answer
        price = _EXCESS * self._problem.work / max(capacity, 1)
        current = best = start
        for done in range(trials):
            flipped = generator.sample(range(len(self._problem.tensors)), min(generator.choice((1, 2)), trials))
            trial = self._try(current.stays ^ frozenset(flipped), capacity)
            worse = price * (trial.cost[0] - current.cost[0]) + trial.cost[1] - current.cost[1]
            heat = _TEMPERATURE * self._problem.work * (1 - done / trials)
            if worse <= 0 or generator.random() < math.exp(-worse / heat):
                current = trial
            best = min(best, trial, key=lambda each: each.cost)
        return best

    def _value(self, index: int) -> float:
        """Work saved for each byte if this tensor stays."""
        tensor = self._problem.tensors[index]
        return self._problem.units[tensor.unit].work / tensor.size

    def follow(self, stays: frozenset[int]) -> Choice:
        """The answer that follows from which tensors stay."""
        problem = self._problem
        slots: dict[int, int] = {}
        again: set[tuple[int, int]] = set()
        again_in: set[tuple[int, int]] = set()

        def is_again(index: int, slot: int) -> bool:
            """Whether a reader in or behind `slot` reads the second computation of a tensor."""
            unit = problem.tensors[index].unit
            return index not in stays and (unit in slots or problem.units[unit].latest >= slot)

        for position in sorted(self._wanted):
            waiting = [index for index in self._wanted[position] if is_again(index, position)]
            again.update((index, position) for index in waiting)
            while waiting:
                unit = problem.tensors[waiting.pop()].unit
                if unit in slots:
                    continue
                slots[unit] = position
                found = [index for index in self._inputs[unit] if is_again(index, position)]
                again_in.update((index, unit) for index in found)
                waiting.extend(found)
        return Choice(slots, frozenset(again), frozenset(again_in))
