"""An integer programme of what is computed again, that counts bytes at chosen moments only.

At a moment that is counted everything is: first computations that are held, and second ones that have begun and are
still to be read. So no answer has less work than its optimum, and an optimum that is within the capacity at all other
moments too is the best answer in this order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from micrograft.planning.plan import ALIGNMENT
from micrograft.planning.recompute_bound import Row, least_end
from micrograft.planning.recompute_problem import Choice, Problem, Read, Tensor

if TYPE_CHECKING:
    from ortools.linear_solver.python import model_builder

    Linear = model_builder.LinearExpr | int
    Bound = tuple[Linear, bool]
    """What something is at least, and whether that may be negative."""


_SETTINGS = "misc/catchctrlc=FALSE\npresolving/donotmultaggr=TRUE"
"""Of the solver: interrupts are Python's; counts of equal units stay variables."""

_NODES = 2_000_000
"""Nodes of the solver's search tree, at most, times inequalities: one of a larger programme takes longer."""

_LARGE = 5_000
"""Inequalities above which it takes longer still, and there are fewer again."""

TOLERANCE = 1e-7
"""Of the solver, as a share: it counts in double precision."""


@dataclass(frozen=True)
class Optimum:
    """choice: what was found. bound: there is none with less work, rounded down. ended: whether it is as good as was
    asked for, rather than the best by the time that the solver gave up."""

    choice: Choice
    bound: int
    ended: bool


