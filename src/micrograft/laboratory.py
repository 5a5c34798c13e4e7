"""Trials that are remembered: what a store holds is not measured again, what is measured goes there at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from micrograft.api import Progress
from micrograft.errors import MicrograftError
from micrograft.ir.text import to_text
from micrograft.peft.method import Method
from micrograft.recipe import Recipe
from micrograft.search.cluster import run_on_cluster
from micrograft.search.costs import Cost
from micrograft.search.store import Store, key_of
from micrograft.search.workers import cores, run_all
from micrograft.trial import Learned, Outcome, Score, Task, run_trial

Methods = tuple[Method, ...]
Run = Callable[[Callable[[Task, Recipe], Outcome], Task, Sequence[Recipe]], Iterator[tuple[Recipe, Any]]]
"""What `run_all` and `run_on_cluster` are, but for where they run."""


@dataclass(frozen=True)
class Result:
    """What one trial found; what `Outcome` says, as it is stored.

    learned: by each learning rate that did not diverge, the best first; None where it needs too much to be learned.
    """

    learned: tuple[Learned, ...] | None
    work: int
    block: int
    cost: Cost

    @property
    def score(self) -> Score | None:
        """At the best learning rate."""
        return self.learned[0].score if self.learned else None

    @property
    def merit(self) -> float:
        """What is compared. There is one wherever something was learned."""
        assert self.learned, "it diverged, or was not tried"
        return self.learned[0].score.merit

    def recipe(self, tried: Recipe) -> Recipe:
        """The recipe that was tried, at the learning rate that did best."""
        return at_rate(tried, self.learned[0].rate) if self.learned else tried

    @staticmethod
    def read(found: dict[str, Any]) -> Result:
        """Back from `asdict`."""
        tries = found["learned"]
        learned = None if tries is None else tuple(_read_learned(each) for each in tries)
        return Result(learned, found["work"], found["block"], Cost(**found["cost"]))


def at_rate(recipe: Recipe, rate: float) -> Recipe:
    """The same with another learning rate."""
    return replace(recipe, optimizer=replace(recipe.optimizer, lr=rate))


class Laboratory:
    """Measures recipes, all of one task. measured, remembered: how many trials were run and how many were known."""

    def __init__(self, task: Task, recipe: Recipe, store: Store, run: Run, progress: Progress | None = None) -> None:
        self.task = task
        self.measured = 0
        self.remembered = 0
        self._recipe = recipe
        self._store = store
        self._run = run
        self._progress = progress
        self._digest = task_digest(task)
        self._known: dict[Recipe, Result] = {}

    def measure(self, wanted: Sequence[Methods], what: str) -> list[Result | None]:
        """The result of each set of methods; None where the network does not admit it, it needs too much, or diverges.

        what: is being done, for the progress. Raises MicrograftError where the store cannot be written.
        """
        return self.measure_recipes([replace(self._recipe, methods=methods) for methods in wanted], what)

    def measure_recipes(self, recipes: Sequence[Recipe], what: str) -> list[Result | None]:
        """The same for recipes that differ in more than their methods."""
        new = [recipe for recipe in dict.fromkeys(recipes) if not self._remember(recipe)]
        done = len(set(recipes)) - len(new)
        self._show(what, done, len(set(recipes)))
        for recipe, outcome in self._run(run_trial, self.task, new):
            done += 1
            self._show(what, done, len(set(recipes)))
            if isinstance(outcome, MicrograftError):
                continue
            self.measured += 1
            self._known[recipe] = Result(outcome.learned, outcome.work, outcome.block, outcome.cost)
            self._store.put(self._key(recipe), asdict(self._known[recipe]))
        return [self._usable(self._known.get(recipe)) for recipe in recipes]

    def _remember(self, recipe: Recipe) -> bool:
        """Whether a recipe's result is known."""
        if recipe in self._known:
            return True
        found = self._store.get(self._key(recipe))
        try:
            result = Result.read(found) if found is not None else None
        except (KeyError, TypeError):
            return False  # it is not what we wrote: it is measured again
        if result is None or (result.learned is None and self._is_allowed(result)):
            return False  # or it needed too much for another budget, and was not tried
        self._known[recipe] = result
        self.remembered += 1
        return True

    def _usable(self, result: Result | None) -> Result | None:
        return result if result is not None and result.learned and self._is_allowed(result) else None

    def _is_allowed(self, result: Result) -> bool:
        return self.task.room.holds(result.block, result.cost.written, result.work)

    def _key(self, recipe: Recipe) -> str:
        return key_of(self._digest, repr(recipe))

    def _show(self, what: str, done: int, total: int) -> None:
        if self._progress is not None and total:
            self._progress(what, done, total, None)


FACES = ("cli", "demo", "report")
"""Rooms that show what was measured, and so may change without its being measured again."""


@cache
def code_digest() -> str:
    """What micrograft computes with: its sources, Python and C, but for its faces."""
    root = Path(__file__).parent
    files = [path for path in root.rglob("*") if path.suffix in (".py", ".c", ".h", ".j2")]
    names = {str(path.relative_to(root)): path for path in files if path.relative_to(root).parts[0] not in FACES}
    return key_of(*(part for name in sorted(names) for part in (name, names[name].read_bytes())))


def task_digest(task: Task) -> str:
    """Everything that the results of a task follow from, beside the recipe and what it may need."""
    network = task.network
    parts: list[str | bytes] = [
        code_digest(),
        to_text(network),
        repr((task.steps, task.rates, task.seed, *([task.draws] if task.draws > 1 else []))),
    ]
    parts += [param.data.tobytes() for param in network.params]
    parts.append(task.calibration.tobytes() if task.calibration is not None else b"")
    for episode in task.episodes:
        for samples in (episode.learn, episode.judge):
            assert samples.y is not None, "an episode has targets"
            parts += [repr(samples.x.shape), samples.x.tobytes(), samples.y.tobytes()]
    return key_of(*parts)


def _read_learned(found: dict[str, Any]) -> Learned:
    return Learned(found["rate"], tuple(Score(**score) for score in found["scores"]))


def running_trials(processes: int | None, cluster: str | None) -> Run:
    """How trials run: on a Ray cluster where its address is given, else in so many processes, by default all cores."""
    if cluster is not None:
        return lambda work, task, recipes: run_on_cluster(work, task, recipes, cluster)
    return lambda work, task, recipes: run_all(work, task, recipes, processes or cores())
