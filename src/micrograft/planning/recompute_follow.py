"""What follows from which tensors stay, and how many bytes it takes: the search asks this thousands of times.

A tensor that stays lives until its last reader. Any other dies behind its last forward reader, and is computed
again directly before the first backward node that wants it, together with whatever that needs and is gone. Bytes are
counted as `recompute_problem.peak` counts them, with arrays instead of a walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.types import Array
from micrograft.planning.recompute_problem import Choice, Problem, Read, Tensor

_NEVER = 1 << 40
"""The slot of a unit that does not run again."""


@dataclass(frozen=True)
class Outcome:
    """What follows from a set of tensors that stay. peak: bytes. work: estimated instructions that are spent twice.

    worst: tensors that stay and are alive at the peak only because a node behind the forward pass is to read them.
    """

    stays: frozenset[int]
    peak: int
    work: int
    worst: tuple[int, ...]


class Follower:
    """Answers for one problem."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._inputs: list[list[int]] = [[] for _ in problem.units]  # tensors that a unit reads
        for index, tensor in enumerate(problem.tensors):
            for unit in sorted({problem.unit_of[read.position] for read in tensor.forward}):
                self._inputs[unit].append(index)
        self._wanted = sorted((read.position, i) for i, each in enumerate(problem.tensors) for read in each.backward)
        self._unit = [tensor.unit for tensor in problem.tensors]
        self._latest = [unit.latest for unit in problem.units]
        self._work = [unit.work for unit in problem.units]
        self._bytes = _Bytes(problem)

    def outcome(self, stays: frozenset[int]) -> Outcome:
        """The peak, the work, and what makes the peak."""
        slots, _, _ = self._slots(stays)
        peak, worst = self._bytes.count(stays, slots)
        return Outcome(stays, peak, sum(self._work[unit] for unit in slots), worst)

    def choice(self, stays: frozenset[int]) -> Choice:
        """The answer in full."""
        slots, again, again_in = self._slots(stays)
        return Choice(slots, frozenset(again), frozenset(again_in))

    def _slots(self, stays: frozenset[int]) -> tuple[dict[int, int], list[tuple[int, int]], list[tuple[int, int]]]:
        """Unit to the slot in which it runs again; who reads the second computation of a tensor."""
        unit_of, latest = self._unit, self._latest
        slots: dict[int, int] = {}
        again: list[tuple[int, int]] = []
        again_in: list[tuple[int, int]] = []
        for position, wanted in self._wanted:
            unit = unit_of[wanted]
            if wanted in stays or (unit not in slots and latest[unit] < position):
                continue
            again.append((wanted, position))
            waiting = [unit] if unit not in slots else []
            while waiting:
                unit = waiting.pop()
                if unit in slots:
                    continue
                slots[unit] = position
                for index in self._inputs[unit]:
                    source = unit_of[index]
                    if index not in stays and (source in slots or latest[source] >= position):
                        again_in.append((index, unit))
                        waiting.append(source)
        return slots, again, again_in


class _Bytes:
    """Start, end and size of every stretch of memory of a problem, as arrays; see `recompute_problem.lives`."""

    def __init__(self, problem: Problem) -> None:
        tensors = problem.tensors
        self._problem = problem
        self._size = np.array([tensor.size for tensor in tensors])
        self._unit = np.array([tensor.unit for tensor in tensors])
        self._optional = np.array([tensor.optional for tensor in tensors])
        self._start = np.array([problem.time(tensor.node) + tensor.late for tensor in tensors])
        self._least = np.array([_least_end(problem, tensor) for tensor in tensors])
        self._unread = self._optional & ~np.array([bool(tensor.forward) or tensor.kept for tensor in tensors])
        backward = [[_end(problem, read) for read in tensor.backward] for tensor in tensors]
        self._backward = np.array([max(ends, default=0) for ends in backward])
        self._again_from = np.array([2 * tensor.node + tensor.late for tensor in tensors])
        self._again_until = np.array([2 * tensor.last_node + 2 for tensor in tensors])
        edges = [(i, read) for i, tensor in enumerate(tensors) for read in tensor.forward]
        self._edge_tensor = np.array([index for index, _ in edges], dtype=np.int64)
        self._edge_reader = np.array([problem.unit_of[read.position] for _, read in edges], dtype=np.int64)
        self._edge_until = np.array([2 * read.position + 2 - read.early for _, read in edges], dtype=np.int64)
        fixed = [(2 * each.start + 1, each.size) for each in problem.fixed]
        fixed += [(2 * each.end, -each.size) for each in problem.fixed]
        self._fixed = np.array(sorted(fixed), dtype=np.int64).reshape(-1, 2)

    def count(self, stays: frozenset[int], slots: dict[int, int]) -> tuple[int, tuple[int, ...]]:
        """Bytes at the peak, and the tensors that wait there although they might have gone."""
        problem = self._problem
        staying = np.zeros(len(self._size), dtype=bool)
        staying[list(stays)] = True
        slot = np.full(len(problem.units), _NEVER)
        slot[list(slots)] = list(slots.values())
        runs = slot[self._unit] < _NEVER
        second = runs & ~staying  # whoever comes behind the second computation reads that
        late = np.where(second, 0, self._backward)
        end, end_again = np.maximum(self._least, late), np.where(second, self._backward, 0)
        origin = problem.time_again(0, problem.forward) - problem.slot_length * problem.forward
        reader = slot[self._edge_reader]
        there = reader < _NEVER
        tensor, until = self._edge_tensor[there], self._edge_until[there]
        time = origin + reader[there] * problem.slot_length + until
        takes_second = second[tensor] & (slot[self._unit[tensor]] <= reader[there])
        np.maximum.at(end, tensor[~takes_second], time[~takes_second])
        np.maximum.at(end_again, tensor[takes_second], time[takes_second])
        start_again = origin + slot[self._unit] * problem.slot_length
        here = ~(self._unread & (end <= self._least))
        here_again = runs & (~self._optional | (end_again > 0))
        end_again = np.maximum(end_again, start_again + self._again_until)
        start_again = start_again + self._again_from
        first = self._start[here], end[here], self._size[here]
        again = start_again[here_again], end_again[here_again], self._size[here_again]
        peak, moment = self._highest([first, again])
        waits = here & staying & (self._least <= moment) & (self._start <= moment) & (end > moment)
        return peak, tuple(np.nonzero(waits)[0].tolist())

    def _highest(self, lives: list[tuple[Array, Array, Array]]) -> tuple[int, int]:
        """Bytes alive at the peak, and when that is."""
        keys = np.concatenate([self._fixed[:, 0], *(part for s, e, _ in lives for part in (2 * s + 1, 2 * e))])
        changes = np.concatenate([self._fixed[:, 1], *(part for _, _, size in lives for part in (size, -size))])
        order = np.argsort(keys, kind="stable")
        alive = np.cumsum(changes[order])
        if not len(alive):
            return 0, 0
        highest = int(np.argmax(alive))
        return int(alive[highest]), int(keys[order[highest]]) // 2


def _end(problem: Problem, read: Read) -> int:
    return problem.time(read.position) + 2 - read.early


def _least_end(problem: Problem, tensor: Tensor) -> int:
    """When the first computation is over if no node behind the forward pass reads it."""
    ends: Iterator[int] = (_end(problem, read) for read in tensor.forward)
    kept = problem.end if tensor.kept else 0
    return max([problem.time(tensor.last_node) + 2, kept, *ends])
