"""Whether blocks of memory fit in a capacity, and the least one that they fit in, by CP-SAT.

What is alive at one moment must lie side by side, like jobs on one machine: a constraint for each moment. That reasons
far better than one constraint for all, of rectangles. For the few cases in which no order of `first_fit.py` reaches the
lower bound. To ask whether blocks fit at that bound is easier than to ask for the least capacity, and easier still of
fewer, larger ones (`stack.py`), so that is asked first.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from micrograft.planning.effort import Effort, new_solver
from micrograft.planning.first_fit import Block, Blocks
from micrograft.planning.stack import Stack, stack

_STACKS = ((1.0, 0), (0.7, 100), (1.0, 120))
"""What stacks may waste of what there is to waste, and how many there shall be, at least."""


@dataclass(frozen=True)
class _Try:
    """work: at most, in the solver's own unit. strong: whether it reasons more at each step, and takes fewer."""

    work: float
    strong: bool


_TRIES = (_Try(0.05, strong=False), _Try(0.25, strong=True))
"""How it is asked of each set of stacks."""

_MANY = 150
"""Stacks above which strong reasoning is through with too few of them."""

_LEAST = _Try(1.0, strong=True)
"""How the least capacity is looked for."""

_FEW = 100
"""Blocks, at most, for which it is."""


def place_exactly(blocks: Blocks, known: dict[int, int], bound: int) -> tuple[dict[int, int], int]:
    """The lowest placement found of the blocks in `known`, and the words that any needs, which are at least `bound`.

    Raises ImportError where ortools is not installed.
    """
    if len(known) > _FEW:
        stacked = functools.cache(functools.partial(stack, blocks, tuple(known), bound))
        for attempt, most in product(_TRIES, _STACKS):
            stacks = stacked(*most)
            if attempt.strong and len(stacks) > _MANY:
                continue
            offsets, _ = _solve(stacks, bound, bound, attempt)
            if offsets is not None:
                return _unstacked(stacks, offsets), bound
        return known, bound
    alone = [Stack(blocks.blocks[index], {index: 0}) for index in known]
    offsets, least = _solve(alone, bound, blocks.height(known), _LEAST)
    return known if offsets is None else _unstacked(alone, offsets), least


def _unstacked(stacks: Sequence[Stack], offsets: Sequence[int]) -> dict[int, int]:
    """Where the blocks of placed stacks lie."""
    placed = zip(stacks, offsets, strict=True)
    return {index: offset + inside for each, offset in placed for index, inside in each.offsets.items()}


def _solve(stacks: Sequence[Stack], bound: int, capacity: int, attempt: _Try) -> tuple[list[int] | None, int]:
    """The lowest offsets found between `bound` and `capacity` words, None where there are none; and a proven bound."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    top = model.new_int_var(bound, capacity, "top")
    offsets, places = [], []
    for index, block in enumerate(each.block for each in stacks):
        offset = model.new_int_var(0, 0 if block.fixed else capacity - block.size, f"offset{index}")
        offsets.append(offset)
        places.append(model.new_fixed_size_interval_var(offset, block.size, ""))
        if bound < capacity:
            model.add(offset + block.size <= top)
    for moment in _moments([each.block for each in stacks]):
        model.add_no_overlap([places[index] for index in moment])
    if bound < capacity:
        model.minimize(top)
    solver = new_solver(Effort(work=attempt.work))
    solver.parameters.linearization_level = 0
    solver.parameters.use_strong_propagation_in_disjunctive = attempt.strong
    solver.parameters.use_dynamic_precedence_in_disjunctive = attempt.strong
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None, capacity + 1
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, bound
    least = max(bound, round(solver.best_objective_bound)) if bound < capacity else bound
    return [solver.value(offset) for offset in offsets], least


def _moments(blocks: Sequence[Block]) -> Iterator[list[int]]:
    """The blocks alive at each moment, but for moments at which there are no others than at another one."""
    starts = sorted({block.first for block in blocks})  # until the next begins, blocks only die
    alive = dict.fromkeys(
        frozenset(index for index, block in enumerate(blocks) if block.first <= time <= block.last) for time in starts
    )
    for each in alive:
        if len(each) > 1 and not any(each < other for other in alive):
            yield sorted(each)
