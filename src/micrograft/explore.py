"""`micrograft search`: what to train within a budget of RAM, found by measuring.

1. each piece is trained alone: what it gains (contribution analysis, arXiv:2206.15472), and what it costs;
2. a solver selects pieces for each of several budgets; its answers are planned, repaired and measured;
3. evolution goes on from these, from the uniform methods and from layered sets, by measurements alone;
4. the best for each amount of RAM are measured again in a race, from other samples, and linked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from micrograft import api
from micrograft.api import Progress
from micrograft.boards import Board
from micrograft.codegen.artifact import Library
from micrograft.errors import MicrograftError
from micrograft.explain import block_and_buffers
from micrograft.ir.graph import Graph
from micrograft.laboratory import Laboratory, Methods, Result, Run
from micrograft.linking import Linking
from micrograft.peft.head import Head
from micrograft.peft.sparse import Sparse
from micrograft.race import DRAWS, Finalist, Race
from micrograft.recipe import Recipe
from micrograft.report.findings import Comparison, Contribution, Findings, Perhaps, Point, with_front
from micrograft.report.record import Bill
from micrograft.search.candidates import RANKS as UNIFORM_RANKS
from micrograft.search.candidates import as_pieces, layered, uniform
from micrograft.search.costs import FREE, Cost, ram_of, union
from micrograft.search.evolve import Evolution, Objectives, evolve
from micrograft.search.holdout import Episode, spread
from micrograft.search.limits import Room
from micrograft.search.pieces import RANKS, RATIOS, Piece, compose, head_pieces, pieces
from micrograft.search.select import Budget, Item, Selection, select
from micrograft.search.standings import Standings
from micrograft.search.store import Store
from micrograft.spec import methods_text, optimizer_text, parse_methods
from micrograft.trial import Task, as_it_came, judge_untrained

SHARES = (1.0, 0.75, 0.5, 0.3)
"""Of the room between the smallest piece and the budget: for each the solver selects."""

ROUNDS = 5
"""How often a selection is repaired whose plan needs more, or much less, than its budget."""

THOROUGH = 5
"""How many times more samples judge in the race."""


@dataclass(frozen=True, eq=False)
class Quest:
    """What is searched.

    recipe: everything but the methods. episodes: of which `searched` are learned in each trial, judged by `judged`
    samples each, spread evenly. again: the same tasks with other samples to learn from, for each round of the race, or
    () for one round with the same; there all are learned, and judged by THOROUGH times as many samples.
    with_head: whether the head is trained in any case, as a new one must be. ram: bytes, of everything, stack included.
    written: bytes of trained parameters, as a save writes them, at most. work: instructions of a step, at most; the
    search goes by the estimate that fits what the emulator counts of this network, and the end by the emulator.
    rates: factors on the learning rate, each tried. ratios, ranks: of pieces that are trained alone.
    """

    network: Graph
    board: Board
    recipe: Recipe
    episodes: tuple[Episode, ...]
    steps: int
    ram: int
    again: tuple[tuple[Episode, ...], ...] = ()
    with_head: bool = False
    searched: int = 3
    judged: int = 200
    written: int | None = None
    work: int | None = None
    rates: tuple[float, ...] = (1.0, 0.25, 4.0)
    ratios: Sequence[float] = RATIOS
    ranks: Sequence[int] = RANKS
    evolution: Evolution = field(default_factory=Evolution)


def search(quest: Quest, store: Store, run: Run, progress: Progress | None = None) -> tuple[Findings, dict[str, str]]:
    """The findings, and the schemes in TOML that methods on the front need, by file name.

    store: of what was measured. run: where trials run. Raises MicrograftError where nothing fits the budget, or the
    budget does not fit the board.
    """
    if quest.ram > quest.board.ram.size:
        problem = f"the budget is {quest.ram:,} bytes of RAM, and the board has {quest.board.ram.size:,}"
        raise MicrograftError(problem, where=quest.board.name, fix="ask for less, or name a larger board")
    return _Search(quest, store, run, progress).run()


@dataclass(frozen=True)
class _Tried:
    """A set of methods that was measured, where it came from, and the pieces that it is made of, if it is."""

    origin: str
    methods: Methods
    result: Result


class _Search:
    """The state of one search."""

    def __init__(self, quest: Quest, store: Store, run: Run, progress: Progress | None) -> None:
        self._quest = quest
        self._run = run
        self._progress = progress
        self._start = time.monotonic()
        network = quest.network
        self._head = self._head_alone()
        self._stack = self._head[1].ram.stack
        self._forward = as_it_came(network)
        calibration = quest.episodes[0].learn.x[: api.CALIBRATION_SAMPLES]
        on_board = Task(network, quest.board, calibration)
        self._linking = Linking(on_board, store, run, progress)
        work = None if quest.work is None else self._linking.estimate(quest.work, quest.recipe, self._forward)
        self._room = Room(quest.ram - self._stack, quest.written, work)
        searched = _judged_by(quest.episodes[: quest.searched], quest.judged)
        task = Task(network, None, calibration, searched, quest.steps, quest.rates, room=self._room)
        self._laboratory = Laboratory(task, quest.recipe, store, run, progress)
        self._rounds = [
            Laboratory(
                replace(
                    task,
                    episodes=_judged_by(each, THOROUGH * quest.judged),
                    rates=(1.0,),
                    seed=number,
                    draws=DRAWS,
                ),
                *(quest.recipe, store, run, progress),
            )
            for number, each in enumerate(quest.again or (quest.episodes,), 1)
        ]
        self._always = head_pieces(network) if quest.with_head else frozenset()
        self._tried: dict[Methods, _Tried] = {}
        ranks = sorted({*quest.ranks, *UNIFORM_RANKS})
        self._every = [each for each in pieces(network, quest.ratios, ranks) if self._is_free(each)]
        self._genomes: dict[frozenset[Piece], Methods] = {}
        self._proof = ""

    def run(self) -> tuple[Findings, dict[str, str]]:
        before = judge_untrained(self._laboratory.task, self._quest.recipe.loss)
        self._uniform()
        items, base = self._contributions(before.merit)
        self._select(items, base)
        self._layered()
        self._evolve()
        finalists = self._race() if self._tried else {}
        points, schemes = _with_schemes(self._points(finalists))
        if not any(point.confirmed is not None for point in points):
            raise self._too_tight()
        labs = (self._laboratory, *self._rounds)
        best, perhaps, smaller, comparisons, noise = _decided(points, finalists, self._quest.ram)
        findings = Findings(
            points=points,
            best=best,
            perhaps=perhaps,
            smaller=smaller,
            comparisons=comparisons,
            noise=noise,
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

    def _uniform(self) -> None:
        """Measure what treats all layers alike; what sets of pieces can express is known by them from then on."""
        wanted = [each.methods for each in uniform(self._quest.network, self._quest.recipe)]
        self._measure("uniform", wanted)
        for methods in wanted:
            chosen = as_pieces(methods, self._quest.network)
            if chosen >= self._always:
                self._genomes.setdefault(chosen - self._always, methods)

    def _methods(self, genome: frozenset[Piece]) -> Methods:
        """What trains these pieces and what is always trained."""
        return self._genomes.setdefault(genome, compose(self._always | genome))

    def _measure(self, origin: str, wanted: Sequence[Methods], what: str = "") -> list[Result | None]:
        """Results within all limits; they are among the points from then on."""
        results = self._laboratory.measure(wanted, what or f"trials: {origin}")
        for methods, result in zip(wanted, results, strict=True):
            if result is not None:
                self._tried.setdefault(methods, _Tried(origin, methods, result))
        return results

    def _contributions(self, before: float) -> tuple[list[Item], Result | None]:
        """What each piece gains alone, over what is always trained."""
        base = self._measure("piece", [compose(self._always)])[0] if self._always else None
        start = base.merit if base is not None else before
        alone = [each for each in self._every if "lora" not in each.kind or each.amount in self._quest.ranks]
        results = self._measure("piece", [self._methods(frozenset({each})) for each in alone])
        found = []
        for piece, result in zip(alone, results, strict=True):
            if result is not None:
                borne = base.cost if base is not None else FREE
                own, written = result.cost.own - borne.own, result.cost.written - borne.written
                found.append(Item(piece, result.merit - start, replace(result.cost, own=own, written=written)))
        return found, base

    def _is_free(self, piece: Piece) -> bool:
        return piece.slot not in {each.slot for each in self._always}

    def _select(self, items: Sequence[Item], base: Result | None) -> None:
        """Measure what the solver selects for several budgets."""
        if not items:
            return
        block = self._quest.ram - self._stack
        least = min(ram_of(union([item.cost, *self._borne(base)]), self._forward) for item in items)
        selected = []
        for share in SHARES:
            found = self._repaired(items, base, int(least + share * (block - least)))
            if found is not None:
                selected.append(found)
                if share == SHARES[0]:
                    self._proof = _proof(found)
        self._measure("selected", [self._methods(each) for each in dict.fromkeys(each.chosen for each in selected)])

    def _repaired(self, items: Sequence[Item], base: Result | None, block: int) -> Selection | None:
        """The selection with the largest gain whose plan needs at most `block` bytes without the stack."""
        quest = self._quest
        always = base.cost if base is not None else FREE
        ram, best, seen = block, None, set()
        for _ in range(ROUNDS):
            found = select(items, Budget(ram, quest.written, self._room.work), self._forward, always)
            if not found.chosen or found.chosen in seen:
                break
            seen.add(found.chosen)
            recipe = replace(quest.recipe, methods=self._methods(found.chosen))
            library = api.adapt(quest.network, recipe, self._laboratory.task.calibration)
            needed = block_and_buffers(library)
            if needed <= block and (best is None or found.gain > best.gain):
                best = found
            ram += block - needed
            if self._progress is not None:
                self._progress("selecting", len(seen), ROUNDS, None)
        return best

    def _layered(self) -> None:
        """Measure the last layers trained in one way and those before them in a cheaper one."""
        genomes = dict.fromkeys(each - self._always for each in layered(self._quest.network))
        self._measure("layered", [self._methods(each) for each in genomes if each])

    def _evolve(self) -> None:
        """Go on from everything that was measured."""
        start = [
            (genome, _objectives(self._tried[methods].result))
            for genome, methods in self._genomes.items()
            if methods in self._tried and genome
        ]
        if not start:
            return

        def measure(genomes: Sequence[frozenset[Piece]]) -> list[Objectives | None]:
            results = self._measure("evolved", [self._methods(each) for each in genomes])
            return [_objectives(result) if result is not None else None for result in results]

        evolve(start, self._every, measure, self._quest.evolution)

    def _race(self) -> dict[Methods, Finalist]:
        """What may be taken within the budget and within the RAM of each uniform method, and these themselves."""
        results = {methods: tried.result for methods, tried in self._tried.items()}
        always = {methods: tried.result for methods, tried in self._tried.items() if tried.origin == "uniform"}
        levels = sorted({self._quest.ram - self._stack, *(result.block for result in always.values())})
        return Race(self._quest.recipe, results, levels, frozenset(always), self._rounds).run()

    def _points(self, finalists: dict[Methods, Finalist]) -> list[Point]:
        """Everything that was measured, the front first; finalists linked for the board and their instructions counted,
        but for those that need more than the budget after all."""
        recipes = {methods: finalist.recipe for methods, finalist in finalists.items()}
        ram = self._linking.ram(list(recipes.values()))
        small = [recipe for recipe, size in ram.items() if size <= self._quest.ram]
        counts, most = self._linking.instructions(small), self._quest.work
        points = [self._point(tried, None) for methods, tried in self._tried.items() if methods not in recipes]
        for methods, recipe in recipes.items():
            if recipe in counts and (most is None or counts[recipe] <= most):
                point = self._point(self._tried[methods], finalists[methods])
                exact = replace(point, ram=ram[recipe], instructions=counts[recipe], linked=True, counted=True)
                points.append(exact)
        return with_front(points)

    def _point(self, tried: _Tried, finalist: Finalist | None) -> Point:
        result = tried.result
        recipe = finalist.recipe if finalist is not None else result.recipe(self._quest.recipe)
        return Point(
            origin=tried.origin,
            method=methods_text(tried.methods),
            optimizer=optimizer_text(recipe.optimizer),
            ram=result.block + self._stack,
            instructions=result.work,
            written=result.cost.written,
            score=result.merit,
            confirmed=finalist.merit if finalist is not None else None,
        )

    def _contribution(self, item: Item, base: Result | None) -> Contribution:
        """RAM and instructions more than what is always trained, by the model that the solver has."""
        before, after = union(self._borne(base)), union([item.cost, *self._borne(base)])
        ram = ram_of(after, self._forward) - ram_of(before, self._forward)
        return Contribution(str(item.piece), item.gain, ram, sum(after.ways.values()) - sum(before.ways.values()))

    def _borne(self, base: Result | None) -> list[Cost]:
        """What is always trained."""
        return [base.cost] if base is not None else []

    def _head_alone(self) -> tuple[Library, Bill]:
        """Training the head: its stack is what the search takes for every method until it links."""
        recipe = replace(self._quest.recipe, methods=(Head(),))
        library = api.adapt(self._quest.network, recipe)
        return library, api.plan(library, recipe, self._quest.board)

    def _too_tight(self) -> MicrograftError:
        """That the budgets admit nothing, beside what training the head would need."""
        quest, (library, bill) = self._quest, self._head
        limits = [f"{quest.ram:,} bytes of RAM"]
        limits += [f"{quest.written:,} bytes written"] if quest.written is not None else []
        limits += [f"{quest.work:,} instructions a step"] if quest.work is not None else []
        recipe = replace(quest.recipe, methods=(Head(),))
        counted = self._linking.instructions([recipe]).get(recipe)
        needs = f"{bill.ram.total:,} bytes of RAM, {library.memory.state_bytes:,} written"
        needs += f", {counted:,} instructions a step" if counted is not None else ""
        fix = f"allow more, or take a smaller network; training the head alone needs {needs}"
        return MicrograftError(f"nothing can be trained in {', '.join(limits)}", fix=fix)

    def _rule(self) -> str:
        quest = self._quest
        count = min(quest.searched, len(quest.episodes))
        learned = int(np.mean([len(episode.learn) for episode in quest.episodes]))
        judged = sum(len(episode.judge) for episode in self._laboratory.task.episodes)
        rule = f"each trial: {count} episodes of {learned} samples, {quest.steps} steps, judged on {judged} others, "
        rule += f"the best of {len(quest.rates)} learning rates or more"
        thorough = self._rounds[0].task.episodes
        rule += f"; what did well was measured again, in {len(self._rounds)} rounds of {len(thorough)} episodes and "
        rule += f"{sum(len(episode.judge) for episode in thorough)} samples, which alone count"
        return rule + ("; the head is always trained, but in methods on all layers alike" if quest.with_head else "")


def _decided(
    points: Sequence[Point], finalists: dict[Methods, Finalist], ram: int
) -> tuple[Point, Perhaps | None, Perhaps | None, list[Comparison], float]:
    """What to take within so many bytes of RAM, what may be better, or as good in less, what to take within the RAM of
    each uniform method, and the noise."""
    merits = {methods_text(methods): finalist.merits for methods, finalist in finalists.items()}
    counted = sorted((point for point in points if point.confirmed is not None), key=lambda point: point.ram)
    standings = Standings(np.array([merits[point.method] for point in counted]))

    def take(most: int, alike: Sequence[int]) -> int:
        return standings.take([i for i, point in enumerate(counted) if point.ram <= most], alike)

    uniform_ones = [index for index, point in enumerate(counted) if point.origin == "uniform"]
    comparisons = [Comparison(counted[index], counted[take(counted[index].ram, [index])]) for index in uniform_ones]
    best, highest = take(ram, uniform_ones), max(range(len(counted)), key=lambda index: counted[index].final)
    by, error = standings.between(highest, best)
    perhaps = Perhaps(counted[highest], by, error if np.isfinite(error) else None) if by > 0 else None
    least = min(standings.as_good(best))  # they stand in the order of their RAM
    saves = counted[least].ram < counted[best].ram
    smaller = Perhaps(counted[least], *standings.between(least, best)) if saves else None
    return counted[best], perhaps, smaller, comparisons, standings.noise


def _judged_by(episodes: Sequence[Episode], most: int) -> tuple[Episode, ...]:
    """The same, judged by at most so many samples each."""
    return tuple(Episode(each.learn, spread(each.judge, most)) for each in episodes)


def _objectives(result: Result) -> Objectives:
    """Smaller is better: bytes, estimated instructions, minus the merit."""
    return float(result.block), float(result.work), -result.merit


def _with_schemes(points: Sequence[Point]) -> tuple[list[Point], dict[str, str]]:
    """The points with names for the schemes of those on the front, and those schemes as TOML."""
    schemes: dict[str, str] = {}
    named = []
    for point in points:
        methods = parse_methods(point.method)
        sparse = next((method for method in methods if isinstance(method, Sparse)), None)
        if sparse is not None and point.confirmed is not None:
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
