"""Promises of the placement of buffers in the arena."""

from hypothesis import given, settings
from hypothesis import strategies as st

from micrograft.planning.lifetimes import live_bytes
from micrograft.planning.place import place
from micrograft.planning.plan import ALIGNMENT, Buffer, Purpose


def buffer(name: str, size: int, first: int, last: int) -> Buffer:
    return Buffer((name,), size, first, last, Purpose.WORKSPACE, "layer")


@st.composite
def buffers(draw: st.DrawFn) -> list[Buffer]:
    found = []
    if draw(st.booleans()):
        size, last = draw(st.integers(1, 5000)), draw(st.integers(0, 40))
        found.append(Buffer(("x",), size, 0, last, Purpose.SAMPLE, "x"))
    for index in range(draw(st.integers(1, 40))):
        first = draw(st.integers(0, 30))
        last = first + draw(st.integers(0, 12))
        found.append(buffer(f"b{index}", draw(st.integers(1, 5000)), first, last))
    return found


@settings(max_examples=100, deadline=None)
@given(buffers())
def test_buffers_alive_at_once_never_overlap(found: list[Buffer]) -> None:
    """Two buffers whose lives overlap lie on different bytes, every one aligned, at or above the lower bound."""
    placed = place(found)
    for i, one in enumerate(placed):
        assert one.offset % ALIGNMENT == 0
        for other in placed[i + 1 :]:
            together = one.first <= other.last and other.first <= one.last
            assert not together or one.end <= other.offset or other.end <= one.offset
    assert max(each.end for each in placed) >= max(live_bytes(found))
    assert all(each.offset == 0 for each in placed if each.fixed)


@settings(max_examples=60, deadline=None)
@given(buffers(), st.integers(1, 5000), st.integers(0, 50))
def test_the_sample_in_the_arena_never_costs_more_than_beside_it(found: list[Buffer], size: int, last: int) -> None:
    """However long it lives, the arena with it is at most so much larger as it would be as a buffer of its own."""
    others = [each for each in found if not each.fixed] or [buffer("b", 4, 0, 0)]
    size += -size % ALIGNMENT
    beside = max(each.end for each in place(others)) + size
    sample = Buffer(("x",), size, 0, last, Purpose.SAMPLE, "x")
    assert max(each.end for each in place([sample, *others])) <= beside


def test_placing_is_deterministic() -> None:
    """The same buffers get the same places."""
    found = [buffer(f"b{i}", 100 + 37 * i % 91, i % 7, i % 7 + i % 5) for i in range(30)]
    assert place(found) == place(found)


def test_a_chain_reaches_the_lower_bound() -> None:
    """A chain, where each buffer meets its two neighbours alone, needs no more than its largest pair."""
    sizes = [4000, 100, 3000, 2000, 500, 3500, 800]
    found = [buffer(f"b{i}", size, i, i + 1) for i, size in enumerate(sizes)]
    assert max(each.end for each in place(found)) == max(live_bytes(found))
