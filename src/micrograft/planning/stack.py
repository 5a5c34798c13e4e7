"""Fewer, larger blocks of memory: those that live at nearly the same time become one, lying on each other.

Where some die earlier than others of the same stack, their memory is wasted until all are dead. Every moment of the
step can spare only so much, so what stacks need at once never exceeds the capacity, and a placement of them is one of
the blocks. A solver that has hardly looked at two hundred blocks is through with fifty stacks.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from micrograft.ir.types import Array
from micrograft.planning.first_fit import Block, Blocks

_PARTNERS = 40
"""Blocks whose lives begin and end closest to a block's: it may only be stacked with those."""


@dataclass(frozen=True)
class Stack:
    """block: of the size of all, alive while any is. offsets: index of a block to its place in it, in words."""

    block: Block
    offsets: Mapping[int, int]


def stack(blocks: Blocks, chosen: Iterable[int], capacity: int, spared: float, count: int) -> list[Stack]:
    """The blocks in `chosen` as `count` stacks, or as few as can be with at most the share `spared` of what each moment
    can waste in `capacity` words."""
    return _Stacking([Stack(blocks.blocks[index], {index: 0}) for index in chosen], capacity, spared).run(count)


class _Stacking:
    """Stacks that are there, and pairs of them that may be joined, the least wasteful first."""

    def __init__(self, stacks: Sequence[Stack], capacity: int, spared: float) -> None:
        self._stacks: dict[int, Stack] = dict(enumerate(stacks))
        self._next = len(stacks)
        live = np.zeros(1 + max(each.block.last for each in stacks), np.int64)
        for each in stacks:
            live[each.block.first : each.block.last + 1] += each.block.size
        self._spare = ((capacity - live) * spared).astype(np.int64)
        self._pairs = [pair for key in self._stacks for pair in self._pairs_of(key) if pair[1] < pair[2]]
        heapq.heapify(self._pairs)

    def run(self, count: int) -> list[Stack]:
        while len(self._stacks) > count and self._pairs:
            cost, low, high = heapq.heappop(self._pairs)
            if low not in self._stacks or high not in self._stacks:
                continue
            now = self._cost(self._stacks[low].block, self._stacks[high].block)
            if now is not None and now <= cost:
                self._join(low, high)
            elif now is not None:  # others have wasted some since
                heapq.heappush(self._pairs, (now, low, high))
        return list(self._stacks.values())

    def _join(self, low: int, high: int) -> None:
        one, other = self._stacks.pop(low), self._stacks.pop(high)
        joined = _joined(one.block, other.block)
        self._spare[joined.first : joined.last + 1] -= _waste(joined, one.block, other.block)
        higher = {index: offset + one.block.size for index, offset in other.offsets.items()}
        self._stacks[self._next] = Stack(joined, {**one.offsets, **higher})
        for pair in self._pairs_of(self._next):
            heapq.heappush(self._pairs, pair)
        self._next += 1

    def _pairs_of(self, key: int) -> Iterator[tuple[float, int, int]]:
        """With those that live most nearly as long."""
        one = self._stacks[key].block
        if one.fixed:
            return
        meeting = [
            (abs(one.first - each.block.first) + abs(one.last - each.block.last), other)
            for other, each in self._stacks.items()
            if other != key and not each.block.fixed and one.first <= each.block.last and each.block.first <= one.last
        ]
        for _, other in heapq.nsmallest(_PARTNERS, meeting):
            cost = self._cost(one, self._stacks[other].block)
            if cost is not None:
                yield cost, min(key, other), max(key, other)

    def _cost(self, one: Block, other: Block) -> float | None:
        """What is wasted as a share of what can be, summed over time; None where that is too much."""
        joined = _joined(one, other)
        waste = _waste(joined, one, other)
        spare = self._spare[joined.first : joined.last + 1]
        if np.any(waste > spare):
            return None
        wasted = waste > 0
        return float(np.sum(waste[wasted] / spare[wasted]))


def _joined(one: Block, other: Block) -> Block:
    """Of the size of both, alive while either is."""
    return Block(one.size + other.size, min(one.first, other.first), max(one.last, other.last))


def _waste(joined: Block, *parts: Block) -> Array:
    """Words that a joined block holds for nothing, at each moment of its life."""
    waste = np.full(joined.last - joined.first + 1, joined.size)
    for each in parts:
        waste[each.first - joined.first : each.last + 1 - joined.first] -= each.size
    return waste
