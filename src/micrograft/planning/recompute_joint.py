"""What is computed again and in which order everything runs, chosen together by CP-SAT: for small graphs.

The model of `recompute_exact.py` with the position of every node as a variable. A unit's nodes stay together, forward
nodes come before the others, and a node that updates a parameter waits for whoever reads it, also again. What is proven
here holds for every such order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from micrograft.ir.graph import Node
from micrograft.ir.types import Value
from micrograft.ops import operator_of
from micrograft.planning.effort import Effort
from micrograft.planning.plan import ALIGNMENT
from micrograft.planning.recompute_bound import any_order_rows, least_work
from micrograft.planning.recompute_exact import ChoiceVariables, Proof, recomputing_solver
from micrograft.planning.recompute_problem import Choice, Ordered, Problem, Read, Tensor, pose, precedences

if TYPE_CHECKING:
    from ortools.sat.python import cp_model


def search_jointly(
    schedule: Sequence[Node],
    results: Sequence[Value],
    sample: Value | None,
    capacity: int,
    first: Ordered | None,
    effort: Effort,
) -> tuple[Ordered | None, Proof]:
    """The order and the answer with the least work whose peak is at most `capacity` bytes, or the best found.

    first: to start from. Raises ImportError where ortools is not installed.
    """
    start = first or Ordered(tuple(schedule), pose(schedule, results, sample), Choice())
    found, proof = _Model(start.schedule, start.problem, capacity).solve(start.choice, effort)
    if found is None:
        return first, proof
    order, choice = found
    problem = pose(order, results, sample)
    answer = Ordered(order, problem, _moved(choice, start.problem, problem))
    return (answer if first is None or answer.work < first.work else first), proof


def _moved(choice: Choice, old: Problem, new: Problem) -> Choice:
    """The same answer in another order. Its slots are already counted in that."""
    tensor = {each.name: index for index, each in enumerate(new.tensors)}
    position = {id(node): index for index, node in enumerate(new.nodes)}
    units = {unit: new.unit_of[position[id(old.nodes[each.first])]] for unit, each in enumerate(old.units) if each.work}

    def index(number: int) -> int:
        return tensor[old.tensors[number].name]

    return Choice(
        {units[unit]: slot for unit, slot in choice.slots.items()},
        frozenset((index(number), position[id(old.nodes[reader])]) for number, reader in choice.again),
        frozenset((index(number), units[reader]) for number, reader in choice.again_in),
    )


class _Model:
    """The constraint model of one step and capacity. Time is counted as in `recompute_problem`."""

    def __init__(self, schedule: Sequence[Node], problem: Problem, capacity: int) -> None:
        from ortools.sat.python import cp_model

        self._cp = cp_model
        self._schedule = schedule
        self._problem = problem
        self._model = cp_model.CpModel()
        self._lives: list[tuple[cp_model.IntervalVar, int]] = []
        self._again: dict[tuple[int, int], cp_model.IntVar] = {}
        self._again_in: dict[tuple[int, int], cp_model.IntVar] = {}
        count, forward = len(problem.nodes), problem.forward
        self._runs = [self._model.new_bool_var(f"runs{unit}") for unit in range(len(problem.units))]
        self._slot = [self._model.new_int_var(forward, count - 1, f"slot{unit}") for unit in range(len(problem.units))]
        self._variables = ChoiceVariables(self._runs, self._slot, self._again, self._again_in)
        self._starts: dict[int, cp_model.IntVar] = {}
        self._position = self._positions()
        self._add_precedences()
        self._add_updates()
        uses: list[list[cp_model.IntVar]] = [[] for _ in problem.units]
        for index, tensor in enumerate(problem.tensors):
            uses[tensor.unit] += self._add_tensor(index, tensor)
        for runs, reasons in zip(self._runs, uses, strict=True):
            self._model.add_bool_or(~runs, *reasons)
        self._add_gradients()
        self._model.add_cumulative(
            [life for life, _ in self._lives], [size // ALIGNMENT for _, size in self._lives], capacity // ALIGNMENT
        )
        total = sum(each.work * runs for each, runs in zip(problem.units, self._runs, strict=True))
        found = any_order_rows(schedule, problem, capacity)
        for row in found:
            freed = sum(problem.tensors[key[0]].size // ALIGNMENT * self._again[key] for key in row.waiting)
            self._model.add(freed >= -(-row.excess // ALIGNMENT))
        self._least = least_work(problem, found)
        self._model.add(total >= self._least)
        self._model.minimize(total)

    def _positions(self) -> list[cp_model.LinearExpr]:
        """Where each node stands: forward units first, each whole, then the others."""
        model, problem = self._model, self._problem
        found: list[cp_model.LinearExpr] = []
        blocks = []
        for unit in problem.units:
            length = unit.last - unit.first + 1
            if length:
                start = model.new_int_var(0, problem.forward - length, f"position{unit.first}")
                self._starts[unit.first] = start
                blocks.append(model.new_fixed_size_interval_var(start, length, ""))
                found += [start + offset for offset in range(length)]
        for position in range(problem.forward, len(problem.nodes)):
            start = model.new_int_var(problem.forward, len(problem.nodes) - 1, f"position{position}")
            self._starts[position] = start
            blocks.append(model.new_fixed_size_interval_var(start, 1, ""))
            found.append(start)
        model.add_no_overlap(blocks)
        return found

    def _add_precedences(self) -> None:
        for position, before in enumerate(precedences(self._schedule, self._problem)):
            for other in before:
                if (other < self._problem.forward) == (position < self._problem.forward):
                    self._model.add(self._position[other] < self._position[position])

    def _add_updates(self) -> None:
        """A unit that runs again does so before any parameter that it reads is updated."""
        for unit, bounds in enumerate(self._problem.units):
            runs, slot = self._runs[unit], self._slot[unit]
            if bounds.last < bounds.first or any(position < self._problem.forward for position in bounds.updates):
                self._model.add(runs == 0)
            self._model.add(slot == self._problem.forward).only_enforce_if(~runs)
            for position in bounds.updates:
                if position >= self._problem.forward:
                    self._model.add(slot <= self._position[position]).only_enforce_if(runs)

    def _time(self, position: int) -> cp_model.LinearExpr:
        """When the first half of a node begins."""
        where, forward = self._position[position], self._problem.forward
        if position < forward:
            return where * 2
        return where * self._problem.slot_length + (self._origin + 2 * forward)

    @property
    def _origin(self) -> int:
        problem = self._problem
        return problem.time_again(0, problem.forward) - problem.slot_length * problem.forward

    def _time_again(self, position: int, unit: int) -> cp_model.LinearExpr:
        """When the first half of a forward node begins that runs again with its unit."""
        return self._slot[unit] * self._problem.slot_length + self._position[position] * 2 + self._origin

    def _live(self, start: cp_model.LinearExpr | int, end: cp_model.IntVar, size: int, here: cp_model.IntVar) -> None:
        """Memory from `start` to `end`, if it is there."""
        length = self._model.new_int_var(0, self._problem.end, "")
        self._lives.append((self._model.new_optional_interval_var(start, length, end, here, ""), size))

    def _end(self) -> cp_model.IntVar:
        return self._model.new_int_var(0, self._problem.end, "")

    def _add_gradients(self) -> None:
        """Gradients and scratch: nothing of them is computed again."""
        always = self._model.new_constant(1)
        for each in self._problem.fixed:
            start, end = self._time(each.node) + each.late, self._end()
            self._model.add(end >= self._time(each.node) + 2)
            if each.kept:
                self._model.add(end == self._problem.end)
            for read in each.reads:
                self._model.add(end >= self._time(read.position) + (2 - read.early))
            self._live(start, end, each.size, always)

    def _add_tensor(self, index: int, tensor: Tensor) -> list[cp_model.IntVar]:
        """Both lives of a tensor; the literals that say that its second computation is read."""
        model, runs = self._model, self._runs[tensor.unit]
        end, end_again = self._end(), self._end()
        here = model.new_bool_var(f"here{index}") if tensor.optional else model.new_constant(1)
        here_again = model.new_bool_var(f"here_again{index}") if tensor.optional else runs
        if tensor.last_node < tensor.node:  # the sample, there from the start
            start: cp_model.LinearExpr | int = 0
        else:
            start = self._time(tensor.node) + tensor.late
            model.add(end >= self._time(tensor.last_node) + 2)
            again = self._end()  # a variable of its own: an interval starts at a multiple of one
            model.add(again == self._time_again(tensor.node, tensor.unit) + tensor.late)
            model.add(end_again >= self._time_again(tensor.last_node, tensor.unit) + 2).only_enforce_if(here_again)
            self._live(again, end_again, tensor.size, here_again)
        self._live(start, end, tensor.size, here)
        if tensor.kept:
            model.add(end == self._problem.end)
        if tensor.optional and (tensor.forward or tensor.kept):
            model.add(here == 1)
        for read in tensor.forward:
            model.add(end >= self._time(read.position) + (2 - read.early))
        uses = [self._read(index, tensor, read, end, end_again, here) for read in tensor.backward]
        last = {self._problem.unit_of[read.position]: read for read in tensor.forward}
        uses += [self._read_again(index, tensor, reader, last[reader], end, end_again) for reader in last]
        for use in uses:
            model.add_implication(use, runs)
            model.add_implication(use, here_again)
        return uses

    def _read(
        self, index: int, tensor: Tensor, read: Read, end: cp_model.IntVar, end_again: cp_model.IntVar,
        here: cp_model.IntVar,
    ) -> cp_model.IntVar:  # fmt: skip
        """Whether a node behind the forward pass reads the second computation."""
        model, time = self._model, self._time(read.position) + (2 - read.early)
        again = model.new_bool_var(f"again{index}_{read.position}")
        self._again[index, read.position] = again
        model.add(self._slot[tensor.unit] <= self._position[read.position]).only_enforce_if(again)
        model.add(end_again >= time).only_enforce_if(again)
        model.add(end >= time).only_enforce_if(~again)
        model.add_bool_or(again, here)
        return again

    def _read_again(
        self, index: int, tensor: Tensor, reader: int, read: Read, end: cp_model.IntVar, end_again: cp_model.IntVar
    ) -> cp_model.IntVar:
        """Whether a unit that runs again reads the second computation."""
        model, time = self._model, self._time_again(read.position, reader) + (2 - read.early)
        again = model.new_bool_var(f"again_in{index}_{reader}")
        self._again_in[index, reader] = again
        model.add_implication(again, self._runs[reader])
        model.add(self._slot[tensor.unit] <= self._slot[reader]).only_enforce_if(again)
        model.add(end_again >= time).only_enforce_if(again)
        model.add(end >= time).only_enforce_if(self._runs[reader], ~again)
        return again

    def solve(self, first: Choice, effort: Effort) -> tuple[tuple[tuple[Node, ...], Choice] | None, Proof]:
        """Run the solver from the order as it is and an answer to it, which may exceed the capacity."""
        self._variables.hint(self._model, first, self._problem.forward)
        for position, start in self._starts.items():
            self._model.add_hint(start, position)
        solver = recomputing_solver(effort)
        status = solver.solve(self._model)
        if status == self._cp.INFEASIBLE:
            return None, Proof(0, infeasible=True)
        proof = Proof(max(self._least, round(solver.best_objective_bound)))
        if status not in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            return None, proof
        place = [solver.value(position) for position in self._position]
        return (in_order(self._schedule, self._problem, place), self._variables.choice(solver)), proof


def in_order(schedule: Sequence[Node], problem: Problem, place: Sequence[int]) -> tuple[Node, ...]:
    """The schedule with the nodes of `problem` in the order of `place`, each view directly behind what it views."""
    nodes = [problem.nodes[index] for index in sorted(range(len(place)), key=place.__getitem__)]
    defined = {value.name for node in nodes for value in node.outputs}
    views: dict[str, list[Node]] = {}
    for node in schedule:
        if operator_of(node).view:
            views.setdefault(node.inputs[0].name, []).append(node)
    found: list[Node] = []

    def append(node: Node) -> None:
        found.append(node)
        for value in node.outputs:
            for view in views.get(value.name, ()):
                append(view)

    made = {view.outputs[0].name for each in views.values() for view in each}
    for source, each in views.items():
        if source not in defined and source not in made:  # of parameters and inputs
            for view in each:
                append(view)
    for node in nodes:
        append(node)
    return tuple(found)
