"""`micrograft search`: what to train within a budget of RAM, found by measuring.

1. each piece is trained alone: what it gains (contribution analysis, arXiv:2206.15472), and what it costs;
2. a solver selects pieces for each of several budgets; its answers are planned, repaired and measured;
3. evolution goes on from these and from the uniform methods, by measurements alone;
4. the best for each amount of RAM are measured once more, on all episodes and in another order, and linked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from micrograft import api
from micrograft.api import Progress
from micrograft.boards import Board
from micrograft.errors import MicrograftError
from micrograft.explain import block_and_buffers
from micrograft.ir.graph import Graph
from micrograft.laboratory import Laboratory, Methods, Result, Run, task_digest
from micrograft.peft.bias import Bias
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.sparse import Sparse
from micrograft.recipe import Recipe
from micrograft.report.findings import Contribution, Findings, Point
from micrograft.search.candidates import uniform
from micrograft.search.costs import FREE, Cost, ram_of, union
from micrograft.search.evolve import Evolution, Objectives, dominates, evolve
from micrograft.search.holdout import Episode, spread
from micrograft.search.pieces import RANKS, RATIOS, Piece, compose, head_pieces, pieces
from micrograft.search.select import Budget, Item, Selection, select
from micrograft.search.store import Store, key_of
from micrograft.spec import methods_text, optimizer_text, parse_methods
from micrograft.trial import Task, as_it_came, judge_untrained, run_trial

SHARES = (1.0, 0.75, 0.5, 0.3)
"""Of the room between the smallest piece and the budget: for each the solver selects."""

ROUNDS = 5
"""How often a selection is repaired whose plan needs more, or much less, than its budget."""

CONFIRMED = 6
"""How many of the best are measured once more."""


@dataclass(frozen=True, eq=False)
class Quest:
    """What is searched.

    recipe: everything but the methods. episodes: of which `searched` are learned in each trial, judged by `judged`
    samples each, spread evenly; at the end all of them by all of their samples.
    with_head: whether the head is trained in any case, as a new one must be. ram: bytes, of everything, stack included.
    written: bytes of trained parameters and optimizer state, at most. work: estimated instructions of a step, at most.
    rates: factors on the learning rate, each tried. ratios, ranks: of pieces.
    """

    network: Graph
    board: Board
    recipe: Recipe
    episodes: tuple[Episode, ...]
    steps: int
    ram: int
    with_head: bool = False
    searched: int = 3
    judged: int = 200
    written: int | None = None
    work: int | None = None
    rates: tuple[float, ...] = (1.0, 0.25)
    ratios: Sequence[float] = RATIOS
    ranks: Sequence[int] = RANKS
    evolution: Evolution = field(default_factory=Evolution)


def search(quest: Quest, store: Store, run: Run, progress: Progress | None = None) -> tuple[Findings, dict[str, str]]:
    """The findings, and the schemes in TOML that methods on the front need, by file name.

    store: of what was measured. run: where trials run. Raises MicrograftError where nothing fits the budget.
    """
    return _Search(quest, store, run, progress).run()


@dataclass(frozen=True)
class _Tried:
    """A set of methods that was measured, where it came from, and the pieces that it is made of, if it is."""

    origin: str
    methods: Methods
    result: Result

    @property
    def merit(self) -> float:
        assert self.result.score is not None
        return self.result.score.merit


@dataclass(frozen=True)
class _Linked:
    """ram: bytes of the linked image. instructions: of a step, emulated."""

    ram: int
    instructions: int


class _Search:
    """The state of one search."""

    def __init__(self, quest: Quest, store: Store, run: Run, progress: Progress | None) -> None:
        self._quest = quest
        self._run = run
        self._store = store
        self._progress = progress
        self._start = time.monotonic()
        network = quest.network
        self._stack = self._smallest_stack()
        self._forward = as_it_came(network)
        calibration = quest.episodes[0].learn.x[: api.CALIBRATION_SAMPLES]
        block = quest.ram - self._stack
        searched = [Episode(each.learn, spread(each.judge, quest.judged)) for each in quest.episodes[: quest.searched]]
        task = Task(network, None, calibration, tuple(searched), quest.steps, quest.rates, block=block)
        self._laboratory = Laboratory(task, quest.recipe, store, run, progress)
        again = replace(task, episodes=quest.episodes, seed=1)
        self._confirming = Laboratory(again, quest.recipe, store, run, progress)
        self._always = head_pieces(network) if quest.with_head else frozenset()
        self._tried: dict[Methods, _Tried] = {}
        self._every = [each for each in pieces(network, quest.ratios, quest.ranks) if self._is_free(each)]
        self._selected: list[frozenset[Piece]] = []
        self._proof = ""

    def run(self) -> tuple[Findings, dict[str, str]]:
        before = judge_untrained(self._laboratory.task)
        self._measure("uniform", [each.methods for each in uniform(self._quest.network, self._quest.recipe)])
        items, base = self._contributions(before.merit)
        self._select(items, base)
        self._evolve(items)
        if not self._tried:
            fix = "allow more RAM, or take a network with smaller activations"
            raise MicrograftError(f"nothing can be trained in {self._quest.ram:,} bytes of RAM", fix=fix)
        confirmed = self._confirm()
        points, schemes = _with_schemes(self._points(confirmed))
        best = max(points, key=lambda point: (point.confirmed is not None, point.final, -point.ram))
        labs = (self._laboratory, self._confirming)
        findings = Findings(
            points=points,
            best=best,
            contributions=[self._contribution(item, base) for item in items],
            ram=self._quest.ram,
            what="accuracy" if before.accuracy is not None else "minus loss",
            rule=self._rule(),
            before=before.merit,
            proof=self._proof,
            seconds=time.monotonic() - self._start,
            measured=sum(lab.measured for lab in labs),
            remembered=sum(lab.remembered for lab in labs),
        )
        return findings, schemes

    def _measure(self, origin: str, wanted: Sequence[Methods], what: str = "") -> list[Result | None]:
        """Results within all limits; they are among the points from then on."""
        results = self._laboratory.measure(wanted, what or f"trials: {origin}")
        kept = [result if result is not None and self._is_allowed(result) else None for result in results]
        for methods, result in zip(wanted, kept, strict=True):
            if result is not None:
                self._tried.setdefault(methods, _Tried(origin, methods, result))
        return kept

    def _is_allowed(self, result: Result) -> bool:
        quest = self._quest
        fits = quest.written is None or result.cost.own <= quest.written
        return fits and (quest.work is None or result.work <= quest.work)

    def _contributions(self, before: float) -> tuple[list[Item], Result | None]:
        """What each piece gains alone, over what is always trained."""
        base = self._measure("piece", [compose(self._always)])[0] if self._always else None
        start = base.score.merit if base is not None and base.score is not None else before
        results = self._measure("piece", [compose(self._always | {each}) for each in self._every])
        found = []
        for piece, result in zip(self._every, results, strict=True):
            if result is not None and result.score is not None:
                own = result.cost.own - (base.cost.own if base is not None else 0)
                found.append(Item(piece, result.score.merit - start, replace(result.cost, own=own)))
        return found, base

    def _is_free(self, piece: Piece) -> bool:
        return piece.slot not in {each.slot for each in self._always}

    def _select(self, items: Sequence[Item], base: Result | None) -> None:
        """Measure what the solver selects for several budgets."""
        if not items:
            return
        block = self._laboratory.task.block
        assert block is not None
        least = min(ram_of(union([item.cost, *self._borne(base)]), self._forward) for item in items)
        selected = []
        for share in SHARES:
            found = self._repaired(items, base, int(least + share * (block - least)))
            if found is not None:
                selected.append(found)
                if share == SHARES[0]:
                    self._proof = _proof(found)
        self._selected = [each.chosen for each in selected]
        self._measure("selected", list(dict.fromkeys(compose(self._always | each) for each in self._selected)))

    def _repaired(self, items: Sequence[Item], base: Result | None, block: int) -> Selection | None:
        """The selection with the largest gain whose plan needs at most `block` bytes without the stack."""
        quest = self._quest
        always = base.cost if base is not None else FREE
        ram, best, seen = block, None, set()
        for _ in range(ROUNDS):
            found = select(items, Budget(ram, quest.written, quest.work), self._forward, always)
            if not found.chosen or found.chosen in seen:
                break
            seen.add(found.chosen)
            methods = compose(self._always | found.chosen)
            library = api.adapt(
                quest.network, replace(quest.recipe, methods=methods), self._laboratory.task.calibration
            )
            needed = block_and_buffers(library)
            if needed <= block and (best is None or found.gain > best.gain):
                best = found
            ram += block - needed
            if self._progress is not None:
                self._progress("selecting", len(seen), ROUNDS, None)
        return best

    def _evolve(self, items: Sequence[Item]) -> None:
        """Go on from the uniform methods, from single pieces and from what was selected."""
        known = {compose(self._always | {item.piece}): frozenset({item.piece}) for item in items}
        known |= {compose(self._always | each): each for each in self._selected}
        known |= self._uniform_genomes()
        start = [
            (genome, _objectives(self._tried[methods].result))
            for methods, genome in known.items()
            if methods in self._tried and genome
        ]
        if not start:
            return

        def measure(genomes: Sequence[frozenset[Piece]]) -> list[Objectives | None]:
            results = self._measure("evolved", [compose(self._always | genome) for genome in genomes])
            return [_objectives(result) if result is not None else None for result in results]

        evolve(start, self._every, measure, self._quest.evolution)

    def _uniform_genomes(self) -> dict[Methods, frozenset[Piece]]:
        """The uniform methods that sets of pieces can express, with the head where that is always trained."""
        head: Methods = (Head(),) if self._quest.with_head else ()
        kinds: dict[Methods, list[Piece]] = {(Bias(), *head): [each for each in self._every if each.kind == "bias"]}
        for rank in self._quest.ranks:
            for kind, freeze_a in (("lora", False), ("lora_b", True)):
                chosen = [each for each in self._every if each.kind == kind and each.amount == rank]
                kinds[(LoRA(rank=rank, freeze_a=freeze_a), *head)] = chosen
        return {methods: frozenset(chosen) for methods, chosen in kinds.items()}

    def _confirm(self) -> dict[Methods, Result]:
        """What may be taken, measured once more: on all episodes, judged by all of their samples, in another order.

        The best few, the best for each amount of RAM, and the uniform methods, to compare with.
        """
        ranked = sorted(self._tried.values(), key=lambda tried: (-tried.merit, tried.result.block))
        stairs = {
            tried.methods: tried
            for tried in ranked
            if not any(other.result.block <= tried.result.block and other.merit > tried.merit for other in ranked)
        }
        chosen = stairs | {tried.methods: tried for tried in ranked[:CONFIRMED]}
        chosen |= {tried.methods: tried for tried in ranked if tried.origin == "uniform"}
        best = list(chosen.values())
        results = self._confirming.measure([tried.methods for tried in best], "confirming")
        return {tried.methods: result for tried, result in zip(best, results, strict=True) if result is not None}

    def _points(self, confirmed: dict[Methods, Result]) -> list[Point]:
        """Everything that was measured, the front first, linked for the board and counted in the emulator."""
        objectives = {methods: _objectives(tried.result) for methods, tried in self._tried.items()}
        front = {
            methods
            for methods, mine in objectives.items()
            if not any(dominates(other, mine) for other in objectives.values())
        }
        linked = self._linked([self._tried[methods] for methods in dict.fromkeys([*front, *confirmed])])
        points = []
        for methods, tried in self._tried.items():
            point = self._point(tried, confirmed.get(methods), methods in front)
            if methods in linked:
                known = linked[methods]
                point = replace(point, ram=known.ram, instructions=known.instructions, linked=True, counted=True)
            points.append(point)
        return sorted(points, key=lambda point: (not point.on_front, point.ram, -point.score))

    def _linked(self, wanted: Sequence[_Tried]) -> dict[Methods, _Linked]:
        """The image of each for the board, and its instructions in the emulator."""
        quest = self._quest
        task = Task(quest.network, quest.board, self._laboratory.task.calibration, counted=True)
        digest = task_digest(task)
        found: dict[Methods, _Linked] = {}
        new: list[Recipe] = []
        for tried in wanted:
            recipe = tried.result.recipe(replace(quest.recipe, methods=tried.methods))
            known = self._store.get(key_of("linked", digest, repr(quest.board), repr(recipe)))
            if known is None:
                new.append(recipe)
            else:
                found[tried.methods] = _Linked(**known)
        for recipe, outcome in self._run(run_trial, task, new):
            if (
                not isinstance(outcome, MicrograftError)
                and outcome.bill is not None
                and outcome.instructions is not None
            ):
                linked = _Linked(outcome.bill.ram.total, outcome.instructions)
                self._store.put(key_of("linked", digest, repr(quest.board), repr(recipe)), asdict(linked))
                found[recipe.methods] = linked
            if self._progress is not None:
                self._progress("linking the front", len(found), len(wanted), None)
        return found

    def _point(self, tried: _Tried, again: Result | None, on_front: bool) -> Point:
        result = tried.result
        recipe = (again or result).recipe(replace(self._quest.recipe, methods=tried.methods))
        return Point(
            origin=tried.origin,
            method=methods_text(tried.methods),
            optimizer=optimizer_text(recipe.optimizer),
            ram=result.block + self._stack,
            instructions=result.work,
            written=result.cost.own,
            score=tried.merit,
            confirmed=again.score.merit if again is not None and again.score is not None else None,
            on_front=on_front,
        )

    def _contribution(self, item: Item, base: Result | None) -> Contribution:
        """RAM and instructions more than what is always trained, by the model that the solver has."""
        before, after = union(self._borne(base)), union([item.cost, *self._borne(base)])
        ram = ram_of(after, self._forward) - ram_of(before, self._forward)
        return Contribution(str(item.piece), item.gain, ram, sum(after.ways.values()) - sum(before.ways.values()))

    def _borne(self, base: Result | None) -> list[Cost]:
        """What is always trained."""
        return [base.cost] if base is not None else []

    def _smallest_stack(self) -> int:
        """bytes, of training the head: what the search takes for every method until it links."""
        recipe = replace(self._quest.recipe, methods=(Head(),))
        return api.plan(api.adapt(self._quest.network, recipe), recipe, self._quest.board).ram.stack

    def _rule(self) -> str:
        quest = self._quest
        count = min(quest.searched, len(quest.episodes))
        learned = int(np.mean([len(episode.learn) for episode in quest.episodes]))
        judged = sum(len(episode.judge) for episode in self._laboratory.task.episodes)
        every = sum(len(episode.judge) for episode in quest.episodes)
        rule = f"each trial: {count} episodes of {learned} samples, {quest.steps} steps, judged on {judged} others, "
        rule += f"the best of {len(quest.rates)} learning rates; "
        rule += (
            f"measured again on {len(quest.episodes)} episodes and {every} samples in another order; the mean counts"
        )
        return rule + ("; the head is always trained" if quest.with_head else "")


def _objectives(result: Result) -> Objectives:
    """Smaller is better: bytes, estimated instructions, minus the merit."""
    assert result.score is not None
    return float(result.block), float(result.work), -result.score.merit


def _with_schemes(points: Sequence[Point]) -> tuple[list[Point], dict[str, str]]:
    """The points with names for the schemes of those on the front, and those schemes as TOML."""
    schemes: dict[str, str] = {}
    named = []
    for point in points:
        methods = parse_methods(point.method)
        sparse = next((method for method in methods if isinstance(method, Sparse)), None)
        if sparse is not None and (point.on_front or point.confirmed is not None):
            name = f"scheme-{len(schemes) + 1}.toml"
            schemes[name] = sparse.scheme.to_toml()
            shown = [replace(method, file=name) if method is sparse else method for method in methods]
            point = replace(point, scheme=name, text=methods_text(shown))
        named.append(point)
    return named, schemes


def _proof(selection: Selection) -> str:
    """What the solver proved, in words."""
    if selection.bound <= selection.gain + 1e-6:
        return "The selection is proven best for its model, in which gains and shared memory add up."
    return f"The selection gains {selection.gain:.3f} by its model, and at most {selection.bound:.3f} is possible."
