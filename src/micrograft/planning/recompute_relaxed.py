"""What is computed again in one order, by an integer programme that counts bytes at few moments, then at more.

First it looks at the moments of the step as it is (`recompute_bound.rows`), and what a second computation holds itself
is left out. No answer costs less, and what this one lets go is often an answer, and then a best one. Where it holds too
much at some moments, all that is alive there is counted too (`recompute_moments.py`), and the programme is solved
again: every optimum on the way bounds the work, and the first one that holds too much nowhere is the best answer, or
becomes it when tensors of equal work change places (`recompute_swap.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from micrograft.planning.recompute_bound import least_work, rows
from micrograft.planning.recompute_follow import Follower
from micrograft.planning.recompute_moments import TOLERANCE, Optimum, Programme
from micrograft.planning.recompute_problem import Choice, Problem, peak, profile
from micrograft.planning.recompute_swap import swap_equals

_MOMENTS = 8
"""Moments that are added at a time, at most: those that hold most."""

_EFFORT = 3.5e9
"""Squares of the inequalities of all programmes, at most: of small ones many are solved, of large ones few."""

_GAP = 0.005
"""Share of the work by which an optimum may be missed as long as there are moments to count: they raise it far more."""

_PROOF = 4
"""As many programmes that are solved to `_GAP` count for one of the same size that is solved to the end."""

_APART = 0.1
"""Share of the search for an optimum that tells equal units apart: it is found soon, or not at all."""

_IDLE = 2
"""Programmes one after the other whose optimum takes no more work than the bound that was known, at most: it is the
best answer's then, and what holds too much is left to a search."""


@dataclass(frozen=True)
class Relaxed:
    """bound: no answer in this order costs fewer estimated instructions. proposals: sets of tensors that stay, of each
    optimum as it is and with equal ones swapped. choice: the best answer among these."""

    bound: int = 0
    proposals: tuple[frozenset[int], ...] = ()
    choice: Choice | None = None

    @property
    def enough(self) -> int:
        """Work at which a search may end: the bound, but for what the solver cannot tell from it."""
        return int(self.bound * (1 + 2 * TOLERANCE))


def relax(problem: Problem, capacity: int) -> Relaxed:
    """The bound, and what it proposes. Raises ImportError where ortools is not installed."""
    return _Relaxation(problem, capacity).run()


class _Relaxation:
    """The programmes of one problem and capacity, and the best that they found."""

    def __init__(self, problem: Problem, capacity: int) -> None:
        self._problem = problem
        self._capacity = capacity
        self._follower = Follower(problem)
        self._rows = rows(problem, capacity)
        self._effort = 0
        self._best = Relaxed(least_work(problem, self._rows))

    def run(self) -> Relaxed:
        """Count at ever more moments until there is an answer with no more work than the optimum."""
        programme, gap, idle = self._programme(alike=True), 0.0, 0
        counted = set[int]()
        while self._may_solve(programme, gap):
            known = self._best.enough
            optimum = programme.solve(self._best.bound, gap)
            if optimum is None:
                break
            self._look_at(optimum)
            if not counted and self._reached > self._best.enough:
                apart = self._programme(alike=False).solve(self._best.bound, share=_APART)
                if apart is not None:
                    self._look_at(apart)
            if self._reached <= self._best.enough or (gap and not optimum.ended):
                break
            work = optimum.choice.work(self._problem)
            moments = [time for time in self._exceeding(optimum.choice) if time not in counted][:_MOMENTS]
            if gap and (self._reached <= work or not moments):
                gap = 0.0
                continue
            idle = idle + 1 if counted and work <= known else 0
            if not moments or idle == _IDLE:
                break
            gap = _GAP
            for time in moments:
                programme.count(time)
            counted |= set(moments)
        return self._best

    def _programme(self, *, alike: bool) -> Programme:
        programme = Programme(self._problem, self._capacity, alike=alike)
        for row in self._rows:
            programme.free(row)
        return programme

    def _may_solve(self, programme: Programme, gap: float) -> bool:
        self._effort += programme.size**2 * (1 if gap else _PROOF)
        return self._effort <= _EFFORT

    @property
    def _reached(self) -> float:
        """Work of the best answer."""
        return math.inf if self._best.choice is None else self._best.choice.work(self._problem)

    def _look_at(self, optimum: Optimum) -> None:
        """Its bound, what it proposes, and the answer that it may be, as it is or with equals swapped."""
        best = replace(self._best, bound=max(self._best.bound, optimum.bound))
        stays, enough = _staying(self._problem, optimum.choice), optimum.choice.work(self._problem)
        swapped = swap_equals(self._problem, self._capacity, self._follower, stays, max(best.enough, enough))
        self._best = replace(best, proposals=(*best.proposals, stays, swapped.stays))
        for answer in (optimum.choice, self._follower.choice(stays), self._follower.choice(swapped.stays)):
            if answer.work(self._problem) < self._reached and peak(self._problem, answer) <= self._capacity:
                self._best = replace(self._best, choice=answer)

    def _exceeding(self, choice: Choice) -> Sequence[int]:
        """Of each stretch of time with more bytes than the capacity the worst moment, the worst first."""
        found, worst = [], (0, 0)
        for time, total in profile(self._problem, choice):
            if total > self._capacity:
                worst = max(worst, (total, -time))
            elif worst[0]:
                found.append(worst)
                worst = (0, 0)
        return [-time for _, time in sorted([*found, worst] if worst[0] else found, reverse=True)]


def _staying(problem: Problem, choice: Choice) -> frozenset[int]:
    """Tensors of which nobody reads a second computation."""
    return frozenset(range(len(problem.tensors))) - choice.gone
