"""An integer programme of what is computed again, that counts bytes at chosen moments only.

At a moment that is counted everything is: first computations that are held, and second ones that have begun and are
still to be read. So no answer has less work than its optimum, and an optimum that is within the capacity at all other
moments too is the best answer in this order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from micrograft.planning.plan import ALIGNMENT
from micrograft.planning.recompute_bound import Row, least_end
from micrograft.planning.recompute_problem import Choice, Problem, Read, Tensor

if TYPE_CHECKING:
    from ortools.linear_solver.python import model_builder

    Linear = model_builder.LinearExpr | int


class Programme:
    """Whether a unit runs again, and has by the end of a slot; which computation a reader reads; whether the first one
    is held behind the forward pass."""

    def __init__(self, problem: Problem, capacity: int) -> None:
        from ortools.linear_solver.python import model_builder

        self._problem = problem
        self._capacity = capacity
        self.model = model_builder.Model()  # type: ignore[no-untyped-call]  # of ortools
        self._runs = [self.model.new_bool_var("") for _ in problem.units]
        self._held = [self.model.new_num_var(0, 1, "") for _ in problem.tensors]
        self._again: dict[tuple[int, int], model_builder.Variable] = {}
        self._again_in: dict[tuple[int, int], model_builder.Variable] = {}
        self._done: dict[int, list[Linear]] = {}  # slot to, for each unit, whether it has run again by its end
        self._forward = [{problem.unit_of[read.position]: read for read in each.forward} for each in problem.tensors]
        self._backward = [sorted(each.backward, key=lambda read: read.position) for each in problem.tensors]
        self._repeats = [unit.latest >= problem.forward for unit in problem.units]
        for runs, repeats in zip(self._runs, self._repeats, strict=True):
            if not repeats:
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
        for read in self._backward[index]:
            again = self.model.new_bool_var("")
            self.model.add(again <= runs)
            self.model.add(again + held >= 1)
            if before is not None:
                self.model.add(before <= again)
            self._again[index, read.position] = before = again
        for reader in self._forward[index]:
            self.model.add(runs + held >= self._runs[reader])

    def _add_repeated_reads(self) -> None:
        """The same of readers that run again: needed once it counts which computation each of them reads."""
        for index, tensor in enumerate(self._problem.tensors):
            for reader in self._forward[index]:
                again = self.model.new_bool_var("")
                self.model.add(again <= self._runs[tensor.unit])
                self.model.add(again <= self._runs[reader])
                self.model.add(again + self._held[index] >= self._runs[reader])
                self._again_in[index, reader] = again

    def free(self, row: Row) -> None:
        """Enough must be let go at a moment; what second computations hold there is not counted."""
        words = [tensor.size // ALIGNMENT for tensor in self._problem.tensors]
        if row.idle:
            parts = [words[index] * (1 - self._held[index]) for index, _ in row.waiting]
            parts += [-words[index] * self._held[index] for index in row.idle]
        else:
            parts = [words[key[0]] * self._again[key] for key in row.waiting]
        self.model.add(sum(parts) >= -(-row.excess // ALIGNMENT))

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
            slot = (time - problem.time_again(0, problem.forward)) // problem.slot_length + problem.forward
            moment = _Moment(time, time - problem.time_again(0, slot), self._ran(slot - 1), self._ran(slot))
            for index, tensor in enumerate(problem.tensors):
                alive += tensor.size * tensor.kept
                bounds = [] if tensor.kept else [list(self._first(index, moment))]
                bounds.append(list(self._second(index, moment)))
                parts += [tensor.size // ALIGNMENT * self._largest(each) for each in bounds if each]
        self.model.add(sum(parts) <= (self._capacity - alive) // ALIGNMENT)

    def _ran(self, slot: int) -> list[Linear]:
        """For each unit, whether it has run again by the end of a slot."""
        problem = self._problem
        if slot < problem.forward:
            return [0] * len(problem.units)
        if slot not in self._done:
            found: list[Linear] = []
            for unit, repeats, runs in zip(problem.units, self._repeats, self._runs, strict=True):
                found.append(0 if not repeats else runs if slot >= unit.latest else self.model.new_bool_var(""))
            self._add_sequence(slot, found)
            for index in range(len(problem.tensors)):
                self._add_reads_by(index, slot, found)
            self._done[slot] = found
        return self._done[slot]

    def _add_sequence(self, slot: int, found: Sequence[Linear]) -> None:
        """What has run stays so."""
        earlier = max((each for each in self._done if each < slot), default=None)
        later = min((each for each in self._done if each > slot), default=None)
        for unit, done in enumerate(found):
            if self._repeats[unit]:
                self.model.add(done - (self._runs if later is None else self._done[later])[unit] <= 0)
                if earlier is not None:
                    self.model.add(self._done[earlier][unit] - done <= 0)

    def _add_reads_by(self, index: int, slot: int, found: Sequence[Linear]) -> None:
        """A second computation is there before it is read; but for a mask, whoever comes behind it reads it."""
        tensor = self._problem.tensors[index]
        done = found[tensor.unit]
        for read in self._backward[index]:
            again = self._again[index, read.position]
            if read.position <= slot:
                self.model.add(again - done <= 0)
            elif not tensor.optional:
                self.model.add(again - done >= 0)
        for reader in self._forward[index]:
            again = self._again_in[index, reader]
            self.model.add(done - found[reader] - again >= -1)
            if not tensor.optional:
                self.model.add(again - done - self._runs[reader] + found[reader] >= -1)

    def _first(self, index: int, moment: _Moment) -> Iterator[Linear]:
        """Lower bounds of whether the first computation is alive: it is if any of them is 1."""
        for read in self._backward[index]:
            if self._problem.time(read.position) + 2 - read.early > moment.time:
                yield 1 - self._again[index, read.position]
                break
        for reader, read in self._forward[index].items():
            over = moment.over(reader, read)
            if self._repeats[reader] and over is not self._runs[reader]:
                yield self._runs[reader] - self._again_in[index, reader] - over

    def _second(self, index: int, moment: _Moment) -> Iterator[Linear]:
        """The same of the second computation."""
        tensor = self._problem.tensors[index]
        begun = moment.ran(tensor.unit, 2 * tensor.node + tensor.late)
        if isinstance(begun, int):
            return
        ends = [(self._problem.time(read.position) + 2 - read.early, read.position) for read in self._backward[index]]
        later = [position for end, position in ends if end > moment.time]
        if later and not tensor.optional:
            yield begun
            return
        if later:
            yield begun + self._again[index, later[-1]] - 1
        computed = moment.ran(tensor.unit, 2 * tensor.last_node + 2)
        if computed is not begun and not tensor.optional:
            yield begun - computed
        for reader, read in self._forward[index].items():
            over = moment.over(reader, read)
            if self._repeats[reader] and over is not self._runs[reader]:
                yield begun + self._again_in[index, reader] - over - 1

    def _largest(self, bounds: Sequence[Linear]) -> Linear:
        found = self.model.new_num_var(0, 1, "")
        for each in bounds:
            self.model.add(found - each >= 0)
        return found

    def gone(self, solver: model_builder.Solver) -> frozenset[int]:
        """Tensors of which a node behind the forward pass reads the second computation."""
        return frozenset(index for (index, _), again in self._again.items() if solver.value(again) > 0.5)

    def choice(self, solver: model_builder.Solver) -> Choice:
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
        for slot, done in self._done.items():
            for unit, literal in enumerate(done):
                if literal is not self._runs[unit] and not isinstance(literal, int) and solver.value(literal) > 0.5:
                    wanted.setdefault(unit, []).append(slot)
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
    """time: of the moment. offset: in its slot. Which units have run by the end of the slot before, and by its own."""

    def __init__(self, time: int, offset: int, before: Sequence[Linear], now: Sequence[Linear]) -> None:
        self.time = time
        self._offset = offset
        self._before = before
        self._now = now

    def ran(self, unit: int, offset: int) -> Linear:
        """Whether a unit has run so far in its slot."""
        return (self._now if offset <= self._offset else self._before)[unit]

    def over(self, reader: int, read: Read) -> Linear:
        """Whether a unit that runs again has read."""
        return self.ran(reader, 2 * read.position + 2 - read.early)
