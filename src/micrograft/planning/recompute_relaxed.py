"""What would be computed again if memory were counted at single moments only: a small integer programme.

The moments are those of the step as it is (`recompute_bound.rows`); what a second computation holds itself is left
out. So no answer costs less, and what this one lets go is often an answer, and then a best one. Where it holds too much
at some moments, these are made tighter, and the next proposal is better. SCIP solves the programme, as part of ortools.
It counts in double precision, so its bounds are rounded down by a ten-millionth.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from micrograft.planning.plan import ALIGNMENT
from micrograft.planning.recompute_bound import Row, least_work, rows
from micrograft.planning.recompute_follow import Follower
from micrograft.planning.recompute_problem import Choice, Problem, Tensor, lives

if TYPE_CHECKING:
    from ortools.linear_solver.python import model_builder

_NODES = 500
"""Nodes of the solver's search tree, at most; most programmes are solved at the root."""

_PROPOSALS = 5
"""How often the moments are made tighter, at most."""

_TOLERANCE = 1e-7
"""Of the solver, as a share."""


@dataclass(frozen=True)
class Relaxed:
    """bound: no answer in this order costs fewer estimated instructions. proposals: sets of tensors that stay; the last
    one may be an answer."""

    bound: int = 0
    proposals: tuple[frozenset[int], ...] = ()


def relax(problem: Problem, capacity: int) -> Relaxed:
    """The bound, and what it proposes. Raises ImportError where ortools is not installed."""
    found = rows(problem, capacity)
    follower = Follower(problem)
    bound, proposals = least_work(problem, found), list[frozenset[int]]()
    for _ in range(_PROPOSALS):
        gone, least = _solve(problem, found)
        bound = bound if proposals else max(bound, least)
        if gone is None:
            break
        stays = frozenset(range(len(problem.tensors))) - gone
        proposals.append(stays)
        tightened = list(_tightened(problem, capacity, follower.choice(stays), found))
        if tightened == found:
            break
        found = tightened
    return Relaxed(bound, tuple(proposals))


def _tightened(problem: Problem, capacity: int, choice: Choice, found: Sequence[Row]) -> Iterator[Row]:
    """The moments, those with so much more to free at or before which the choice exceeds the capacity."""
    changes: dict[int, int] = {}
    for start, end, size in lives(problem, choice):
        changes[start] = changes.get(start, 0) + size
        changes[end] = changes.get(end, 0) - size
    times = sorted(changes)
    moments = [row.time for row in found]
    excess = [0] * len(found)
    for time, total in zip(times, accumulate(changes[time] for time in times), strict=True):
        index = min(bisect_left(moments, time), len(found) - 1)
        excess[index] = max(excess[index], total - capacity)
    return (replace(row, excess=row.excess + more) for row, more in zip(found, excess, strict=True))


def _solve(problem: Problem, found: Sequence[Row]) -> tuple[frozenset[int] | None, int]:
    """The tensors that are let go at least work, None where that was not found, and a bound of the work."""
    from ortools.linear_solver.python import model_builder

    programme = _Programme(problem)
    for row in found:
        programme.add(row)
    solver = model_builder.Solver("scip")
    solver.set_solver_specific_parameters(f"limits/nodes={_NODES}\nlimits/gap=0\nmisc/catchctrlc=FALSE")
    status = solver.solve(programme.model)
    if status not in (model_builder.SolveStatus.OPTIMAL, model_builder.SolveStatus.FEASIBLE):
        return None, 0
    gone = frozenset(index for (index, _), again in programme.again.items() if solver.value(again) > 0.5)
    return gone, programme.unit_of_work * math.ceil(solver.best_objective_bound * (1 - _TOLERANCE) - _TOLERANCE)


class _Programme:
    """Whether each unit runs again, whether a read is of the second computation, and whether the first one is held."""

    def __init__(self, problem: Problem) -> None:
        from ortools.linear_solver.python import model_builder

        self.model = model_builder.Model()  # type: ignore[no-untyped-call]  # of ortools
        self._problem = problem
        self._runs = [self.model.new_bool_var("") for _ in problem.units]
        self._held = [self.model.new_num_var(0, 1, "") for _ in problem.tensors]
        self.again: dict[tuple[int, int], model_builder.Variable] = {}
        for runs, unit in zip(self._runs, problem.units, strict=True):
            if unit.latest < problem.forward:
                self.model.add(runs <= 0)
        for index, tensor in enumerate(problem.tensors):
            self._add_reads(index, tensor)
        self.unit_of_work = math.gcd(*(unit.work for unit in problem.units)) or 1
        costs = (unit.work // self.unit_of_work for unit in problem.units)
        self.model.minimize(sum(cost * runs for cost, runs in zip(costs, self._runs, strict=True)))

    def _add_reads(self, index: int, tensor: Tensor) -> None:
        """A reader reads the second computation or one that is held; once there is a second one, it is read."""
        runs, held = self._runs[tensor.unit], self._held[index]
        before = None
        for read in sorted(tensor.backward, key=lambda read: read.position):
            again = self.model.new_bool_var("")
            self.model.add(again <= runs)
            self.model.add(again + held >= 1)
            if before is not None:
                self.model.add(before <= again)
            self.again[index, read.position] = before = again
        for reader in sorted({self._problem.unit_of[read.position] for read in tensor.forward}):
            self.model.add(runs + held >= self._runs[reader])

    def add(self, row: Row) -> None:
        """Enough must be let go at a moment."""
        words = [tensor.size // ALIGNMENT for tensor in self._problem.tensors]
        if row.idle:
            parts = [words[index] * (1 - self._held[index]) for index, _ in row.waiting]
            parts += [-words[index] * self._held[index] for index in row.idle]
        else:
            parts = [words[key[0]] * self.again[key] for key in row.waiting]
        self.model.add(sum(parts) >= -(-row.excess // ALIGNMENT))
