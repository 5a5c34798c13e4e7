"""Which candidate to take, and how far apart two must be for more than chance: they are compared on the same tasks.

What counts is a task that nobody has seen, so a difference is as sure as it is alike on the tasks that were seen. With
few of them that is itself unsure, so it is estimated from all candidates together and from the two that are compared
(a moderated t statistic, doi:10.2202/1544-6115.1027).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from micrograft.ir.types import Array

PRIOR = 2
"""How many degrees of freedom the variance that all candidates share counts for."""

SURE = 2.0
"""Standard errors by which a candidate must be better. Of several equal ones the luckiest leads by more than one."""


class Standings:
    """merits: (candidates, rounds, episodes). The episodes are the tasks, or the rounds where there is one episode.

    Two candidates on two tasks, who agree that the second is better by a quarter:

    >>> alike = Standings(np.array([[[0.25, 0.5]], [[0.5, 0.75]]]))
    >>> alike.noise, alike.take([0, 1], fallback=[0])
    (0.0, 1)

    And two tasks that do not agree:

    >>> unsure = Standings(np.array([[[0.25, 0.5]], [[0.75, 0.5]]]))
    >>> unsure.take([0, 1], fallback=[0])
    0
    """

    def __init__(self, merits: Array) -> None:
        self._by_task = merits.mean(axis=1) if merits.shape[2] > 1 else merits[:, :, 0]
        self._means = self._by_task.mean(axis=1)
        self._variance = self._shared_variance()

    @property
    def noise(self) -> float:
        """The standard error of the difference between two candidates' means, as all of them show it."""
        return math.sqrt(self._variance / self._by_task.shape[1])

    def take(self, candidates: Sequence[int], fallback: Sequence[int]) -> int:
        """The best of `fallback`, unless another candidate is surely better. Of equals the first one.

        Without a fallback the best candidate, of which there must be one.
        """
        best = max(fallback or candidates, key=lambda each: float(self._means[each]))
        better = [
            each for each in candidates if self._means[each] - self._means[best] > SURE * self._between(each, best)
        ]
        return max(better, key=lambda each: float(self._means[each]), default=best)

    def between(self, one: int, other: int) -> tuple[float, float]:
        """By how much the mean of the first is larger, and the standard error of that."""
        return float(self._means[one] - self._means[other]), self._between(one, other)

    def _between(self, one: int, other: int) -> float:
        difference = self._by_task[one] - self._by_task[other]
        tasks = len(difference)
        own = float(np.square(difference - difference.mean()).sum())
        variance = (PRIOR * self._variance + own) / (PRIOR + tasks - 1)
        return math.sqrt(variance / tasks)

    def _shared_variance(self) -> float:
        """Of a difference on one task: the median over all pairs, so that candidates of another kind than most do not
        matter. A sample's variance has its median below its mean, by this factor (Wilson and Hilferty 1931)."""
        candidates, tasks = self._by_task.shape
        if candidates < 2 or tasks < 2:
            return math.inf
        one, other = np.triu_indices(candidates, 1)
        variances = (self._by_task[one] - self._by_task[other]).var(axis=1, ddof=1)
        factor: float = (1 - 2 / (9 * (tasks - 1))) ** 3
        return float(np.median(variances)) / factor
