"""How far apart the means of two candidates must be for more than chance: they are compared on the same tasks.

Two-way analysis of variance without replication: what a candidate and a task explain is taken away, and what is left is
how differently candidates fare on different tasks, which is what a task that nobody has seen adds to a difference.
"""

from __future__ import annotations

import math

import numpy as np

from micrograft.ir.types import Array


def noise_of_difference(merits: Array) -> float:
    """The standard error of the difference between the means of two candidates.

    merits: (candidates, rounds, episodes). The episodes are the tasks, or the rounds where there is one episode; inf
    where one candidate or one task is all there is.

    >>> noise_of_difference(np.array([[[0.5, 0.75]], [[0.75, 1.0]]]))
    0.0
    >>> round(noise_of_difference(np.array([[[0.5, 0.75]], [[1.0, 0.75]]])), 3)
    0.25
    """
    candidates, _, episodes = merits.shape
    by_task = merits.mean(axis=1) if episodes > 1 else merits[:, :, 0]
    tasks = by_task.shape[1]
    if candidates < 2 or tasks < 2:
        return math.inf
    left = by_task - by_task.mean(axis=1, keepdims=True) - by_task.mean(axis=0) + by_task.mean()
    variance = float(np.square(left).sum()) / ((candidates - 1) * (tasks - 1))
    return math.sqrt(2 * variance / tasks)
