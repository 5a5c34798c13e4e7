"""First answers to what is computed again, by a dynamic programme that takes the forward pass for a chain.

The chain is cut into segments (arXiv:1604.06174). What crosses a cut stays; when the backward pass reaches a segment,
all of it is computed again. Which cuts cost least work within a capacity follows from three sums for each segment, in
time that grows with the number of units times the longest segment. The sums leave out what is short-lived, so an answer
is only a proposal: the exact model judges it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from micrograft.ir.types import Array
from micrograft.planning.recompute_problem import Problem

_LEVELS = 128
"""Steps in which the bytes that stay are counted."""

_LONGEST = 96
"""Units of a segment, at most."""


def chain_answer(problem: Problem, capacity: int) -> frozenset[int] | None:
    """The tensors that stay where the chain is cut best for so many bytes; None where no cuts would do."""
    cuts = _Chain(problem, capacity).cuts()
    return None if cuts is None else frozenset(_staying(problem, cuts))


def _staying(problem: Problem, cuts: list[int]) -> Iterator[int]:
    """Tensors that cross a cut, and all of the last segment."""
    for index, tensor in enumerate(problem.tensors):
        last = max((problem.unit_of[read.position] for read in tensor.forward), default=tensor.unit)
        if tensor.unit >= cuts[-1] or any(tensor.unit < cut <= last for cut in cuts):
            yield index


@dataclass(frozen=True)
class _Unit:
    """Bytes that a unit leaves for the backward pass, work, the last unit that reads it, gradients alive meanwhile."""

    wanted: int
    main: int
    work: int
    last_reader: int
    beside: int


class _Chain:
    """Least work to reach each cut, by the bytes that stay by then."""

    def __init__(self, problem: Problem, capacity: int) -> None:
        self._capacity = capacity
        self._step = max(1, -(-capacity // _LEVELS))
        self._units = list(_units(problem))

    def cuts(self) -> list[int] | None:
        """Where segments begin, the first one at 0."""
        count = len(self._units)
        best: list[Array] = [np.full(_LEVELS + 1, np.inf) for _ in range(count + 1)]
        origin = [np.full(_LEVELS + 1, -1) for _ in range(count + 1)]
        best[0][0] = 0.0
        ends: list[tuple[float, int, int]] = []
        for start in range(count):
            for stop, kept, alive, work in self._segments(start):
                room = (self._capacity - alive) // self._step  # levels that may be taken before it
                if room < 0:
                    break
                reachable = best[start][: min(room, _LEVELS) + 1]
                if stop == count:
                    level = int(np.argmin(reachable))
                    if np.isfinite(reachable[level]):
                        ends.append((float(reachable[level]), start, level))
                    continue
                shift = -(-kept // self._step)
                if shift > _LEVELS:
                    continue
                costs = reachable[: _LEVELS + 1 - shift] + work
                there = best[stop][shift : shift + len(costs)]
                better = costs < there
                origin[stop][shift : shift + len(costs)][better] = start * (_LEVELS + 1) + np.nonzero(better)[0]
                there[better] = costs[better]
        if not ends:
            return None
        _, start, level = min(ends)
        found = [start]
        while start > 0:
            start, level = divmod(int(origin[start][level]), _LEVELS + 1)
            found.append(start)
        return found[::-1]

    def _segments(self, start: int) -> Iterator[tuple[int, int, int, int]]:
        """For each segment that begins at a unit: its end, bytes that stay behind it, bytes while it is alive, work."""
        alive = beside = work = 0
        for stop in range(start + 1, min(start + _LONGEST, len(self._units)) + 1):
            unit = self._units[stop - 1]
            alive += unit.wanted
            work += unit.work
            beside = max(beside, unit.beside)
            crossing = [each for each in self._units[start:stop] if each.last_reader >= stop]
            kept = sum(each.main for each in crossing)
            unseen = sum(each.main for each in crossing if not each.wanted)
            yield stop, kept, alive + unseen + beside, work - sum(each.work for each in crossing)


def _units(problem: Problem) -> Iterator[_Unit]:
    wanted = [0] * len(problem.units)
    main = [0] * len(problem.units)
    last = list(range(len(problem.units)))
    beside = [0] * len(problem.units)
    gradients = _gradients(problem)
    for tensor in problem.tensors:
        if not tensor.optional:
            main[tensor.unit] += tensor.size
        if tensor.backward:
            wanted[tensor.unit] += tensor.size
        for read in tensor.forward:
            last[tensor.unit] = max(last[tensor.unit], problem.unit_of[read.position])
        for read in tensor.backward:
            beside[tensor.unit] = max(beside[tensor.unit], gradients[read.position - problem.forward])
    for unit, each in enumerate(problem.units):
        yield _Unit(wanted[unit], main[unit], each.work, last[unit], beside[unit])


def _gradients(problem: Problem) -> list[int]:
    """For each node behind the forward pass, the bytes beside the tensors that are alive while it runs."""
    changes: dict[int, int] = {}
    for each in problem.fixed:
        changes[each.start] = changes.get(each.start, 0) + each.size
        changes[each.end] = changes.get(each.end, 0) - each.size
    times = sorted(changes)
    totals = list(accumulate(changes[time] for time in times))
    found, index, alive = [], 0, 0
    for position in range(problem.forward, len(problem.nodes)):
        end = problem.time(position) + 2
        peak = alive
        while index < len(times) and times[index] < end:
            alive = totals[index]
            peak = max(peak, alive)
            index += 1
        found.append(peak)
    return found