class Programme:
    """Whether a unit runs again, and has by the end of a slot; which computation a reader reads; whether the first one
    is held behind the forward pass."""

    def __init__(self, problem: Problem, capacity: int, *, alike: bool = True) -> None:
        """alike: count units of equal work, which proves far more; without, answers are spread more evenly."""
        from ortools.linear_solver.python import model_builder

        self._problem = problem
        self._capacity = capacity
        self._model = model_builder.Model()  # type: ignore[no-untyped-call]  # of ortools
        self._runs = [self._model.new_bool_var("") for _ in problem.units]
        self._held = [self._model.new_num_var(0, 1, "") for _ in problem.tensors]
        self._again: dict[tuple[int, int], model_builder.Variable] = {}
        self._again_in: dict[tuple[int, int], model_builder.Variable] = {}
        self._done: list[dict[int, Linear]] = [{} for _ in problem.units]  # slot to whether it has run by its end
        self._forward = [{problem.unit_of[read.position]: read for read in each.forward} for each in problem.tensors]
        self._backward = [sorted(each.backward, key=lambda read: read.position) for each in problem.tensors]
        self._leaves: list[list[int]] = [[] for _ in problem.units]  # tensors that a unit leaves
        for index, tensor in enumerate(problem.tensors):
            self._leaves[tensor.unit].append(index)
        self._repeats = [unit.latest >= problem.forward for unit in problem.units]
        for runs, repeats in zip(self._runs, self._repeats, strict=True):
            if not repeats:
                self._model.add(runs <= 0)
        for index, tensor in enumerate(problem.tensors):
            self._add_reads(index, tensor)
        self._unit_of_work = math.gcd(*(unit.work for unit in problem.units)) or 1
        apart = ((unit.work, runs) for unit, runs in zip(problem.units, self._runs, strict=True))
        works = self._counts() if alike else apart
        self._model.minimize(sum(work // self._unit_of_work * count for work, count in works))

    def _counts(self) -> Iterator[tuple[int, model_builder.Variable]]:
        """Work, and how many of the units that take so much run again: a branch on that settles more than one on any
        of them, where a network repeats itself."""
        equals: dict[int, list[model_builder.Variable]] = {}
        for unit, runs, repeats in zip(self._problem.units, self._runs, self._repeats, strict=True):
            if repeats:
                equals.setdefault(unit.work, []).append(runs)
        for work, equal in equals.items():
            count = self._model.new_int_var(0, len(equal), "")
            self._model.add(count == sum(equal))
            yield work, count

    def _add_reads(self, index: int, tensor: Tensor) -> None:
        """A reader reads the second computation or one that is held; once there is a second one, it is read."""
        runs, held = self._runs[tensor.unit], self._held[index]
        before = None
        for read in self._backward[index]:
            again = self._model.new_bool_var("")
            self._model.add(again <= runs)
            self._model.add(again + held >= 1)
            if before is not None:
                self._model.add(before <= again)
            self._again[index, read.position] = before = again
        for reader in self._forward[index]:
            self._model.add(runs + held >= self._runs[reader])

    def _add_repeated_reads(self) -> None:
        """The same of readers that run again: needed once it counts which computation each of them reads."""
        for index, tensor in enumerate(self._problem.tensors):
            for reader in self._forward[index]:
                again = self._model.new_bool_var("")
                self._model.add(again <= self._runs[tensor.unit])
                self._model.add(again <= self._runs[reader])
                self._model.add(again + self._held[index] >= self._runs[reader])
                self._again_in[index, reader] = again

    def free(self, row: Row) -> None:
        """Enough must be let go at a moment; what second computations hold there is not counted."""
        words = [tensor.size // ALIGNMENT for tensor in self._problem.tensors]
        if row.idle:
            parts = [words[index] * (1 - self._held[index]) for index, _ in row.waiting]
            parts += [-words[index] * self._held[index] for index in row.idle]
        else:
            parts = [words[key[0]] * self._again[key] for key in row.waiting]
        self._model.add(sum(parts) >= -(-row.excess // ALIGNMENT))

    def count(self, time: int) -> None:
        """What is alive at a moment is within the capacity."""
        if not self._again_in:
            self._add_repeated_reads()
        problem = self._problem
        alive = sum(each.size for each in problem.fixed if each.start <= time < each.end)
        parts: list[Linear] = []
        if time < problem.time_again(0, problem.forward):
            for index, tensor in enumerate(problem.tensors):
                if least_end(problem, tensor) > time >= problem.time(tensor.node) + tensor.late:
                    alive += tensor.size
                elif problem.time(tensor.node) + tensor.late <= time:
                    parts.append(tensor.size // ALIGNMENT * self._held[index])
        else:
            moment = self._add_moment(time)
            for index, tensor in enumerate(problem.tensors):
                alive += tensor.size * tensor.kept
                bounds = [] if tensor.kept else [list(self._first(index, moment))]
                bounds.append(list(self._second(index, moment)))
                parts += [tensor.size // ALIGNMENT * self._largest(each) for each in bounds if each]
        self._model.add(sum(parts) <= (self._capacity - alive) // ALIGNMENT)

    def _add_moment(self, time: int) -> _Moment:
        """Which units have begun to run again by a moment, which are over, and what follows for their readers."""
        problem = self._problem
        slot, offset = divmod(time - problem.time_again(0, problem.forward), problem.slot_length)
        slot += problem.forward
        begun: list[Linear] = [0] * len(problem.units)
        over: list[Linear] = [0] * len(problem.units)
        reads = [False] * len(problem.units)  # whether it may run again later
        for number, unit in reversed(list(enumerate(problem.units))):
            if not self._repeats[number]:
                continue
            leaves, runs = self._leaves[number], self._runs[number]
            last = max((read.position for index in leaves for read in self._backward[index]), default=-1)
            wanted = any(reads[reader] for index in leaves for reader in self._forward[index])
            for ran, half in ((begun, 2 * unit.first), (over, 2 * unit.last + 2)):
                until = slot - (half > offset)
                ran[number] = self._ran(number, until) if wanted or last > until else runs  # nobody runs for nothing
            reads[number] = over[number] is not runs
        for index, tensor in enumerate(problem.tensors):
            for reader in self._forward[index]:
                if not (self._repeats[tensor.unit] and self._repeats[reader]):
                    continue
                again = self._again_in[index, reader]
                if over[tensor.unit] is not self._runs[tensor.unit]:
                    self._model.add(over[tensor.unit] >= begun[reader] + again - self._runs[reader])
                if not tensor.optional and over[reader] is not self._runs[reader]:
                    self._model.add(again - begun[tensor.unit] - self._runs[reader] + over[reader] >= -1)
        return _Moment(time, offset, begun, over)

    def _ran(self, unit: int, slot: int) -> Linear:
        """Whether a unit has run again by the end of a slot."""
        if not self._repeats[unit] or slot < self._problem.forward:
            return 0
        if slot >= self._problem.units[unit].latest:
            return self._runs[unit]
        known = self._done[unit]
        if slot not in known:
            done = self._model.new_bool_var("")
            earlier = max((each for each in known if each < slot), default=None)
            later = min((each for each in known if each > slot), default=None)
            self._model.add(done <= (self._runs[unit] if later is None else known[later]))
            if earlier is not None:
                self._model.add(known[earlier] <= done)
            for index in self._leaves[unit]:
                self._add_reads_by(index, slot, done)
            known[slot] = done
        return known[slot]

    def _add_reads_by(self, index: int, slot: int, done: model_builder.Variable) -> None:
        """A second computation is there before it is read; but for a mask, whoever comes behind it reads it."""
        before = [read.position for read in self._backward[index] if read.position <= slot]
        behind = [read.position for read in self._backward[index] if read.position > slot]
        if before:
            self._model.add(self._again[index, before[-1]] <= done)
        if behind and not self._problem.tensors[index].optional:
            self._model.add(done <= self._again[index, behind[0]])

    def _first(self, index: int, moment: _Moment) -> Iterator[Bound]:
        """Lower bounds of whether the first computation is alive: it is if any of them is 1."""
        for read in self._backward[index]:
            if self._problem.time(read.position) + 2 - read.early > moment.time:
                yield 1 - self._again[index, read.position], False
                break
        for reader, read in self._forward[index].items():
            over = moment.over(reader, read)
            if self._repeats[reader] and over is not self._runs[reader]:
                yield self._runs[reader] - self._again_in[index, reader] - over, True

    def _second(self, index: int, moment: _Moment) -> Iterator[Bound]:
        """The same of the second computation."""
        tensor = self._problem.tensors[index]
        begun = moment.ran(tensor.unit, 2 * tensor.node + tensor.late)
        if isinstance(begun, int):
            return
        ends = [(self._problem.time(read.position) + 2 - read.early, read.position) for read in self._backward[index]]
        later = [position for end, position in ends if end > moment.time]
        if later and not tensor.optional:
            yield begun, False
            return
        if later:
            yield begun + self._again[index, later[-1]] - 1, True
        computed = moment.ran(tensor.unit, 2 * tensor.last_node + 2)
        if computed is not begun and not tensor.optional:
            yield begun - computed, False
        overs = []
        for reader, read in self._forward[index].items():
            if self._repeats[reader]:
                overs.append(over := moment.over(reader, read))
                if over is not self._runs[reader]:
                    yield begun + self._again_in[index, reader] - over - 1, True
        if overs and not later and computed is begun:
            yield begun - sum(overs) - sum(self._other_reads(index)), True

    def _other_reads(self, index: int) -> Iterator[Linear]:
        """Why its unit runs again, but for forward units that read this tensor."""
        for other in self._leaves[self._problem.tensors[index].unit]:
            yield from (self._again[other, read.position] for read in self._backward[other])
            if other != index:
                yield from (self._again_in[other, reader] for reader in self._forward[other])

    def _largest(self, bounds: Sequence[Bound]) -> Linear:
        """What is at least 0 and each of these."""
        if len(bounds) == 1 and not bounds[0][1]:
            return bounds[0][0]
        found = self._model.new_num_var(0, 1, "")
        for each, _ in bounds:
            self._model.add(found - each >= 0)
        return found

    @property
    def size(self) -> int:
        """Inequalities."""
        return self._model.num_constraints

    def solve(self, known: int = 0, gap: float = 0.0, share: float = 1.0) -> Optimum | None:
        """SCIP, of ortools; None where it found nothing. Deterministic.

        known: a bound of the work. gap: a share of the work by which what is found may exceed that bound or its own.
        share: of the search that is done before the solver gives up.
        """
        from ortools.linear_solver.python import model_builder

        nodes = int(share * _NODES / self.size * min(1, _LARGE / self.size))
        enough = known / self._unit_of_work * (1 + gap) + 0.5  # what is minimized is whole
        solver = model_builder.Solver("scip")
        limits = f"limits/nodes={nodes}\nlimits/gap={gap}\nlimits/primal={enough}"
        solver.set_solver_specific_parameters(f"{limits}\n{_SETTINGS}")
        status = solver.solve(self._model)
        if status not in (model_builder.SolveStatus.OPTIMAL, model_builder.SolveStatus.FEASIBLE):
            return None
        ended = status == model_builder.SolveStatus.OPTIMAL or bool(solver.objective_value <= enough)
        bound = math.ceil(solver.best_objective_bound * (1 - TOLERANCE) - TOLERANCE)
        return Optimum(self._choice(solver), self._unit_of_work * bound, ended)

    def _choice(self, solver: model_builder.Solver) -> Choice:
        """What was found; each unit runs as late as its readers and the moments that are counted allow."""
        tensors = self._problem.tensors
        again = {key for key, literal in self._again.items() if solver.value(literal) > 0.5}
        runs = [solver.value(each) > 0.5 for each in self._runs]
        again_in = {key for key, literal in self._again_in.items() if solver.value(literal) > 0.5}
        if not self._again_in:
            pairs = ((index, reader) for index, readers in enumerate(self._forward) for reader in readers)
            again_in = {(index, reader) for index, reader in pairs if runs[tensors[index].unit] and runs[reader]}
        wanted: dict[int, list[int]] = {}
        for index, position in again:
            wanted.setdefault(tensors[index].unit, []).append(position)
        for unit, done in enumerate(self._done):
            wanted.setdefault(unit, []).extend(slot for slot, ran in done.items() if solver.value(ran) > 0.5)
        slots: dict[int, int] = {}
        readers: dict[int, list[int]] = {}
        for index, reader in again_in:
            readers.setdefault(tensors[index].unit, []).append(reader)
        for unit in reversed(range(len(self._problem.units))):
            needs = wanted.get(unit, []) + [slots[reader] for reader in readers.get(unit, ()) if reader in slots]
            if needs and runs[unit]:
                slots[unit] = min(*needs, self._problem.units[unit].latest)
        return self._read_as_soon(slots, again, again_in)

    def _read_as_soon(
        self, slots: dict[int, int], again: set[tuple[int, int]], again_in: set[tuple[int, int]]
    ) -> Choice:
        """But for masks, whoever comes behind a second computation reads that."""
        for index, tensor in enumerate(self._problem.tensors):
            slot = slots.get(tensor.unit)
            if slot is not None and not tensor.optional:
                again |= {(index, read.position) for read in tensor.backward if read.position >= slot}
                again_in |= {(index, reader) for reader in self._forward[index] if slots.get(reader, -1) >= slot}
        there = [tensor.unit in slots for tensor in self._problem.tensors]
        again_in = {(index, reader) for index, reader in again_in if there[index] and reader in slots}
        return Choice(slots, frozenset(key for key in again if there[key[0]]), frozenset(again_in))


class _Moment:
    """time: of the moment. offset: in its slot. Which units have begun to run again, and which are over."""

    def __init__(self, time: int, offset: int, begun: Sequence[Linear], over: Sequence[Linear]) -> None:
        self.time = time
        self._offset = offset
        self._begun = begun
        self._over = over

    def ran(self, unit: int, offset: int) -> Linear:
        """Whether a unit has run so far in its slot."""
        return (self._begun if offset <= self._offset else self._over)[unit]

    def over(self, reader: int, read: Read) -> Linear:
        """Whether a unit that runs again has read."""
        return self.ran(reader, 2 * read.position + 2 - read.early)
