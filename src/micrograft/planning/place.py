"""Offsets in the arena for buffers whose lifetimes overlap: dynamic storage allocation.

NP-hard in general (Garey & Johnson, SR2), easy in practice: placing in the order of size comes within a few per
cent of the lower bound, and a seeded local search over placement orders closes most of the rest.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from micrograft.planning.lifetimes import live_bytes
from micrograft.planning.plan import ALIGNMENT, Buffer

_ROUNDS = 400
"""Orders that the local search tries at most; it stops as soon as the lower bound is reached."""


def place(buffers: Sequence[Buffer]) -> tuple[Buffer, ...]:
    """The same buffers with offsets such that no two that live at the same time overlap.

    Deterministic. The result is the best of several greedy orders, improved by local search until it meets the
    lower bound or `_ROUNDS` orders have been tried.
    """
    if not buffers:
        return ()
    conflicts = _conflicts(buffers)
    bound = max(live_bytes(buffers))
    indices = range(len(buffers))
    orders = [
        sorted(indices, key=lambda i: (-buffers[i].size, buffers[i].first)),
        sorted(indices, key=lambda i: (-buffers[i].size * (buffers[i].last - buffers[i].first + 1), i)),
        sorted(indices, key=lambda i: (buffers[i].first - buffers[i].last, -buffers[i].size)),
        sorted(indices, key=lambda i: (buffers[i].first, -buffers[i].size)),
    ]
    best_order, best = min(
        ((order, _first_fit(buffers, conflicts, order)) for order in orders),
        key=lambda found: _height(buffers, found[1]),
    )
    best = _improve(buffers, conflicts, best_order, best, bound)
    return tuple(replace(buffer, offset=offset) for buffer, offset in zip(buffers, best, strict=True))


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


def _first_fit(buffers: Sequence[Buffer], conflicts: Sequence[Sequence[int]], order: Sequence[int]) -> list[int]:
    """Place in `order`, each at the lowest offset that is free for its whole life."""
    offsets = [-1] * len(buffers)
    for index in order:
        taken = sorted(
            (offsets[other], offsets[other] + buffers[other].size) for other in conflicts[index] if offsets[other] >= 0
        )
        offset = 0
        for start, end in taken:
            if offset + buffers[index].size <= start:
                break
            offset = max(offset, -(-end // ALIGNMENT) * ALIGNMENT)
        offsets[index] = offset
    return offsets


def _height(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max(offset + buffer.size for buffer, offset in zip(buffers, offsets, strict=True))


def _improve(
    buffers: Sequence[Buffer],
    conflicts: Sequence[Sequence[int]],
    order: list[int],
    offsets: list[int],
    bound: int,
) -> list[int]:
    """Move a buffer at the top (or one that lies under it) forward in the order, and keep what is no worse."""
    generator = random.Random(0)  # seeded: the same buffers always get the same places
    height = _height(buffers, offsets)
    for _ in range(_ROUNDS):
        if height <= bound:
            break
        top = [i for i in range(len(buffers)) if offsets[i] + buffers[i].size == height]
        chosen = generator.choice(top)
        if generator.random() < 0.5 and conflicts[chosen]:
            chosen = generator.choice(conflicts[chosen])
        position = order.index(chosen)
        trial = order.copy()
        trial.insert(generator.randrange(position + 1), trial.pop(position))
        found = _first_fit(buffers, conflicts, trial)
        found_height = _height(buffers, found)
        if found_height <= height:
            order, offsets, height = trial, found, found_height
    return offsets
