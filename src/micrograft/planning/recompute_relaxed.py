"""What is computed again in one order, by an integer programme that counts bytes at few moments, then at more.

First it looks at the moments of the step as it is (`recompute_bound.rows`), and what a second computation holds itself
is left out. No answer costs less, and what this one lets go is often an answer, and then a best one. Where it holds too
much at some moments, all that is alive there is counted too (`recompute_moments.py`), and the programme is solved
again: every optimum on the way bounds the work, and the first one that holds too much nowhere is the best answer. Where
there are too many tensors for that, the moments are made tighter instead, which only gives better proposals. SCIP
solves the programme, as part of ortools. It counts in double precision, so its bounds are rounded down by a
ten-millionth.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from micrograft.planning.recompute_bound import Row, least_work, rows
from micrograft.planning.recompute_follow import Follower
from micrograft.planning.recompute_moments import Programme
from micrograft.planning.recompute_problem import Choice, Problem, peak, profile

if TYPE_CHECKING:
    from ortools.linear_solver.python import model_builder

_NODES = 500
"""Nodes of the solver's search tree, at most; most programmes are solved at the root."""

_COUNTED = 500
"""Tensors, at most, where more moments are counted."""

_PROGRAMMES = 10
"""How often a programme with more moments is solved, at most."""

_SIZE = 40_000
"""Inequalities of all these programmes, at most: of small ones many are solved, of large ones few."""

_LARGEST = 24_000
"""Inequalities of one of them, at most: beyond, the solver takes many times longer."""

_MOMENTS = 4
"""Moments that are added at a time, at most: those that hold most."""

_PROPOSALS = 5
"""How often the moments are made tighter, at most."""

_TOLERANCE = 1e-7
"""Of the solver, as a share."""


@dataclass(frozen=True)
class Relaxed:
    """bound: no answer in this order costs fewer estimated instructions. proposals: sets of tensors that stay; the last
    one may be an answer. choice: the best answer among the optima."""

    bound: int = 0
    proposals: tuple[frozenset[int], ...] = ()
    choice: Choice | None = None

    @property
    def enough(self) -> int:
        """Work at which a search may end: the bound, but for what the solver cannot tell from it."""
        return int(self.bound * (1 + 2 * _TOLERANCE))


def relax(problem: Problem, capacity: int) -> Relaxed:
    """The bound, and what it proposes. Raises ImportError where ortools is not installed."""
    return _counted(problem, capacity) if len(problem.tensors) <= _COUNTED else _proposed(problem, capacity)


def _counted(problem: Problem, capacity: int) -> Relaxed:
    """Count at ever more moments until the optimum is an answer."""
    found = rows(problem, capacity)
    programme = _programme(problem, capacity, found)
    everything = frozenset(range(len(problem.tensors)))
    bound, proposals, best = least_work(problem, found), list[frozenset[int]](), None
    counted, size = set[int](), programme.model.num_constraints
    for _ in range(_PROGRAMMES):
        solver, least = _solve(programme)
        bound = max(bound, least)
        if solver is None:
            break
        choice = programme.choice(solver)
        proposals.append(everything - choice.gone)
        if peak(problem, choice) <= capacity:
            if best is None or choice.work(problem) < best.work(problem):
                best = choice
            break
        moments = [time for time in _exceeding(problem, choice, capacity) if time not in counted][:_MOMENTS]
        for time in moments:
            programme.count(time)
        counted |= set(moments)
        size += programme.model.num_constraints
        if not moments or size > _SIZE or programme.model.num_constraints > _LARGEST:
            break
    return Relaxed(bound, tuple(proposals), best)


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
    bound, proposals = least_work(problem, found), list[frozenset[int]]()
    for _ in range(_PROPOSALS):
        programme = _programme(problem, capacity, found)
        solver, least = _solve(programme)
        bound = bound if proposals else max(bound, least)
        if solver is None:
            break
        stays = frozenset(range(len(problem.tensors))) - programme.gone(solver)
        proposals.append(stays)
        tightened = list(_tightened(problem, capacity, follower.choice(stays), found))
        if tightened == found:
            break
        found = tightened
    return Relaxed(bound, tuple(proposals))


def _tightened(problem: Problem, capacity: int, choice: Choice, found: Sequence[Row]) -> Iterator[Row]:
    """The moments, those with so much more to free at or before which the choice exceeds the capacity."""
    moments = [row.time for row in found]
    excess = [0] * len(found)
    for time, total in profile(problem, choice):
        index = min(bisect_left(moments, time), len(found) - 1)
        excess[index] = max(excess[index], total - capacity)
    return (replace(row, excess=row.excess + more) for row, more in zip(found, excess, strict=True))


def _programme(problem: Problem, capacity: int, found: Sequence[Row]) -> Programme:
    programme = Programme(problem, capacity)
    for row in found:
        programme.free(row)
    return programme


def _solve(programme: Programme) -> tuple[model_builder.Solver | None, int]:
    """The solver with what it found, None where that was nothing, and a bound of the work."""
    from ortools.linear_solver.python import model_builder

    solver = model_builder.Solver("scip")
    solver.set_solver_specific_parameters(f"limits/nodes={_NODES}\nlimits/gap=0\nmisc/catchctrlc=FALSE")
    status = solver.solve(programme.model)
    if status not in (model_builder.SolveStatus.OPTIMAL, model_builder.SolveStatus.FEASIBLE):
        return None, 0
    return solver, programme.unit_of_work * math.ceil(solver.best_objective_bound * (1 - _TOLERANCE) - _TOLERANCE)
