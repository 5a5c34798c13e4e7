"""What recipes cost on the board, to the byte and to the instruction: linked, run in the emulator, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from micrograft.api import Progress
from micrograft.errors import MicrograftError
from micrograft.laboratory import Run, task_digest
from micrograft.recipe import Recipe
from micrograft.search.store import Store, key_of
from micrograft.trial import Outcome, Task, run_trial


@dataclass(frozen=True, eq=False)
class Linking:
    """task: a network and a board, without episodes. store: of what is known. run: where it runs."""

    task: Task
    store: Store
    run: Run
    progress: Progress | None = None

    def ram(self, recipes: Sequence[Recipe]) -> dict[Recipe, int]:
        """bytes of the image of each; those that do not fit the board are left out."""
        return self._known(
            "linking", self.task, recipes, lambda outcome: outcome.bill.ram.total if outcome.bill else None
        )

    def instructions(self, recipes: Sequence[Recipe]) -> dict[Recipe, int]:
        """Of a step of each, counted in the emulator."""
        task = replace(self.task, counted=True)
        return self._known("counting instructions", task, recipes, lambda outcome: outcome.instructions)

    def _known(
        self, what: str, task: Task, recipes: Sequence[Recipe], figure_of: Callable[[Outcome], Any]
    ) -> dict[Recipe, int]:
        """The figure of each recipe, from the store where it is there."""
        digest = task_digest(task)
        keys = {recipe: key_of(what, digest, repr(task.board), repr(recipe)) for recipe in recipes}
        stored = {recipe: self.store.get(key) for recipe, key in keys.items()}
        found = {recipe: int(known["figure"]) for recipe, known in stored.items() if known and "figure" in known}
        new, done = [recipe for recipe in keys if recipe not in found], len(found)
        for recipe, outcome in self.run(run_trial, task, new):
            figure = None if isinstance(outcome, MicrograftError) else figure_of(outcome)
            if figure is not None:
                self.store.put(keys[recipe], {"figure": figure})
                found[recipe] = figure
            done += 1
            if self.progress is not None:
                self.progress(what, done, len(keys), None)
        return found
