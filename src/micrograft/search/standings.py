"""Which candidate to take, and how far apart two must be for more than chance: they are compared on the same tasks.

What counts is a task that nobody has seen, learned from other samples and other new parameters. So a difference is as
sure as it is alike on the tasks and in the rounds that were seen. With few of them that is itself unsure, so it is
estimated from all candidates together and from the two that are compared (a moderated t statistic,
doi:10.2202/1544-6115.1027).
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
    >>> unsure.take([0, 1], fallback=[0]), unsure.as_good(1), alike.as_good(1)
    (0, [0, 1], [1])
    """

    def __init__(self, merits: Array) -> None:
        self._merits = merits
        self._means = merits.mean(axis=(1, 2))
        self._freedom = (merits.shape[2] if merits.shape[2] > 1 else merits.shape[1]) - 1
        self._shared = self._shared_variance()

    @property
    def noise(self) -> float:
        """The standard error of the difference between two candidates' means, as all of them show it."""
        return math.sqrt(self._shared)

    def take(self, candidates: Sequence[int], fallback: Sequence[int]) -> int:
        """The best of `fallback`, unless another candidate is surely better. Of equals the first one.

        Without a fallback the best candidate, of which there must be one.
        """
        best = max(fallback or candidates, key=lambda each: float(self._means[each]))
        better = [
            each for each in candidates if self._means[each] - self._means[best] > SURE * self._between(each, best)
        ]
        return max(better, key=lambda each: float(self._means[each]), default=best)

    def as_good(self, best: int) -> list[int]:
        """Candidates that are worse by no more than the standard error of that, and this one (the rule of one standard
        error: Breiman, Friedman, Olshen and Stone 1984, section 3.4.3)."""
        worse = {each: self.between(best, each) for each in range(len(self._means))}
        return [each for each, (by, error) in worse.items() if each == best or by <= error < math.inf]

    def between(self, one: int, other: int) -> tuple[float, float]:
        """By how much the mean of the first is larger, and the standard error of that."""
        return float(self._means[one] - self._means[other]), self._between(one, other)

    def _between(self, one: int, other: int) -> float:
        own = float(_variance_of_mean(self._merits[one] - self._merits[other]))
        if self._freedom < 1:
            return math.inf
        return math.sqrt((PRIOR * self._shared + self._freedom * own) / (PRIOR + self._freedom))

    def _shared_variance(self) -> float:
        """Of a mean difference: the median over all pairs, so that candidates of another kind than most do not matter.
        A sample's variance has its median below its mean, by this factor (Wilson and Hilferty 1931)."""
        candidates = len(self._merits)
        if candidates < 2 or self._freedom < 1:
            return math.inf
        one, other = np.triu_indices(candidates, 1)
        factor: float = (1 - 2 / (9 * self._freedom)) ** 3
        return float(np.median(_variance_of_mean(self._merits[one] - self._merits[other]))) / factor


def _variance_of_mean(differences: Array) -> Array:
    """Of differences (..., rounds, tasks), what their mean varies by where both rounds and tasks are drawn anew.

    A round's new parameters may suit one candidate on all tasks, so rounds count beside tasks; what varies from round
    to round within a task counts once (crossed random effects).
    """
    rounds, tasks = differences.shape[-2:]
    by_task, by_round = (differences.mean(axis=axis) for axis in (-2, -1))
    parts = [each.var(axis=-1, ddof=1) / each.shape[-1] for each in (by_task, by_round) if each.shape[-1] > 1]
    if len(parts) < 2:
        return parts[0] if parts else np.zeros(differences.shape[:-2])
    mean = differences.mean(axis=(-2, -1), keepdims=True)
    rest = differences - by_task[..., None, :] - by_round[..., :, None] + mean
    within = np.square(rest).sum(axis=(-2, -1)) / ((rounds - 1) * (tasks - 1) * rounds * tasks)
    larger: Array = np.maximum(parts[0], parts[0] + parts[1] - within)
    return larger
