"""The best of many, by measuring again: each round on other samples, and of fewer candidates.

One trial of a candidate is noisy, and the best of many noisy figures is mostly lucky. So what did well is learned
again, round by round, from other samples of the same tasks, in another order and from other new parameters, and what
falls behind is dropped. Only these rounds count in the end, the same ones for every finalist, so that the luck that
brought it here does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.types import Array
from micrograft.laboratory import Laboratory, Methods, Result, at_rate
from micrograft.recipe import Recipe
from micrograft.trial import Learned

KEPT = 8
"""How many of the best within each amount of RAM are measured again; half as many in each round behind the first."""

LEAST = 3
"""How many are kept in any case."""

DRAWS = 4
"""Of new parameters in each round, one after the other for its tasks. With some a learning rate explodes, with others
not."""

RATES = 2
"""How many learning rates of each, the best ones in the search, the first round tries."""


@dataclass(frozen=True, eq=False)
class Finalist:
    """recipe: at the learning rate that did best. merits: (rounds, episodes)."""

    recipe: Recipe
    merits: Array

    @property
    def merit(self) -> float:
        return float(self.merits.mean())


class Race:
    """tried: what the search measured. levels: bytes of RAM, for each of which the best is wanted. always: candidates
    that are never dropped, to compare with. rounds: a laboratory for each, which tries recipes as they are.
    """

    def __init__(
        self,
        recipe: Recipe,
        tried: Mapping[Methods, Result],
        levels: Sequence[int],
        always: frozenset[Methods],
        rounds: Sequence[Laboratory],
    ) -> None:
        self._recipe = recipe
        self._tried = tried
        self._levels = levels
        self._always = always
        self._rounds = rounds

    def run(self) -> dict[Methods, Finalist]:
        """Those that were measured in every round."""
        merits = {methods: result.merit for methods, result in self._tried.items()}
        found: dict[Methods, Finalist] = {}
        for number, laboratory in enumerate(self._rounds):
            kept = self._best(merits, max(LEAST, KEPT >> number))
            recipes = {each: [found[each].recipe] if found else self._recipes(each) for each in kept}
            recipes = {methods: [_drawn(recipe, number) for recipe in each] for methods, each in recipes.items()}
            every = [recipe for each in recipes.values() for recipe in each]
            what = f"measuring again, round {number + 1} of {len(self._rounds)}"
            results = dict(zip(every, laboratory.measure_recipes(every, what), strict=True))
            again = {methods: _learned(results, recipes[methods]) for methods in kept}
            found = {
                methods: self._with(methods, found.get(methods), learned)
                for methods, learned in again.items()
                if learned
            }
            merits = {methods: finalist.merit for methods, finalist in found.items()}
        return found

    def _best(self, merits: Mapping[Methods, float], count: int) -> list[Methods]:
        """So many of the best within each amount of RAM, and those that are never dropped."""
        ranked = sorted(merits, key=lambda methods: (-merits[methods], self._tried[methods].block))
        others = [methods for methods in ranked if methods not in self._always]
        chosen = set(self._always)
        for level in self._levels:
            chosen.update([methods for methods in others if self._tried[methods].block <= level][:count])
        return [methods for methods in merits if methods in chosen]

    def _recipes(self, methods: Methods) -> list[Recipe]:
        """At the learning rates that did best in the search."""
        learned = self._tried[methods].learned or ()
        return [at_rate(replace(self._recipe, methods=methods), each.rate) for each in learned[:RATES]]

    def _with(self, methods: Methods, finalist: Finalist | None, learned: Sequence[Learned]) -> Finalist:
        """With one round more; the first one settles the learning rate, by what the search and that round gave."""
        if finalist is not None:
            return replace(finalist, merits=np.vstack([finalist.merits, _merits(learned[0])]))
        before = {each.rate: each.score.merit for each in self._tried[methods].learned or ()}
        best = max(learned, key=lambda each: before[each.rate] + each.score.merit)
        return Finalist(at_rate(replace(self._recipe, methods=methods), best.rate), np.array([_merits(best)]))


def _drawn(recipe: Recipe, number: int) -> Recipe:
    """With new parameters that no other round has: which ones are drawn can matter as much as the method does."""
    return replace(recipe, seed=recipe.seed + 1 + DRAWS * number)


def _learned(results: Mapping[Recipe, Result | None], recipes: Sequence[Recipe]) -> list[Learned]:
    """What these recipes gave, but for those that diverged."""
    found = [results[recipe] for recipe in recipes]
    return [each for result in found if result is not None for each in result.learned or ()]


def _merits(learned: Learned) -> list[float]:
    return [score.merit for score in learned.scores]
