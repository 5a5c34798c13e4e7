"""Whether blocks of memory fit in a capacity, and the least one that they fit in, by CP-SAT: rectangles of lifetime by
size that must not overlap.

For the few cases in which no order of `first_fit.py` reaches the lower bound. To ask whether they fit at that bound is
far easier than to ask for the least capacity: mostly the answer is yes, and found by the first dive. Where it is not, a
dive in another random order often finds it, so the solver starts anew instead of searching long.
"""

from __future__ import annotations

from micrograft.planning.effort import Effort, new_solver
from micrograft.planning.first_fit import Blocks

_DIVES = 10
"""How often the solver starts anew."""

_DIVE = 5_000
"""Dead ends of a dive, at most, divided by the number of blocks: the more there are, the longer each takes."""

_SEARCH = 50_000
"""The same of the search for the least capacity."""


def place_exactly(blocks: Blocks, known: dict[int, int], bound: int) -> tuple[dict[int, int], int]:
    """The lowest placement found of the blocks in `known`, and the words that any needs, which are at least `bound`.

    Raises ImportError where ortools is not installed.
    """
    for seed in range(_DIVES):
        found, least = _solve(blocks, known, bound, bound, seed, _DIVE // len(known))
        if blocks.height(found) <= bound:
            return found, bound
        if least > bound:
            break
    return _solve(blocks, known, least, blocks.height(known), 0, _SEARCH // len(known))


def _solve(
    blocks: Blocks, known: dict[int, int], bound: int, capacity: int, seed: int, conflicts: int
) -> tuple[dict[int, int], int]:
    """The lowest placement between `bound` and `capacity` words, else `known`; and a bound that is proven."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    offsets, times, spaces = {}, [], []
    top = model.new_int_var(bound, capacity, "top")
    for index in known:
        block = blocks.blocks[index]
        offset = model.new_int_var(0, 0 if block.fixed else capacity - block.size, f"offset{index}")
        offsets[index] = offset
        times.append(model.new_fixed_size_interval_var(block.first, block.last - block.first + 1, ""))
        spaces.append(model.new_fixed_size_interval_var(offset, block.size, ""))
        if bound < capacity:
            model.add(offset + block.size <= top)
            model.add_hint(offset, known[index])
    model.add_no_overlap_2d(times, spaces)
    if bound < capacity:
        model.minimize(top)
    solver = new_solver(Effort())
    solver.parameters.linearization_level = 0
    solver.parameters.random_seed = seed
    solver.parameters.max_number_of_conflicts = conflicts
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return known, capacity + 1
    found = known
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        found = {index: solver.value(offset) for index, offset in offsets.items()}
    proven = round(solver.best_objective_bound) if bound < capacity and status != cp_model.UNKNOWN else bound
    return min(found, known, key=blocks.height), max(bound, proven)
