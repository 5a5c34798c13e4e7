"""An answer from tensors whose second computation costs little enough, but leaves too much alive at some moment.

Deep networks repeat themselves: of equal tensors it does not matter for the work which ones go, only for the moments.
So one that goes and one that stays change places, at random, as long as that helps, and now and then where it does not
(annealing).
"""

from __future__ import annotations

import math
import random

from micrograft.planning.recompute_follow import Follower, Outcome
from micrograft.planning.recompute_problem import Problem

_TRIALS = 8_000
"""Pairs that are looked at: some tenths of a second where there are hundreds of tensors."""

_TEMPERATURE = 0.001
"""Where it starts: a share of the work by which a worse answer is still likely to be taken."""


def swap_equals(problem: Problem, capacity: int, follower: Follower, stays: frozenset[int], enough: int) -> Outcome:
    """The best found. stays: the tensors that do, to start from. enough: work at which it may end. Deterministic.

    A byte over the capacity costs what would double the work if all that are over at the start were.
    """
    equals: dict[tuple[int, int], list[int]] = {}
    for index, tensor in enumerate(problem.tensors):
        if tensor.forward or tensor.backward:
            equals.setdefault((problem.units[tensor.unit].work, tensor.size), []).append(index)
    group = {index: each for each in equals.values() for index in each if len(each) > 1}
    current = best = follower.outcome(stays)
    price = enough / max(1, current.peak - capacity)

    def cost(outcome: Outcome) -> float:
        return max(0, outcome.work - enough) + price * max(0, outcome.peak - capacity)

    generator, every = random.Random(0), list(group)  # seeded: the same problem always gets the same answer
    for done in range(_TRIALS if group else 0):
        if cost(best) == 0:
            break
        one = generator.choice(every)
        others = [other for other in group[one] if (other in current.stays) != (one in current.stays)]
        if not others:
            continue
        other = generator.choice(others)
        trial = follower.outcome(current.stays ^ {one, other})
        worse, heat = cost(trial) - cost(current), _TEMPERATURE * enough * (1 - done / _TRIALS)
        if worse <= 0 or (heat > 0 and generator.random() < math.exp(-worse / heat)):
            current = trial
        best = min(best, trial, key=cost)
    return best
