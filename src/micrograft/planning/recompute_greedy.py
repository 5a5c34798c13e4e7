"""A good first answer to what is computed again: which tensors stay is searched, the rest follows
(`recompute_follow.py`)."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

from micrograft.planning.recompute_chain import chain_answer
from micrograft.planning.recompute_follow import Follower, Outcome
from micrograft.planning.recompute_problem import Choice, Problem

_TRIALS = 40_000_000
"""Work of the search, at most: answers tried, times tensors and nodes; ten seconds where there are thousands."""

_MOST_TRIALS = 8_000
"""Answers tried, at most; for small problems the exact solver has the last word."""

_STRIDES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48)
"""Every so many units one stays, in the answers from which the search starts."""

_PRICES = 8
"""Classes of tensors by work for each byte: from some class on all stay, in those answers."""

_STARTS = 4
"""How many of those the search improves."""

_TEMPERATURE = 0.02
"""Where annealing starts: a share of the work spent twice by which a worse answer is still likely to be taken."""

_EXCESS = 2.0
"""How much a byte over the capacity counts, in what a freed one costs on average in the best answer so far."""

_SHORTER = 4
"""How much shorter the search is where an answer is there to start from."""

_TIGHTER = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
"""Shares of the capacity for which the chain is cut: what the cuts leave out takes the rest."""

_DRAWN = 4
"""Tensors of which the one with the least work for each byte is let go, where a moment holds too much."""


def smallest_peak(problem: Problem) -> int:
    """Bytes of the most frugal answer that this search knows."""
    return _Search(problem, 0).run().peak


def search_greedily(
    problem: Problem,
    capacity: int,
    enough: int = 0,
    first: frozenset[int] | None = None,
    proposals: Sequence[frozenset[int]] = (),
) -> Choice | None:
    """An answer whose peak is at most `capacity` bytes, with little work; None where none was found. Deterministic.

    enough: work at which the search may end, since no answer has less. first: tensors that stay in an answer to start
    from; the search is shorter then. proposals: others to look at.
    """
    search = _Search(problem, capacity, enough, first, proposals)
    found = search.run()
    return search.follower.choice(found.stays) if found.peak <= capacity else None


class _Search:
    """Tensors that stay, tried and improved."""

    def __init__(
        self,
        problem: Problem,
        capacity: int,
        enough: int = 0,
        first: frozenset[int] | None = None,
        proposals: Sequence[frozenset[int]] = (),
    ) -> None:
        self._enough = enough
        self._proposals = proposals
        self._first = first
        self.follower = Follower(problem)
        self._problem = problem
        self._capacity = capacity
        self._value = [problem.units[each.unit].work / each.size for each in problem.tensors]
        self._trials = min(_MOST_TRIALS, _TRIALS // (len(problem.tensors) + len(problem.nodes)))
        self._trials //= 1 if first is None else _SHORTER

    def run(self) -> Outcome:
        """The best answer found: one within the capacity if there is one, of those the one with the least work."""
        starts = [self._try(stays) for stays in self._proposals]
        best = min(starts, key=self._cost, default=None)
        if best is not None and self._cost(best) <= (0, self._enough):
            return best
        starts = [self._try(stays) for stays in dict.fromkeys(self._starts())] + starts
        best = min(starts, key=self._cost)
        self._price = _EXCESS * best.work / max(1, starts[0].peak - self._capacity)
        rated = [*sorted(starts, key=self._cost)[:_STARTS], *sorted(starts, key=self._weighted)[:_STARTS]]
        share = self._trials // (4 * _STARTS)
        best = min((self._improve(trial, share) for trial in dict.fromkeys(rated)), key=self._cost)
        annealed = self._anneal(best, max(0, self._trials - share))
        return min(best, self._improve(annealed, share), key=self._cost)

    def _cost(self, trial: Outcome) -> tuple[int, int]:
        """Bytes over the capacity first, then work."""
        return max(0, trial.peak - self._capacity), trial.work

    def _weighted(self, trial: Outcome) -> float:
        """Work, and bytes over the capacity at a price."""
        excess, work = self._cost(trial)
        return self._price * excess + work

    def _starts(self) -> Iterator[frozenset[int]]:
        """Sets of tensors that stay: all; what cuts of the chain keep, or every so many units; small and dear ones."""
        tensors = list(enumerate(self._problem.tensors))
        yield frozenset(index for index, _ in tensors)
        if self._first is not None:
            yield self._first
            return
        optional = frozenset(index for index, tensor in tensors if tensor.optional)
        for share in _TIGHTER[:: 1 + len(self._problem.units) // 300]:
            cut = chain_answer(self._problem, int(share * self._capacity))
            if cut is not None:
                yield cut
                yield cut | optional
        units = len(self._problem.units)
        for dear in self._dear():
            for stride in (*_STRIDES, units + 1):
                for phase in sorted({0, stride // 2}):
                    stays = frozenset(i for i, each in tensors if each.unit % stride == phase and not each.optional)
                    yield stays | dear
                    yield stays | dear | optional
        for size in sorted({tensor.size for _, tensor in tensors}):
            yield frozenset(index for index, each in tensors if each.size <= size)

    def _dear(self) -> Iterator[frozenset[int]]:
        """Tensors that take more work for each byte than others: none, then ever more of them."""
        values = sorted(set(self._value), reverse=True)
        for rank in sorted({len(values) * part // _PRICES for part in range(_PRICES)}):
            yield frozenset(index for index, value in enumerate(self._value) if value > values[rank])

    def _try(self, stays: frozenset[int]) -> Outcome:
        self._trials -= 1
        return self.follower.outcome(stays)

    def _improve(self, best: Outcome, trials: int) -> Outcome:
        """Let more stay, or fewer where too much does, as long as that is better: many at once, then ever fewer."""
        dear = sorted(range(len(self._value)), key=self._value.__getitem__, reverse=True)
        size = max(1, len(dear) // 4)
        while trials > 0:
            over = best.peak > self._capacity
            order = [index for index in (reversed(dear) if over else dear) if (index in best.stays) == over]
            before = best
            for start in range(0, len(order), size):
                if trials <= 0 or (best.peak > self._capacity) != over:
                    break
                trials -= 1
                best = min(best, self._try(best.stays ^ frozenset(order[start : start + size])), key=self._cost)
            if best is before and size == 1:
                break
            size = max(1, size // 2)
        return best

    def _anneal(self, start: Outcome, trials: int) -> Outcome:
        """Let one or two tensors stay or go, also where that costs more, ever less often (Metropolis)."""
        generator = random.Random(0)  # seeded: the same problem always gets the same answer
        current = best = start
        for done in range(trials):
            if self._cost(best) <= (0, self._enough):
                break
            trial = self._try(current.stays ^ self._flipped(current, generator))
            worse = self._weighted(trial) - self._weighted(current)
            heat = _TEMPERATURE * (start.work + 1) * (1 - done / trials)
            if worse <= 0 or generator.random() < math.exp(-worse / heat):
                current = trial
            best = min(best, trial, key=self._cost)
        return best

    def _flipped(self, trial: Outcome, generator: random.Random) -> frozenset[int]:
        """One or two tensors; half the time one that waits for little where there is too much, or takes most if not."""
        everything = range(len(self._value))
        if generator.random() < 0.5:
            if trial.peak > self._capacity and trial.worst:
                return frozenset({min(generator.choices(trial.worst, k=_DRAWN), key=self._value.__getitem__)})
            gone = [index for index in generator.choices(everything, k=2 * _DRAWN) if index not in trial.stays]
            return frozenset({max(gone, key=self._value.__getitem__)} if gone else ())
        return frozenset(generator.sample(everything, min(generator.choice((1, 2)), len(everything))))
