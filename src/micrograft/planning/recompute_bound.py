"""What every answer must pay: where the step as it is holds too much, something must go, and be computed again.

Each such moment is a knapsack: of the tensors that wait there for their next reader, enough must not. The cheapest
way to free one moment bounds the work of any answer from below, whatever the network's size.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Node
from micrograft.planning.recompute_problem import Choice, Fixed, Problem, Read, Tensor, precedences, profile

_ROWS = 600
"""Moments that are looked at, at most: of neighbours the worst."""

_GROUPS = 300
"""The same of moments that there are in every order."""

_KNAPSACKS = 5
"""Moments whose knapsack is solved, at most: those that cost most if units could run in part."""

_LEVELS = 65536
"""Steps in which its bytes are counted, at most."""


@dataclass(frozen=True)
class Row:
    """A moment. excess: bytes over the capacity. waiting: (tensor, position of its next reader) that may be dropped.

    idle: tensors that are over by then unless something that runs again is to read them; () behind the first slot,
    where that may have happened. time: of the moment, in an order.
    """

    excess: int
    waiting: tuple[tuple[int, int], ...]
    idle: tuple[int, ...]
    time: int = 0


def rows(problem: Problem, capacity: int) -> list[Row]:
    """The moments at which the step as it is holds more than `capacity` bytes."""
    alive = list(profile(problem, Choice()))
    times = [time for time, _ in alive]
    worst: dict[int, tuple[int, int]] = {}  # the last change of what waits, to (excess, position)
    changes = _changes(problem)
    for position in range(len(problem.nodes)):
        excess = alive[bisect_right(times, problem.time(position)) - 1][1] - capacity
        if excess > 0:
            key = bisect_right(changes, position)
            worst[key] = max(worst.get(key, (0, 0)), (excess, position))
    found = list(worst.values())
    step = -(-len(found) // _ROWS) or 1
    chosen = [max(found[start : start + step]) for start in range(0, len(found), step)]
    return [_row(problem, excess, position) for excess, position in chosen]


def any_order_rows(schedule: Sequence[Node], problem: Problem, capacity: int) -> list[Row]:
    """Moments that there are in every order of the nodes, and at which every such order holds too much.

    Of some nodes, those that read one gradient, say, one runs first. Then whatever any of them reads, or a node that
    must come later, is there, or was there and is computed again; so is what the first one reads and writes itself.
    """
    needs = precedences(schedule, problem)
    later, earlier = _followers(needs), _predecessors(needs)
    groups = [1 << position for position in range(problem.forward, len(problem.nodes))]
    groups += [_mask(each.reads) for each in problem.fixed if len(each.reads) > 1]
    reads = [0 if tensor.kept else _mask(tensor.backward) for tensor in problem.tensors]
    gradients = [(each, 1 << each.node, _mask(each.reads)) for each in problem.fixed]
    found = []
    for group in list(dict.fromkeys(groups))[:: -(-len(groups) // _GROUPS)]:
        members = [position for position in range(problem.forward, group.bit_length()) if group >> position & 1]
        pending, written = group, -1
        for position in members:
            pending |= later[position]
            written &= earlier[position]
        waiting = [(index, read & pending) for index, read in enumerate(reads) if read & pending]
        held = [each for each, node, read in gradients if node & written and read & pending]
        own = min(_least_held(problem, held, position, pending) for position in members)
        excess = own + sum(problem.tensors[index].size for index, _ in waiting) - capacity
        if excess > 0:  # any reader that is to come will do for the next one
            found.append(Row(excess, tuple((index, read.bit_length() - 1) for index, read in waiting), ()))
    return found


def _least_held(problem: Problem, held: Sequence[Fixed], first: int, pending: int) -> int:
    """Bytes of gradients and scratch that are there while the node `first` runs, before the others of `pending`.

    held: written by then, with a reader that is to come.
    """
    own = [each for each in problem.fixed if each.node == first]
    overwritten = sum(
        each.size for each in held if any(read.position == first and read.early for read in each.reads)
        and not _mask(each.reads) & pending & ~(1 << first)
    )  # fmt: skip
    before = sum(each.size for each in held)
    early = sum(each.size for each in own if not each.late)
    return max(before + early, before - overwritten + sum(each.size for each in own))


def _mask(reads: Iterable[Read]) -> int:
    """A set of positions as the bits of a number."""
    found = 0
    for read in reads:
        found |= 1 << read.position
    return found


def _followers(needs: Sequence[set[int]]) -> list[int]:
    """For each node, those that must run behind it."""
    found = [0] * len(needs)
    for position in range(len(needs) - 1, -1, -1):
        for other in needs[position]:
            found[other] |= found[position] | 1 << position
    return found


def _predecessors(needs: Sequence[set[int]]) -> list[int]:
    """For each node, those that must run before it."""
    found: list[int] = []
    for before in needs:
        mask = 0
        for other in before:
            mask |= found[other] | 1 << other
        found.append(mask)
    return found


def impossible(problem: Problem, found: Sequence[Row]) -> bool:
    """Whether some moment holds too much, whatever is computed again."""
    return any(sum(size for size, _ in _freed(problem, row)) < row.excess for row in found)


def least_work(problem: Problem, found: Sequence[Row]) -> int:
    """Estimated instructions that any answer spends twice, at least."""
    worst = sorted(found, key=lambda row: _fractional(problem, row), reverse=True)[:_KNAPSACKS]
    return max((max(_fractional(problem, row), _whole(problem, row)) for row in worst), default=0)


def _fractional(problem: Problem, row: Row) -> int:
    """The cheapest way to free a moment, if units could run in part."""
    left, spent = float(row.excess), 0.0
    for size, work in sorted(_freed(problem, row), key=lambda each: each[1] / each[0]):
        part = min(1.0, left / size)
        spent += part * work
        left -= part * size
        if left <= 0:
            break
    return int(spent)


def _whole(problem: Problem, row: Row) -> int:
    """The cheapest way to free a moment by units that run whole.

    Bytes are counted in steps, those that a unit frees rounded up, so that many small sizes only lower the bound.
    """
    freed = _freed(problem, row)
    size = math.gcd(*(size for size, _ in freed)) or 1
    step = size * -(-row.excess // (size * _LEVELS))
    least = np.full(-(-row.excess // step) + 1, sum(work for _, work in freed))  # by steps to free, at least so many
    least[0] = 0
    for size, work in freed:
        gain = min(-(-size // step), len(least) - 1)
        least[1:] = np.minimum(
            least[1:], np.concatenate([least[:1].repeat(gain - 1), least[: len(least) - gain]]) + work
        )
    return int(least[-1])


def _freed(problem: Problem, row: Row) -> list[tuple[int, int]]:
    """For each unit that may run again, the bytes that this frees at a moment, and its work."""
    bytes_of: dict[int, int] = {}
    for index, _ in row.waiting:
        tensor = problem.tensors[index]
        if problem.units[tensor.unit].latest >= problem.forward:
            bytes_of[tensor.unit] = bytes_of.get(tensor.unit, 0) + tensor.size
    return [(size, problem.units[unit].work) for unit, size in bytes_of.items()]


def least_end(problem: Problem, tensor: Tensor) -> int:
    """When the first computation of a tensor is over at the earliest."""
    if tensor.kept:
        return problem.end
    if tensor.optional and not tensor.forward:
        return problem.time(tensor.node)
    reads = (problem.time(read.position) + 2 - read.early for read in tensor.forward)
    return max([problem.time(tensor.last_node) + 2, *reads])


def _changes(problem: Problem) -> list[int]:
    """Positions from which on another set of tensors waits."""
    backward = {read.position + 1 for tensor in problem.tensors for read in tensor.backward}
    return sorted({*range(problem.forward), *backward})


def _row(problem: Problem, excess: int, position: int) -> Row:
    time = problem.time(position)
    waiting = tuple(_waiting(problem, time))
    if position >= problem.forward:
        return Row(excess, waiting, (), time)
    there = {index for index, _ in waiting}
    idle = (i for i, each in enumerate(problem.tensors) if i not in there and least_end(problem, each) <= time)
    return Row(excess, waiting, tuple(i for i in idle if problem.tensors[i].forward), time)


def _waiting(problem: Problem, time: int) -> Iterator[tuple[int, int]]:
    """Tensors that are there for a backward reader alone, and where that stands."""
    for index, tensor in enumerate(problem.tensors):
        if problem.time(tensor.node) + tensor.late <= time and least_end(problem, tensor) <= time:
            ends = ((problem.time(read.position) + 2 - read.early, read.position) for read in tensor.backward)
            later = [position for end, position in ends if end > time]
            if later:
                yield index, min(later)
