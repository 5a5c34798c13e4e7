"""What every answer must pay: where the step as it is holds too much, something must go, and be computed again.

Each such moment is a knapsack: of the tensors that wait there for their next reader, enough must not. The cheapest
way to free one moment, taken fractionally, bounds the work of any answer from below, whatever the network's size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from micrograft.planning.recompute_problem import Choice, Problem, Tensor, lives

_ROWS = 300
"""Moments that are looked at, at most: of neighbours the worst."""


@dataclass(frozen=True)
class Row:
    """A moment. excess: bytes over the capacity. waiting: (tensor, position of its next reader) that may be dropped.

    idle: tensors that are over by then unless something that runs again is to read them; () behind the first slot,
    where that may have happened.
    """

    excess: int
    waiting: tuple[tuple[int, int], ...]
    idle: tuple[int, ...]


def rows(problem: Problem, capacity: int) -> list[Row]:
    """The moments at which the step as it is holds more than `capacity` bytes."""
    times, totals = _profile(problem)
    worst: dict[int, tuple[int, int]] = {}  # the last change of what waits, to (excess, position)
    changes = _changes(problem)
    for position in range(len(problem.nodes)):
        excess = totals[bisect_right(times, problem.time(position)) - 1] - capacity
        if excess > 0:
            key = bisect_right(changes, position)
            worst[key] = max(worst.get(key, (0, 0)), (excess, position))
    found = list(worst.values())
    step = -(-len(found) // _ROWS) or 1
    chosen = [max(found[start : start + step]) for start in range(0, len(found), step)]
    return [_row(problem, excess, position) for excess, position in chosen]


def least_work(problem: Problem, found: Sequence[Row]) -> int:
    """Estimated instructions that any answer spends twice, at least."""
    return max((_fractional(problem, row) for row in found), default=0)


def _fractional(problem: Problem, row: Row) -> int:
    """The cheapest way to free a moment, if units could run in part."""
    bytes_of: dict[int, int] = {}
    for index, _ in row.waiting:
        tensor = problem.tensors[index]
        if problem.units[tensor.unit].latest < problem.forward:
            continue  # never computed again
        bytes_of[tensor.unit] = bytes_of.get(tensor.unit, 0) + tensor.size
    left, spent = float(row.excess), 0.0
    for unit in sorted(bytes_of, key=lambda unit: problem.units[unit].work / bytes_of[unit]):
        part = min(1.0, left / bytes_of[unit])
        spent += part * problem.units[unit].work
        left -= part * bytes_of[unit]
        if left <= 0:
            break
    return int(spent)


def least_end(problem: Problem, tensor: Tensor) -> int:
    """When the first computation of a tensor is over at the earliest."""
    if tensor.kept:
        return problem.end
    if tensor.optional and not tensor.forward:
        return problem.time(tensor.node)
    reads = (problem.time(read.position) + 2 - read.early for read in tensor.forward)
    return max([problem.time(tensor.last_node) + 2, *reads])


def _profile(problem: Problem) -> tuple[list[int], list[int]]:
    """Times at which the bytes alive change, and how many there are from then on, with nothing computed again."""
    changes: dict[int, int] = {}
    for start, end, size in lives(problem, Choice()):
        changes[start] = changes.get(start, 0) + size
        changes[end] = changes.get(end, 0) - size
    times = sorted(changes)
    return times, list(accumulate(changes[time] for time in times))


def _changes(problem: Problem) -> list[int]:
    """Positions from which on another set of tensors waits."""
    backward = {read.position + 1 for tensor in problem.tensors for read in tensor.backward}
    return sorted({*range(problem.forward), *backward})


def _row(problem: Problem, excess: int, position: int) -> Row:
    time = problem.time(position)
    waiting = tuple(_waiting(problem, time))
    if position > problem.forward:
        return Row(excess, waiting, ())
    there = {index for index, _ in waiting}
    idle = (i for i, each in enumerate(problem.tensors) if i not in there and least_end(problem, each) <= time)
    return Row(excess, waiting, tuple(i for i in idle if problem.tensors[i].forward))


def _waiting(problem: Problem, time: int) -> Iterator[tuple[int, int]]:
    """Tensors that are there for a backward reader alone, and where that stands."""
    for index, tensor in enumerate(problem.tensors):
        if problem.time(tensor.node) + tensor.late <= time and least_end(problem, tensor) <= time:
            ends = ((problem.time(read.position) + 2 - read.early, read.position) for read in tensor.backward)
            later = [position for end, position in ends if end > time]
            if later:
                yield index, min(later)
