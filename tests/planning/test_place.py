"""Promises of the placement of buffers in the arena."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograft.planning.first_fit import Block, Blocks, search_orders
from micrograft.planning.lifetimes import live_bytes
from micrograft.planning.place import place, set_aside
from micrograft.planning.place_exactly import place_exactly
from micrograft.planning.plan import ALIGNMENT, Buffer, Purpose
from micrograft.planning.stack import stack


def buffer(name: str, size: int, first: int, last: int) -> Buffer:
    return Buffer((name,), size, first, last, Purpose.WORKSPACE, "layer")


@st.composite
def buffers(draw: st.DrawFn, most: int = 40, largest: int = 5000, longest: int = 30) -> list[Buffer]:
    found = []
    if draw(st.booleans()):
        size, last = draw(st.integers(1, largest)), draw(st.integers(0, longest + 10))
        found.append(Buffer(("x",), size, 0, last, Purpose.SAMPLE, "x"))
    for index in range(draw(st.integers(1, most))):
        first = draw(st.integers(0, longest))
        last = first + draw(st.integers(0, 12))
        found.append(buffer(f"b{index}", draw(st.integers(1, largest)), first, last))
    return found


def words(size: int) -> int:
    """That hold so many bytes."""
    return -(-size // ALIGNMENT)


def blocks(found: Sequence[Buffer]) -> Blocks:
    return Blocks([Block(words(each.size), each.first, each.last, each.fixed) for each in found])


def words_alive(found: Blocks) -> int:
    """The largest sum of words alive at once."""
    last = max(block.last for block in found.blocks)
    return max(
        sum(block.size for block in found.blocks if block.first <= time <= block.last) for time in range(last + 1)
    )


def least(found: Blocks) -> int:
    """Words of the best placement: some order of placing gives it, the one from its lowest block to its highest."""
    ground = {index: 0 for index, block in enumerate(found.blocks) if block.fixed}
    others = [index for index in range(len(found.blocks)) if index not in ground]
    return min(found.height(found.place(order, ground)) for order in permutations(others))


@settings(max_examples=100, deadline=None)
@given(buffers())
def test_buffers_alive_at_once_never_overlap(found: list[Buffer]) -> None:
    """Two buffers whose lives overlap lie on different bytes, every one aligned, at or above the proven bound."""
    placement = place(found)
    placed = placement.buffers
    for i, one in enumerate(placed):
        assert one.offset % ALIGNMENT == 0
        for other in placed[i + 1 :]:
            together = one.first <= other.last and other.first <= one.last
            assert not together or one.end <= other.offset or other.end <= one.offset
    assert [(each.values, each.size) for each in placed] == [(each.values, each.size) for each in found]
    assert placement.arena >= placement.bound >= max(live_bytes(found))
    assert all(each.offset == 0 for each in placed if each.fixed)


@settings(max_examples=60, deadline=None)
@given(buffers(), st.integers(1, 5000), st.integers(0, 50))
def test_the_sample_in_the_arena_never_costs_more_than_beside_it(found: list[Buffer], size: int, last: int) -> None:
    """However long it lives, the arena takes at most so many words more as it would be as a buffer of its own."""
    others = [each for each in found if not each.fixed] or [buffer("b", 4, 0, 0)]
    size += -size % ALIGNMENT
    sample = Buffer(("x",), size, 0, last, Purpose.SAMPLE, "x")
    assert words(place([sample, *others]).arena) <= words(place(others).arena + size)


@settings(max_examples=150, deadline=None)
@given(buffers(most=6, largest=24, longest=6))
def test_small_placements_are_the_best_of_all_orders(found: list[Buffer]) -> None:
    """The arena is the least of all placements, to the word, and proven to be."""
    placement = place(found)
    assert words(placement.arena) == words(placement.bound) == least(blocks(found))


@settings(max_examples=60, deadline=None)
@given(buffers(most=6, largest=24, longest=6))
def test_the_solver_alone_finds_and_proves_the_best(found: list[Buffer]) -> None:
    """From the worst placement, one on top of the other, it comes to the least, and says so."""
    each = blocks(found)
    offsets, height = {}, 0
    for index in sorted(range(len(found)), key=lambda i: not found[i].fixed):
        offsets[index] = height
        height += each.blocks[index].size
    best = least(each)
    placed, bound = place_exactly(each, offsets, words_alive(each))
    assert each.height(placed) == bound == best


def test_a_placement_that_cannot_reach_the_words_alive_is_proven_best() -> None:
    """Where no placement needs as few words as are alive at once, the bound is what the best one needs."""
    lives = [(2, 4, 6), (3, 6, 6), (1, 1, 1), (2, 5, 5), (2, 1, 2), (1, 3, 5), (2, 0, 2), (3, 3, 3), (1, 2, 4)]
    found = [buffer(f"b{index}", 4 * size, first, last) for index, (size, first, last) in enumerate(lives)]
    placement = place(found)
    assert (placement.arena, placement.bound, max(live_bytes(found))) == (24, 24, 20)


def tiling(seed: int) -> list[Buffer]:
    """Buffers that fill an arena at every moment but for a little: a rectangle of bytes and time, cut and cut again."""
    generator = random.Random(seed)
    rectangles = [(2000, 0, 120)]
    while len(rectangles) < 150:
        area = [size * (end - first) * generator.random() for size, first, end in rectangles]
        size, first, end = rectangles.pop(area.index(max(area)))
        share = generator.uniform(0.2, 0.8)
        if end - first < 5 or generator.random() < 0.5:
            left = int(share * size)
            rectangles += [(left, first, end), (size - left, first, end)]
        else:
            middle = first + max(1, int(share * (end - first)))
            rectangles += [(size, first, middle), (size, middle, end)]
    generator.shuffle(rectangles)
    return [
        buffer(f"b{index}", ALIGNMENT * (size - size // 80), first, end - 1)
        for index, (size, first, end) in enumerate(rectangles)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_nearly_full_arena_is_filled(seed: int) -> None:
    """150 buffers that leave a hundredth of an arena free lie at the lower bound, which no order of placing reached."""
    found = tiling(seed)
    each = blocks(found)
    bound = words_alive(each)
    assert each.height(search_orders(each, range(len(found)), bound)) > 1.05 * bound
    assert place(found).arena == bound * ALIGNMENT


@settings(max_examples=60, deadline=None)
@given(buffers(), st.floats(0, 1), st.integers(0, 30))
def test_stacks_fit_and_hold_every_block(found: list[Buffer], spared: float, count: int) -> None:
    """Stacks never need more at once than the capacity, and hold each block once, at its own place, for its life."""
    each = blocks(found)
    capacity = words_alive(each) * 5 // 4
    stacks = stack(each, range(len(found)), capacity, spared, count)
    assert sorted(index for one in stacks for index in one.offsets) == list(range(len(found)))
    assert words_alive(Blocks([one.block for one in stacks])) <= capacity
    for one in stacks:
        top = 0
        for index, offset in one.offsets.items():
            block = each.blocks[index]
            assert offset == top and one.block.first <= block.first and block.last <= one.block.last
            top += block.size
        assert top == one.block.size


@settings(max_examples=60, deadline=None)
@given(buffers(), st.randoms(use_true_random=False))
def test_what_is_set_aside_fits_wherever_the_others_lie(found: list[Buffer], generator: random.Random) -> None:
    """However the other blocks lie within the capacity, those set aside find a place in it afterwards."""
    each = blocks(found)
    capacity = words_alive(each)
    aside = set_aside(each, capacity)
    others = [index for index in range(len(found)) if index not in aside and not found[index].fixed]
    generator.shuffle(others)
    offsets = each.place(others, {index: 0 for index in range(len(found)) if found[index].fixed})
    within = max(capacity, each.height(offsets))
    assert each.height(each.place(reversed(aside), offsets)) <= within


def test_placing_is_deterministic() -> None:
    """The same buffers get the same places."""
    found = [buffer(f"b{i}", 100 + 37 * i % 91, i % 7, i % 7 + i % 5) for i in range(30)]
    assert place(found) == place(found)


def test_a_chain_reaches_the_lower_bound() -> None:
    """A chain, where each buffer meets its two neighbours alone, needs no more than its largest pair."""
    sizes = [4000, 100, 3000, 2000, 500, 3500, 800]
    found = [buffer(f"b{i}", size, i, i + 1) for i, size in enumerate(sizes)]
    assert place(found).arena == max(live_bytes(found))
