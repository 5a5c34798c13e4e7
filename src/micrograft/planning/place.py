"""Offsets in the arena for buffers whose lifetimes overlap: dynamic storage allocation.

NP-hard in general (Garey & Johnson, SR2), easy in practice: placing in the order of size comes within a few per
cent of the lower bound, and a seeded local search over placement orders closes most of the rest: first one that
never takes a worse order, then simulated annealing, which may.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from micrograft.planning.lifetimes import live_bytes
from micrograft.planning.plan import ALIGNMENT, Buffer

_ROUNDS = 2000
"""Orders that each local search tries at most; it stops as soon as the lower bound is reached."""

_WORK = 2_000_000
"""Pairs of conflicting buffers that a local search looks at, at most: about a second."""

_TEMPERATURE = 0.02
"""Where annealing starts: a share of the lower bound by which a worse order is still likely to be taken."""


def place(buffers: Sequence[Buffer]) -> tuple[Buffer, ...]:
    """The same buffers with offsets such that no two that live at the same time overlap; a fixed one stays at 0.

    Deterministic. The result is the best of several greedy orders, improved by local search until it meets the
    lower bound or its number of rounds is spent.
    """
    if not buffers:
        return ()
    search = _Search(buffers)
    indices = range(len(buffers))
    orders = [
        sorted(indices, key=lambda i: (-buffers[i].size, buffers[i].first)),
        sorted(indices, key=lambda i: (-buffers[i].size * (buffers[i].last - buffers[i].first + 1), i)),
        sorted(indices, key=lambda i: (buffers[i].first - buffers[i].last, -buffers[i].size)),
        sorted(indices, key=lambda i: (buffers[i].first, -buffers[i].size)),
    ]
    best = min((search.fit(order) for order in orders), key=lambda placing: placing.height)
    if best.height > search.bound and any(buffer.fixed for buffer in buffers):
        best = min(best, search.fit(_as_without_fixed(buffers)), key=lambda placing: placing.height)
    best = search.improve(best, temperature=0.0)
    best = search.improve(best, temperature=_TEMPERATURE * search.bound)
    return tuple(replace(buffer, offset=offset) for buffer, offset in zip(buffers, best.offsets, strict=True))


def _as_without_fixed(buffers: Sequence[Buffer]) -> list[int]:
    """From the lowest to the highest, as the others would lie without the fixed buffer.

    Placed in this order above it, each lies at most its size higher than there: that offset is free.
    """
    others = [index for index, buffer in enumerate(buffers) if not buffer.fixed]
    offsets = [buffer.offset for buffer in place([buffers[index] for index in others])]
    lying = [index for _, index in sorted(zip(offsets, others, strict=True))]
    return lying + [index for index, buffer in enumerate(buffers) if buffer.fixed]


@dataclass(frozen=True)
class _Placing:
    """An order of placing, the offsets that first-fit gives it, and the bytes that they reach up to."""

    order: list[int]
    offsets: list[int]
    height: int


class _Search:
    """First-fit placings of the same buffers in different orders."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._fixed = [buffer.fixed for buffer in buffers]
        self._sizes = [-(-buffer.size // ALIGNMENT) * ALIGNMENT for buffer in buffers]
        self._conflicts = _conflicts(buffers)
        self._random = random.Random(0)  # seeded: the same buffers always get the same places
        aligned = [replace(buffer, size=size) for buffer, size in zip(buffers, self._sizes, strict=True)]
        self.bound = max(live_bytes(aligned), default=0)  # of views alone nothing is ever computed

    def fit(self, order: list[int]) -> _Placing:
        """Place in `order`, each at the lowest offset that is free for its whole life."""
        offsets = [0 if fixed else -1 for fixed in self._fixed]
        for index in order:
            if self._fixed[index]:
                continue
            taken = sorted((offsets[i], self._sizes[i]) for i in self._conflicts[index] if offsets[i] >= 0)
            offset = 0
            for start, size in taken:
                if offset + self._sizes[index] <= start:
                    break
                offset = max(offset, start + size)
            offsets[index] = offset
        height = max(offset + size for offset, size in zip(offsets, self._sizes, strict=True))
        return _Placing(order, offsets, height)

    def improve(self, best: _Placing, temperature: float) -> _Placing:
        """Move a buffer at the top, or one that it conflicts with, forward in the order, again and again.

        temperature: bytes by which a worse order may be taken at first (Metropolis), falling to none.
        """
        current = best
        rounds = min(_ROUNDS, _WORK // (1 + sum(map(len, self._conflicts))))
        for done in range(rounds):
            if best.height <= self.bound:
                break
            trial = self.fit(self._moved(current))
            heat = temperature * (1 - done / rounds)
            worse = trial.height - current.height
            if worse <= 0 or (heat > 0 and self._random.random() < math.exp(-worse / heat)):
                current = trial
            best = min(best, current, key=lambda placing: placing.height)
        return best

    def _moved(self, placing: _Placing) -> list[int]:
        heights = zip(placing.offsets, self._sizes, strict=True)
        top = [index for index, (offset, size) in enumerate(heights) if offset + size == placing.height]
        chosen = self._random.choice(top)
        if self._random.random() < 0.5 and self._conflicts[chosen]:
            chosen = self._random.choice(self._conflicts[chosen])
        order = placing.order.copy()
        position = order.index(chosen)
        order.insert(self._random.randrange(position + 1), order.pop(position))
        return order


def _conflicts(buffers: Sequence[Buffer]) -> list[list[int]]:
    """For each buffer, those that are alive at the same time."""
    found: list[list[int]] = [[] for _ in buffers]
    active: list[int] = []
    for index in sorted(range(len(buffers)), key=lambda i: buffers[i].first):
        active = [other for other in active if buffers[other].last >= buffers[index].first]
        for other in active:
            found[index].append(other)
            found[other].append(index)
        active.append(index)
    return found
