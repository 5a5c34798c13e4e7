"""The smallest arena for buffers whose lifetimes are known, by CP-SAT: rectangles of lifetime by size that must not
overlap. For the few cases in which the heuristic of `place` has not reached the lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from micrograft.planning.effort import Effort, new_solver
from micrograft.planning.lifetimes import live_bytes
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

    @property
    def is_best(self) -> bool:
        """Whether it is proven that none is better."""
        return self.arena <= self.bound


def aligned_bound(buffers: Sequence[Buffer]) -> int:
    """The largest sum of words alive at once, in bytes: a buffer takes whole words."""
    return max(live_bytes([replace(buffer, size=_words(buffer) * ALIGNMENT) for buffer in buffers]), default=0)


def place_exactly(buffers: Sequence[Buffer], effort: Effort) -> Placement:
    """The best placement found, starting from the offsets that `buffers` have, and what is proven of it.

    Raises ImportError where ortools is not installed.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    height = max(_words(buffer) + buffer.offset // ALIGNMENT for buffer in buffers)
    top = model.new_int_var(-(-aligned_bound(buffers) // ALIGNMENT), height, "top")
    offsets, times, spaces = [], [], []
    for index, buffer in enumerate(buffers):
        size = _words(buffer)
        offset = model.new_int_var(0, 0 if buffer.fixed else height - size, f"offset{index}")
        model.add_hint(offset, buffer.offset // ALIGNMENT)
        model.add(offset + size <= top)
        offsets.append(offset)
        times.append(model.new_fixed_size_interval_var(buffer.first, buffer.last - buffer.first + 1, ""))
        spaces.append(model.new_fixed_size_interval_var(offset, size, ""))
    model.add_no_overlap_2d(times, spaces)
    model.add_cumulative(times, [_words(buffer) for buffer in buffers], top)
    model.minimize(top)
    solver = new_solver(effort)
    status = solver.solve(model)
    placed = tuple(buffers)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        moved = tuple(
            replace(buffer, offset=solver.value(offset) * ALIGNMENT)
            for buffer, offset in zip(buffers, offsets, strict=True)
        )
        placed = min(placed, moved, key=lambda found: max(buffer.end for buffer in found))
    words = round(solver.best_objective_bound) if status != cp_model.UNKNOWN else 0
    return Placement(placed, max(aligned_bound(buffers), words * ALIGNMENT))


def _words(buffer: Buffer) -> int:
    return -(-buffer.size // ALIGNMENT)
