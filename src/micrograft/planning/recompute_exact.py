"""What is computed again, chosen by CP-SAT: exact, or the best found in the time that there is and how far at most
the best answer lies below it.

Every tensor has one interval for the first time that it is computed and an optional one for the second; a
cumulative constraint bounds the bytes (the retention intervals of arXiv:2304.14463, with in-place operations
modelled by halves of nodes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from micrograft.planning.effort import Effort, new_solver
from micrograft.planning.plan import ALIGNMENT
from micrograft.planning.recompute_bound import Row, least_end, least_work, rows
from micrograft.planning.recompute_problem import Choice, Problem, Read, Tensor

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

_STEADY = 150
"""Tensors up to which the solver gets all of its work; where there are more, as much less."""


@dataclass(frozen=True)
class Proof:
    """bound: no answer costs fewer estimated instructions. infeasible: there is none."""

    bound: int
    infeasible: bool = False


def search_exactly(
    problem: Problem, capacity: int, first: Choice | None, effort: Effort, least: int = 0
) -> tuple[Choice | None, Proof]:
    """The answer with the least work whose peak is at most `capacity` bytes, or the best one found.

    first: an answer to start from. least: work, no answer has less. Raises ImportError where ortools is not installed.
    """
    return _Model(problem, capacity, least).solve(first, effort)


@dataclass(frozen=True)
class ChoiceVariables:
    """A `Choice` as the solver has it: of a unit whether and when it runs again, of a read which computation."""

    runs: Sequence[cp_model.IntVar]
    slot: Sequence[cp_model.IntVar]
    again: Mapping[tuple[int, int], cp_model.IntVar]
    again_in: Mapping[tuple[int, int], cp_model.IntVar]

    def hint(self, model: cp_model.CpModel, choice: Choice, unused: int) -> None:
        """Start from `choice`. unused: the slot of a unit that does not run again."""
        for unit, (runs, slot) in enumerate(zip(self.runs, self.slot, strict=True)):
            model.add_hint(runs, unit in choice.slots)
            model.add_hint(slot, choice.slots.get(unit, unused))
        for key, literal in self.again.items():
            model.add_hint(literal, key in choice.again)
        for key, literal in self.again_in.items():
            model.add_hint(literal, key in choice.again_in)

    def choice(self, solver: cp_model.CpSolver) -> Choice:
        """What was found."""
        slots = {
            unit: solver.value(slot)
            for unit, (runs, slot) in enumerate(zip(self.runs, self.slot, strict=True))
            if solver.boolean_value(runs)
        }
        again = frozenset(key for key, literal in self.again.items() if solver.boolean_value(literal))
        again_in = frozenset(key for key, literal in self.again_in.items() if solver.boolean_value(literal))
        return Choice(slots, again, again_in)


def recomputing_solver(effort: Effort) -> cp_model.CpSolver:
    """The solver with what suits models of recomputation."""
    solver = new_solver(effort)
    solver.parameters.linearization_level = 2
    solver.parameters.interleave_search = effort.workers == 1  # all ways of searching in turn, and deterministic
    return solver


class _Model:
    """The constraint model of one problem."""

    def __init__(self, problem: Problem, capacity: int, least: int) -> None:
        from ortools.sat.python import cp_model

        self._cp = cp_model
        self._problem = problem
        self._model = cp_model.CpModel()
        self._intervals: list[cp_model.IntervalVar] = []
        self._demands: list[int] = []
        last = len(problem.nodes) - 1
        self._runs = [self._model.new_bool_var(f"runs{unit}") for unit in range(len(problem.units))]
        self._slot = [
            self._model.new_int_var(problem.forward, max(each.latest, problem.forward), f"slot{unit}")
            for unit, each in enumerate(problem.units)
        ]
        for unit, each in enumerate(problem.units):
            if each.latest < problem.forward or problem.forward > last:
                self._model.add(self._runs[unit] == 0)
            self._model.add(self._slot[unit] == problem.forward).only_enforce_if(~self._runs[unit])
        self._again: dict[tuple[int, int], cp_model.IntVar] = {}
        self._again_in: dict[tuple[int, int], cp_model.IntVar] = {}
        self._variables = ChoiceVariables(self._runs, self._slot, self._again, self._again_in)
        found = rows(problem, capacity)
        uses: list[list[cp_model.IntVar]] = [[] for _ in problem.units]
        for stretch in problem.fixed:
            length = stretch.end - stretch.start
            self._occupy(self._model.new_fixed_size_interval_var(stretch.start, length, ""), stretch.size)
        for index, tensor in enumerate(problem.tensors):
            uses[tensor.unit] += self._add_tensor(index, tensor)
        for runs, reasons in zip(self._runs, uses, strict=True):
            self._model.add_bool_or(~runs, *reasons)
        self._model.add_cumulative(self._intervals, self._demands, capacity // ALIGNMENT)
        self._add_rows(found)
        total = sum(each.work * runs for each, runs in zip(problem.units, self._runs, strict=True))
        self._least = max(least, least_work(problem, found))
        self._model.add(total >= self._least)
        self._model.minimize(total)

    def _occupy(self, interval: cp_model.IntervalVar, size: int) -> None:
        self._intervals.append(interval)
        self._demands.append(size // ALIGNMENT)

    def _start(self, unit: int) -> cp_model.LinearExpr:
        """When the slot begins in which a unit runs again."""
        problem = self._problem
        origin = problem.time_again(0, problem.forward) - problem.slot_length * problem.forward
        return self._slot[unit] * problem.slot_length + origin

    def _add_tensor(self, index: int, tensor: Tensor) -> list[cp_model.IntVar]:
        """Both lives of a tensor; the literals that say that its second computation is read."""
        problem, model = self._problem, self._model
        start = problem.time(tensor.node) + tensor.late
        least = max(least_end(problem, tensor), problem.time(tensor.last_node) + 2)
        end = model.new_int_var(least, problem.end, f"end{index}")
        size = model.new_int_var(least - start, problem.end - start, "")
        runs, first = self._start(tensor.unit), 2 * tensor.node + tensor.late
        length = 2 * (tensor.last_node - tensor.node + 1) - tensor.late
        end_again = model.new_int_var(0, problem.end, f"end_again{index}")
        size_again = model.new_int_var(length, problem.end, "")
        here = model.new_bool_var(f"here{index}") if tensor.optional else model.new_constant(1)
        here_again = model.new_bool_var(f"here_again{index}") if tensor.optional else self._runs[tensor.unit]
        uses = self._add_backward_reads(index, tensor, end, end_again, here)
        uses += self._add_repeated_reads(index, tensor, end, end_again, here)
        if tensor.optional:
            model.add_implication(here_again, self._runs[tensor.unit])
            for use in uses:
                model.add_implication(use, here_again)
            if tensor.forward or tensor.kept:
                model.add(here == 1)
        self._occupy(model.new_optional_interval_var(start, size, end, here, ""), tensor.size)
        self._occupy(model.new_optional_interval_var(runs + first, size_again, end_again, here_again, ""), tensor.size)
        return uses

    def _add_backward_reads(
        self, index: int, tensor: Tensor, end: cp_model.IntVar, end_again: cp_model.IntVar, here: cp_model.IntVar
    ) -> list[cp_model.IntVar]:
        """Each backward reader reads the first or the second computation."""
        model, runs, slot = self._model, self._runs[tensor.unit], self._slot[tensor.unit]
        found: list[cp_model.IntVar] = []
        for read in sorted(tensor.backward, key=lambda read: read.position):
            again = model.new_bool_var(f"again{index}_{read.position}")
            self._again[index, read.position] = again
            time = self._problem.time(read.position) + 2 - read.early
            model.add_implication(again, runs)
            model.add(slot <= read.position).only_enforce_if(again)
            model.add(end_again >= time).only_enforce_if(again)
            model.add(end >= time).only_enforce_if(~again)
            model.add_bool_or(again, here)
            if not tensor.optional:  # once it is there again, it is what is read
                model.add(slot > read.position).only_enforce_if(runs, ~again)
            if found:
                model.add_implication(found[-1], again)
            found.append(again)
        return found

    def _add_repeated_reads(
        self, index: int, tensor: Tensor, end: cp_model.IntVar, end_again: cp_model.IntVar, here: cp_model.IntVar
    ) -> list[cp_model.IntVar]:
        """Each forward reader that runs again reads the first or the second computation."""
        model, runs, slot = self._model, self._runs[tensor.unit], self._slot[tensor.unit]
        found: list[cp_model.IntVar] = []
        for reader, read in self._last_reads(tensor).items():
            again = model.new_bool_var(f"again_in{index}_{reader}")
            self._again_in[index, reader] = again
            time = self._start(reader) + (2 * read.position + 2 - read.early)
            model.add_implication(again, runs)
            model.add_implication(again, self._runs[reader])
            model.add(slot <= self._slot[reader]).only_enforce_if(again)
            model.add(end_again >= time).only_enforce_if(again)
            model.add(end >= time).only_enforce_if(self._runs[reader], ~again)
            if not tensor.optional:
                model.add(slot > self._slot[reader]).only_enforce_if(runs, self._runs[reader], ~again)
            found.append(again)
        return found

    def _add_rows(self, found: Sequence[Row]) -> None:
        """What the cumulative constraint says of single moments, written so that it is linear and bounds are tight."""
        held = self._held()
        for row in found:
            sizes = [tensor.size // ALIGNMENT for tensor in self._problem.tensors]
            if row.idle:
                freed = sum(sizes[index] * ~held[index] for index, _ in row.waiting)
                change = freed - sum(sizes[index] * held[index] for index in row.idle)
            else:
                change = sum(sizes[key[0]] * self._again[key] for key in row.waiting)
            self._model.add(change >= -(-row.excess // ALIGNMENT))

    def _held(self) -> list[cp_model.IntVar]:
        """For each tensor, whether its first computation is still there when the first slot begins."""
        model, found = self._model, []
        for index, tensor in enumerate(self._problem.tensors):
            held = model.new_bool_var(f"held{index}")
            for read in tensor.backward:
                model.add_bool_or(self._again[index, read.position], held)
            for reader in self._last_reads(tensor):
                model.add_bool_or(~self._runs[reader], self._again_in[index, reader], held)
            found.append(held)
        return found

    def _last_reads(self, tensor: Tensor) -> Mapping[int, Read]:
        """Forward unit to its last read of a tensor."""
        return {self._problem.unit_of[read.position]: read for read in tensor.forward}

    def solve(self, first: Choice | None, effort: Effort) -> tuple[Choice | None, Proof]:
        """Run the solver from an answer that is known."""
        if first is not None:
            self._variables.hint(self._model, first, self._problem.forward)
        # a unit of its work takes longer the more there is
        solver = recomputing_solver(replace(effort, work=effort.work * min(1.0, _STEADY / len(self._problem.tensors))))
        status = solver.solve(self._model)
        if status == self._cp.INFEASIBLE:
            return None, Proof(0, infeasible=True)
        bound = max(self._least, round(solver.best_objective_bound))
        if status not in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            return first, Proof(bound)
        found = self._variables.choice(solver)
        if first is not None and first.work(self._problem) <= found.work(self._problem):
            found = first
        return found, Proof(bound)
