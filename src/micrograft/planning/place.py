"""Offsets in the arena for buffers whose lifetimes overlap: dynamic storage allocation.

NP-hard in general (Garey & Johnson, SR2), easy in practice. Buffers that find a place wherever the others lie are set
aside. For the rest, orders of placing are tried (`first_fit.py`); where none reaches the lower bound, CP-SAT is asked
whether any placement does, and if not, for the least (`place_exactly.py`). Nothing here looks at the clock: the same
buffers always get the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from micrograft.planning.effort import solver_is_there
from micrograft.planning.first_fit import Block, Blocks, search_orders
from micrograft.planning.lifetimes import live_bytes
from micrograft.planning.place_exactly import place_exactly
from micrograft.planning.plan import ALIGNMENT, Buffer


@dataclass(frozen=True)
class Placement:
    """buffers: with offsets. bound: bytes; it is proven that no placement of them needs fewer words."""

    buffers: tuple[Buffer, ...]
    bound: int

    @property
    def arena(self) -> int:
        """bytes"""
        return max((buffer.end for buffer in self.buffers), default=0)


def place(buffers: Sequence[Buffer]) -> Placement:
    """Offsets such that no two buffers that are alive at the same time overlap; a fixed one stays at 0."""
    if not buffers:
        return Placement((), 0)
    words = [-(-buffer.size // ALIGNMENT) for buffer in buffers]
    aligned = [replace(buffer, size=size * ALIGNMENT) for buffer, size in zip(buffers, words, strict=True)]
    bound = max(live_bytes(aligned), default=0) // ALIGNMENT  # of views alone nothing is ever computed
    blocks = Blocks([Block(each.size // ALIGNMENT, each.first, each.last, each.fixed) for each in aligned])
    aside = set_aside(blocks, bound)
    others = sorted(set(range(len(buffers))) - set(aside))
    offsets = search_orders(blocks, others, bound)
    if blocks.height(offsets) > bound and solver_is_there():
        offsets, bound = place_exactly(blocks, offsets, bound)
    offsets = blocks.place(reversed(aside), offsets)
    placed = (replace(buffer, offset=offsets[index] * ALIGNMENT) for index, buffer in enumerate(buffers))
    placement = Placement(tuple(placed), bound * ALIGNMENT)
    return replace(placement, bound=min(placement.bound, placement.arena))  # which may end within a word


def set_aside(blocks: Blocks, capacity: int) -> list[int]:
    """Blocks that fit in `capacity` words wherever those lie that are not set aside before them.

    Around k others there are at most k + 1 gaps; if what these have together is more than k + 1 times a word less than
    the block, it fits into one of them.
    """
    beside = [sum(blocks.blocks[other].size for other in others) for others in blocks.conflicts]
    gaps = [len(others) + 1 for others in blocks.conflicts]
    waiting = [index for index, block in enumerate(blocks.blocks) if not block.fixed]
    found: dict[int, None] = {}  # in order
    while waiting:
        index = waiting.pop()
        size = blocks.blocks[index].size
        if index in found or capacity - beside[index] <= gaps[index] * (size - 1):
            continue
        found[index] = None
        for other in blocks.conflicts[index]:
            beside[other] -= size
            gaps[other] -= 1
            if not blocks.blocks[other].fixed:
                waiting.append(other)
    return list(found)
