"""What recipes cost on the board, to the byte and to the instruction: linked, run in the emulator, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from micrograft import api
from micrograft.api import Progress
from micrograft.explain import step_work
from micrograft.laboratory import Run, task_digest
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.recipe import Recipe
from micrograft.search.costs import Forward
from micrograft.search.store import Store, key_of
from micrograft.trial import Outcome, Task, run_trial

PROBES = ((Head(),), (Bias(),), (LoRA(),), (Full(),))
"""Steps that show how the estimate and the emulator's count go together."""


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

    def estimate(self, most: int, recipe: Recipe, forward: Forward) -> int:
        """The estimated instructions of a step of which the emulator counts `most`.

        Least squares find a factor for the forward pass and one for what runs beside it, by steps that differ much.
        """
        counts = self.instructions([replace(recipe, methods=methods) for methods in PROBES])
        steps = [api.adapt(self.task.network, each, self.task.calibration).train for each in counts]
        beside = [step_work(step) - forward.work for step in steps if step is not None]
        if not counts:
            return most
        wanted = np.array(list(counts.values()), float)
        ahead, behind = np.linalg.lstsq(np.array([[forward.work, each] for each in beside], float), wanted)[0]
        if min(ahead, behind) <= 0:
            ahead = behind = float(np.median(wanted / (forward.work + np.array(beside, float))))
        return max(0, int(forward.work + (most - ahead * forward.work) / behind))

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
            fits = isinstance(outcome, Outcome) and outcome.recipe == recipe  # else it fits by computing values again
            figure = figure_of(outcome) if fits else None
            if figure is not None:
                self.store.put(keys[recipe], {"figure": figure})
                found[recipe] = figure
            done += 1
            if self.progress is not None:
                self.progress(what, done, len(keys), None)
        return found
