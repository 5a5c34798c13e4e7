"""One way of adapting a network, tried: what it costs on a board, and how well it learns on this computer.

Costs are planned for the linked image. Learning runs the very C that the board would run, so its accuracies are the
board's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import cycle

import numpy as np

from micrograft import api
from micrograft.boards import Board
from micrograft.codegen.artifact import Library
from micrograft.errors import MicrograftError
from micrograft.explain import block_and_buffers, step_work
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.float_head import float_head
from micrograft.passes.fold_batch_norm import fold_batch_norm
from micrograft.passes.prune import prune
from micrograft.peft.head import Head
from micrograft.planning.effort import Effort
from micrograft.recipe import Recipe
from micrograft.report.record import Bill
from micrograft.samples import Samples, check_inputs
from micrograft.search.costs import Cost, Forward, cost_of, forward_of
from micrograft.search.holdout import Episode
from micrograft.search.limits import Room
from micrograft.search.rates import next_rate
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import Runner, count_instructions

EFFORT = Effort(work=0.5)
"""Of the solver that makes a step fit a board."""

MORE_RATES = 3
"""Learning rates that are tried beyond those that were asked for, while the best one is the last on its side."""


@dataclass(frozen=True, eq=False)
class Task:
    """What all trials share.

    board: None where only learning is asked for. calibration: samples that tell the scale of new parameters. episodes:
    learned from the same start, one by one; () plans alone. steps: of each training. rates: learning rates, each tried
    as a factor on the recipe's, and more where the best one is the smallest or the largest; the best one counts.
    counted: whether the emulator counts a step's instructions. room: what needs more learns nothing. seed: of the order
    of the samples. draws: of new parameters, with which the episodes begin in turn; the recipe's seed is the first.
    """

    network: Graph
    board: Board | None = None
    calibration: Array | None = None
    episodes: tuple[Episode, ...] = ()
    steps: int = 0
    rates: tuple[float, ...] = (1.0,)
    counted: bool = False
    room: Room = field(default_factory=Room)
    seed: int = 0
    draws: int = 1


@dataclass(frozen=True)
class Score:
    """accuracy: share of 1, None without classes. loss: mean. Both over what is judged, the mean of all episodes."""

    accuracy: float | None
    loss: float

    @property
    def merit(self) -> float:
        """What is compared: the accuracy where there is one, else the loss; larger is better, both finite."""
        return self.accuracy if self.accuracy is not None else -self.loss

    @property
    def rank(self) -> tuple[float, float]:
        """The same, and of equal accuracies that of the smaller loss is larger."""
        return self.merit, -self.loss


@dataclass(frozen=True)
class Learned:
    """What one learning rate gave: a score for each episode, in their order."""

    rate: float
    scores: tuple[Score, ...]

    @property
    def score(self) -> Score:
        """The mean over the episodes."""
        return mean_score(self.scores)


@dataclass(frozen=True)
class Outcome:
    """recipe: as it was tried, with the arena that makes it fit and the best learning rate. bill: None without board.

    score: after learning, None where nothing was learned or every learning rate diverged. work: estimated instructions
    of a step. instructions: emulated, None unless counted. cost: by its parts. block: bytes of RAM without the stack.
    learned: by every learning rate that did not diverge, the best first; None where learning was not tried.
    """

    recipe: Recipe
    bill: Bill | None
    score: Score | None
    work: int
    cost: Cost
    block: int
    instructions: int | None = None
    learned: tuple[Learned, ...] | None = None


def run_trial(task: Task, recipe: Recipe) -> Outcome:
    """Plan, link, learn and judge. Raises MicrograftError where the network or the board does not admit the recipe."""
    draws = api.draws(task.network, recipe, _seeds(task, recipe), task.calibration, EFFORT)
    library, bill = next(draws), None
    if task.board is not None:
        recipe, library, bill = _fitted(task, task.board, recipe, library)
    assert library.train is not None
    cost = cost_of(library.train, library.memory, as_it_came(task.network))
    outcome = Outcome(recipe, bill, None, step_work(library.train), cost, block_and_buffers(library))
    if (bill is not None and not bill.fits) or not task.room.holds(outcome.block, cost.written, outcome.work):
        return outcome
    if task.counted:
        outcome = replace(outcome, instructions=_count(task, library))
    if not task.episodes:
        return outcome
    learned = _learn(task, recipe, [library, *draws])
    if not learned:
        return replace(outcome, learned=())
    optimizer = replace(recipe.optimizer, lr=learned[0].rate)
    return replace(outcome, recipe=replace(recipe, optimizer=optimizer), score=learned[0].score, learned=tuple(learned))


def judge_untrained(task: Task, loss: str) -> Score:
    """How well the network does as it came."""
    recipe = Recipe((Head(),), loss=loss)
    library = api.adapt(task.network, recipe, task.calibration)
    with api.host(library) as runner:
        return mean_score([_judged(runner, each.judge) for each in task.episodes])


def mean_score(scores: Sequence[Score]) -> Score:
    """The mean over episodes, but for what rounding adds: of equally many right it is the same."""
    accuracies = [score.accuracy for score in scores if score.accuracy is not None]
    loss = float(np.mean([score.loss for score in scores]))
    return Score(round(math.fsum(accuracies) / len(accuracies), 12) if accuracies else None, loss)


def as_it_came(network: Graph) -> Forward:
    """What predicting holds."""
    graph = prune(fold_batch_norm(float_head(network)))
    return forward_of(graph.nodes, [port.value for port in graph.outputs], graph.sample)


def _fitted(task: Task, board: Board, recipe: Recipe, library: Library) -> tuple[Recipe, Library, Bill]:
    """The same, with values computed again where that makes it fit the board's RAM."""
    bill = api.plan(library, recipe, board)
    excess = bill.ram.total - bill.ram_available
    arena = library.memory.arena - excess
    if excess <= 0 or arena <= 0:
        return recipe, library, bill
    tight = replace(recipe, arena=arena // 8 * 8)
    try:
        smaller = api.adapt(task.network, tight, task.calibration, EFFORT)
    except MicrograftError:
        return recipe, library, bill
    return tight, smaller, api.plan(smaller, tight, board)


def _count(task: Task, library: Library) -> int:
    """Instructions of a step on the emulated board."""
    assert task.board is not None, "instructions are a board's"
    port, target = library.input, library.target
    assert target is not None and library.step is not None
    x = np.zeros(port.user_shape, port.value.dtype.numpy)
    y = np.zeros(target.user_shape, target.value.dtype.numpy)
    if task.episodes:
        learn = api.check_samples(library, task.episodes[0].learn)
        assert learn.y is not None
        x, y = learn.x[0], learn.y[0]
    elif task.calibration is not None:  # floats in software are the faster the more zeros there are
        x = check_inputs(task.calibration, port)[0]
    with api.emulated(library, task.board) as runner:
        assert isinstance(runner.device, Emulator)
        count = library.step.accumulate
        return count_instructions(runner.device, lambda: [runner.train_step(x, y) for _ in range(count)]) // count


def _seeds(task: Task, recipe: Recipe) -> range:
    """Of new parameters, and of the rounding of trained codes."""
    return range(recipe.seed, recipe.seed + max(1, min(task.draws, len(task.episodes))))


def _learn(task: Task, recipe: Recipe, libraries: Sequence[Library]) -> list[Learned]:
    """What each learning rate gives that does not diverge, the best first. libraries: of each draw."""
    tried: dict[float, Learned | None] = {}
    waiting = [_rounded(factor * recipe.optimizer.lr) for factor in task.rates]
    with ExitStack() as stack:
        runners = [stack.enter_context(api.host(library)) for library in libraries]
        while waiting:
            rate = waiting.pop(0)
            pairs = zip(cycle(runners), task.episodes, strict=False)
            scores = [_episode(runner, task, episode, rate) for runner, episode in pairs]
            finite = tuple(score for score in scores if score is not None)
            tried[rate] = Learned(rate, finite) if len(finite) == len(scores) else None
            if not waiting and len(tried) < len(task.rates) + MORE_RATES:
                ranks = {rate: each.score.rank if each is not None else None for rate, each in tried.items()}
                further = next_rate(ranks)
                waiting += [_rounded(further)] if further is not None else []
    return sorted((each for each in tried.values() if each is not None), key=lambda each: each.score.rank, reverse=True)


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


def _episode(runner: Runner, task: Task, episode: Episode, rate: float) -> Score | None:
    """Learn one episode from the start; None where the loss stops being finite."""
    learn = api.check_samples(runner.library, episode.learn)
    assert learn.y is not None
    runner.reset()
    runner.set_learning_rate(rate)
    for index in step_order(len(learn), task.steps, task.seed):
        if not math.isfinite(runner.train_step(learn.x[index], learn.y[index])):
            return None
    score = _judged(runner, episode.judge)
    return score if math.isfinite(score.loss) else None


def step_order(count: int, steps: int, seed: int) -> list[int]:
    """Which sample each step sees: all of them in a drawn order, then again in another; always the same."""
    generator = np.random.default_rng(seed)
    order: list[int] = []
    while len(order) < steps:
        order.extend(int(index) for index in generator.permutation(count))
    return order[:steps]


def _judged(runner: Runner, samples: Samples) -> Score:
    return Score(*api.judge(runner, api.check_samples(runner.library, samples)))
