"""Blocks of memory placed one after the other, each at the lowest offset that is free for its whole life.

What such a placement needs depends on the order alone. Here orders are tried: the longest lives first, the largest
first, and then, again and again, with the blocks that came to lie too high moved forward.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_WALKS = 3
"""How often each order is walked from."""

_STEPS = 100
"""Steps of a walk: mostly it succeeds early."""

_WORK = 6_000_000
"""Pairs of conflicting blocks that are looked at, at most: about a second."""


@dataclass(frozen=True)
class Block:
    """size: words. first, last: positions in the schedule between which it is alive. fixed: it must lie at 0."""

    size: int
    first: int
    last: int
    fixed: bool = False


class Blocks:
    """Blocks, and for each the indices of those that are alive at the same time."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = tuple(blocks)
        self.conflicts: list[list[int]] = [[] for _ in blocks]
        active: list[int] = []
        for index in sorted(range(len(blocks)), key=lambda i: blocks[i].first):
            active = [other for other in active if blocks[other].last >= blocks[index].first]
            for other in active:
                self.conflicts[index].append(other)
                self.conflicts[other].append(index)
            active.append(index)

    def place(self, order: Iterable[int], offsets: dict[int, int]) -> dict[int, int]:
        """The offsets with those of the blocks in `order` beside them."""
        offsets = dict(offsets)
        for index in order:
            size, offset = self.blocks[index].size, 0
            taken = sorted((offsets[i], self.blocks[i].size) for i in self.conflicts[index] if i in offsets)
            for start, length in taken:
                if offset + size <= start:
                    break
                offset = max(offset, start + length)
            offsets[index] = offset
        return offsets

    def height(self, offsets: dict[int, int]) -> int:
        """Words up to the end of the highest block."""
        return max((offset + self.blocks[index].size for index, offset in offsets.items()), default=0)


def search_orders(problem: Blocks, chosen: Sequence[int], enough: int) -> dict[int, int]:
    """The lowest placement found of the blocks in `chosen`; the search ends at a height of `enough`. Deterministic."""
    best: dict[int, int] | None = None
    rounds = max(4, _WORK // (1 + sum(len(problem.conflicts[index]) for index in chosen)))
    for _, offsets in zip(range(rounds), _placements(problem, chosen, enough), strict=False):
        if best is None or problem.height(offsets) < problem.height(best):
            best = offsets
        if problem.height(best) <= enough:
            break
    assert best is not None
    return best


def _placements(problem: Blocks, chosen: Sequence[int], enough: int) -> Iterator[dict[int, int]]:
    """First of the orders as they are, then of walks from each."""
    blocks = problem.blocks
    ground = {index: 0 for index in chosen if blocks[index].fixed}
    free = [index for index in chosen if index not in ground]
    orders = [
        sorted(free, key=lambda i: (blocks[i].first - blocks[i].last, -blocks[i].size)),
        sorted(free, key=lambda i: (-blocks[i].size, blocks[i].first)),
        sorted(free, key=lambda i: (-blocks[i].size * (blocks[i].last - blocks[i].first + 1), i)),
        sorted(free, key=lambda i: (blocks[i].first, -blocks[i].size)),
    ]
    for order in orders:
        yield problem.place(order, ground)
    generator = random.Random(0)  # seeded: the same blocks always get the same places
    for _ in range(_WALKS):
        for start in orders:
            order = list(start)
            for _ in range(_STEPS):
                offsets = problem.place(order, ground)
                yield offsets
                for index in [each for each in order if offsets[each] + blocks[each].size > enough]:
                    position = order.index(index)
                    order.insert(int(position * generator.random()), order.pop(position))
