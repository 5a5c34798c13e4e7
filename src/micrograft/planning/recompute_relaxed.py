"""What is computed again in one order, by an integer programme that counts bytes at few moments, then at more.

First it looks at the moments of the step as it is (`recompute_bound.rows`), and what a second computation holds itself
is left out. No answer costs less, and what this one lets go is often an answer, and then a best one. Where it holds too
much at some moments, all that is alive there is counted too (`recompute_moments.py`), and the programme is solved
again: every optimum on the way bounds the work, and the first one that holds too much nowhere is the best answer, or
becomes it when tensors of equal work change places (`recompute_swap.py`). Where there are too many tensors for that,
the moments are made tighter instead, which only gives better proposals.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from micrograft.planning.recompute_bound import Row, least_work, rows
from micrograft.planning.recompute_follow import Follower
from micrograft.planning.recompute_moments import TOLERANCE, Optimum, Programme
from micrograft.planning.recompute_problem import Choice, Problem, peak, profile
from micrograft.planning.recompute_swap import swap_equals

_COUNTED = 500
"""Tensors, at most, where more moments are counted."""

_MOMENTS = 8
"""Moments that are added at a time, at most: those that hold most."""

_SIZE = 100_000
"""Inequalities of all programmes, at most: of small ones many are solved, of large ones few."""

_GAP = 0.005
"""Share of the work by which an optimum may be missed as long as there are moments to count: they raise it far more."""

_IDLE = 2
"""Programmes one after the other whose optimum takes no more work than the bound that was known, at most: it is the
best answer's then, and what holds too much is left to a search."""

_PROPOSALS = 3
"""How often the moments are made tighter, at most."""


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
    return _counted(problem, capacity) if len(problem.tensors) <= _COUNTED else _proposed(problem, capacity)


def _counted(problem: Problem, capacity: int) -> Relaxed:
    """Count at ever more moments until there is an answer with no more work than the optimum."""
    found = rows(problem, capacity)
    programme, follower = _programme(problem, capacity, found), Follower(problem)
    best = Relaxed(least_work(problem, found))
    size, counted, gap, idle = 0, set[int](), 0.0, 0
    while (size := size + programme.size) <= _SIZE:
        known = best.enough
        optimum = programme.solve(best.bound, gap)
        if optimum is None:
            break
        best = _with(best, problem, capacity, optimum, follower)
        work = optimum.choice.work(problem)
        reached = math.inf if best.choice is None else best.choice.work(problem)
        if reached <= best.enough or (gap and not optimum.ended):
            break
        moments = [time for time in _exceeding(problem, optimum.choice, capacity) if time not in counted][:_MOMENTS]
        if gap and (reached <= work or not moments):
            gap = 0.0
            continue
        idle = idle + 1 if counted and work <= known else 0
        if not moments or idle == _IDLE:
            break
        gap = _GAP
        for time in moments:
            programme.count(time)
        counted |= set(moments)
    return best


def _with(best: Relaxed, problem: Problem, capacity: int, optimum: Optimum, follower: Follower) -> Relaxed:
    """With its bound and what it proposes, and the answer that it may be, as it is or with equals swapped."""
    best = replace(best, bound=max(best.bound, optimum.bound))
    stays = _staying(problem, optimum.choice)
    swapped = swap_equals(problem, capacity, follower, stays, max(best.enough, optimum.choice.work(problem)))
    best = replace(best, proposals=(*best.proposals, stays, swapped.stays))
    for answer in (optimum.choice, follower.choice(stays), follower.choice(swapped.stays)):
        less = best.choice is None or answer.work(problem) < best.choice.work(problem)
        if less and peak(problem, answer) <= capacity:
            best = replace(best, choice=answer)
    return best


def _staying(problem: Problem, choice: Choice) -> frozenset[int]:
    """Tensors of which nobody reads a second computation."""
    return frozenset(range(len(problem.tensors))) - choice.gone


def _exceeding(problem: Problem, choice: Choice, capacity: int) -> Sequence[int]:
    """Of each stretch of time with more than `capacity` bytes the worst moment, the worst first."""
    found, worst = [], (0, 0)
    for time, total in profile(problem, choice):
        if total > capacity:
            worst = max(worst, (total, -time))
        elif worst[0]:
            found.append(worst)
            worst = (0, 0)
    return [-time for _, time in sorted([*found, worst] if worst[0] else found, reverse=True)]


def _proposed(problem: Problem, capacity: int) -> Relaxed:
    """Make the moments tighter until what is proposed is an answer."""
    found = rows(problem, capacity)
    follower = Follower(problem)
    best = Relaxed(least_work(problem, found))
    for attempt in range(_PROPOSALS):
        programme = _programme(problem, capacity, found, alike=attempt > 0)
        optimum = programme.solve()
        if optimum is None:
            break
        if attempt > 0:  # what is tightened bounds nothing
            optimum = replace(optimum, bound=0)
        best = _with(best, problem, capacity, optimum, follower)
        if best.choice is not None and best.choice.work(problem) <= best.enough:
            break
        tightened = list(_tightened(problem, capacity, follower.choice(_staying(problem, optimum.choice)), found))
        if tightened == found:
            break
        found = tightened
    return best


def _tightened(problem: Problem, capacity: int, choice: Choice, found: Sequence[Row]) -> Iterator[Row]:
    """The moments, those with so much more to free at or before which the choice exceeds the capacity."""
    moments = [row.time for row in found]
    excess = [0] * len(found)
    for time, total in profile(problem, choice):
        index = min(bisect_left(moments, time), len(found) - 1)
        excess[index] = max(excess[index], total - capacity)
    return (replace(row, excess=row.excess + more) for row, more in zip(found, excess, strict=True))


def _programme(problem: Problem, capacity: int, found: Sequence[Row], *, alike: bool = True) -> Programme:
    programme = Programme(problem, capacity, alike=alike)
    for row in found:
        programme.free(row)
    return programme
