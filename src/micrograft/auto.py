"""`--method auto`: try the sensible plans on a board, learn a little with each, take the best and say why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from micrograft import api
from micrograft.api import Progress
from micrograft.boards import Board
from micrograft.errors import MicrograftError
from micrograft.explain import step_work
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.peft.method import Method
from micrograft.peft.sparse import Sparse
from micrograft.recipe import Recipe
from micrograft.report.record import Choice, Option
from micrograft.samples import Samples
from micrograft.search.candidates import candidates
from micrograft.search.holdout import FOLDS, Episode, hold_out, spread
from micrograft.search.limits import Limits
from micrograft.search.standings import Standings
from micrograft.search.workers import cores, run_all
from micrograft.spec import methods_text, optimizer_text
from micrograft.trial import Outcome, Score, Task, judge_untrained, run_trial

RATES = (1.0, 1 / 3, 3.0)
"""Factors on the learning rate, each tried with every plan: what suits a head need not suit LoRA."""

WORK = 50_000_000_000
"""Estimated instructions that the training of one plan may take on this computer: some 20 seconds."""

LEAST_STEPS = 50


@dataclass(frozen=True)
class Chosen:
    """recipe: what to train with, None where nothing fits. choice: the whole table."""

    recipe: Recipe | None
    choice: Choice


def choose(
    network: Graph,
    board: Board,
    recipe: Recipe,
    data: Samples | None = None,
    *,
    calibration: Array | None = None,
    epochs: int = 1,
    limits: Limits | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Chosen:
    """Try every sensible method in place of the recipe's.

    data: some of it is held out to judge by; None ranks by what is trained. epochs: of each training, cut where it
    would take long. limits: of a step. processes: as many as there are cores unless told otherwise. Raises
    MicrograftError where the data do not fit the network or cannot be split.
    """
    limits = limits or Limits()
    task = _task(network, board, data, calibration, epochs, counted=limits.on(board) is not None)
    before = judge_untrained(task, recipe.loss) if task.episodes else None
    tried = list(candidates(network, recipe))
    found: dict[Recipe, Outcome | MicrograftError] = {}
    for each, outcome in run_all(run_trial, task, tried, cores() if processes is None else processes):
        found[each] = outcome
        if progress is not None:
            progress("trying plans", len(found), len(tried), None)
    outcomes = [outcome for each in tried if isinstance(outcome := found[each], Outcome)]
    if not outcomes:
        error = next(iter(found.values()))
        assert isinstance(error, MicrograftError)
        raise error
    problems = [_problem(outcome, limits, board, bool(task.episodes)) for outcome in outcomes]
    pairs = [(outcome, problem) for outcome, problem in zip(outcomes, problems, strict=True)]
    ranked = sorted(pairs, key=lambda pair: (bool(pair[1]), *_rank(pair[0])))
    options = [_option(*pair) for pair in ranked]
    fitting = [outcome for outcome, problem in ranked if not problem]
    rule = _rule(task, limits, board)
    why = _why(fitting, task, board, before) if fitting else _none(outcomes, limits, board)
    choice = Choice(options, rule, why, before.accuracy if before is not None else None)
    return Chosen(fitting[0].recipe if fitting else None, choice)


def _task(
    network: Graph, board: Board, data: Samples | None, calibration: Array | None, epochs: int, counted: bool
) -> Task:
    """Each quarter of each class is held out in turn; where that takes too long, the last one alone."""
    if data is None:
        return Task(network, board, calibration, counted=counted)
    work = 3 * step_work(api.freeze(network).predict)  # a step of full training is about three forward passes
    affordable = max(LEAST_STEPS, int(WORK / (len(RATES) * work)))
    learn = hold_out(data).learn
    wanted = epochs * len(learn)
    folds = FOLDS if FOLDS * wanted <= affordable else 1
    episodes = [hold_out(data, fold) for fold in range(folds)]
    judged = tuple(Episode(each.learn, spread(each.judge, affordable)) for each in episodes)
    calibration = learn.x[: api.CALIBRATION_SAMPLES] if calibration is None else calibration
    return Task(network, board, calibration, judged, min(wanted, affordable), RATES, counted)


def _problem(outcome: Outcome, limits: Limits, board: Board, judged: bool) -> str:
    """Why a plan cannot be taken."""
    most = limits.on(board)
    if outcome.bill is None or not outcome.bill.fits:
        return f"does not fit {board.name}"
    if most is not None and (outcome.instructions or 0) > most:
        return f"takes more than {most:,} instructions a step"
    return "the loss diverged" if judged and outcome.score is None else ""


def _rank(outcome: Outcome) -> tuple[float, ...]:
    """Smaller is better."""
    bill = outcome.bill
    assert bill is not None, "it was planned for a board"
    if outcome.score is not None:
        return (-outcome.score.merit, bill.ram.total)
    return (float(2 * bill.ram.total > bill.ram_available), -bill.trainable_parameters, bill.ram.total)


def _ram(outcome: Outcome) -> int:
    """bytes, of everything."""
    assert outcome.bill is not None, "it was planned for a board"
    return outcome.bill.ram.total


def _rule(task: Task, limits: Limits, board: Board) -> str:
    limit = f"; {limits.text(board)}" if limits.text(board) else ""
    if not task.episodes:
        rule = "without data, plans that leave half of the RAM to the application come first, those that train more"
        return f"{rule} numbers before others, then less RAM{limit}"
    first, *others = task.episodes
    what = "accuracy" if np.issubdtype(_dtype(first), np.integer) else "loss"
    judged = sum(len(each.judge) for each in task.episodes)
    stretches = f"each of {FOLDS} equal stretches of each class in turn" if others else "of each class the last quarter"

    return (
        f"{what} on {judged} held-out samples ({stretches}, in the order given) after {task.steps} steps on this "
        f"computer, then less RAM; each plan with the best of {len(task.rates)} learning rates or more{limit}"
    )


def _dtype(episode: Episode) -> np.dtype[np.generic]:
    assert episode.judge.y is not None
    return episode.judge.y.dtype


def _none(outcomes: Sequence[Outcome], limits: Limits, board: Board) -> str:
    """Why none can be taken, in a sentence."""
    small, most = [each for each in outcomes if each.bill is not None and each.bill.fits], limits.on(board)
    if not small:
        return f"None of the {len(outcomes)} plans fits {board.name}; take a larger board or a smaller network."
    counts = {each.instructions: _text(each.recipe.methods) for each in small if each.instructions is not None}
    if most is not None and counts and min(counts) > most:
        least = f"{counts[min(counts)]} takes {min(counts):,} instructions a step, which is the least"
        return f"None of the {len(outcomes)} plans keeps to {most:,} instructions a step; {least}."
    return f"None of the {len(outcomes)} plans that fit {board.name} learns; try smaller learning rates."


def _why(fitting: Sequence[Outcome], task: Task, board: Board, before: Score | None) -> str:
    """One sentence, and one on what may be as good in less RAM."""
    best, bill = fitting[0], fitting[0].bill
    assert bill is not None
    name = _text(best.recipe.methods)
    ram = f"{bill.ram.total:,} of {bill.ram_available:,} bytes of RAM"
    again = ", computing values again to fit," if best.recipe.arena is not None else ""
    if best.score is None or before is None:
        return f"{name}{again} trains {bill.trainable_parameters:,} numbers in {ram}: the first by the rule above."
    gained = f"{_merit(best.score)} of what was held out (before: {_merit(before)})"
    others = next((each for each in fitting[1:] if each.score is not None), None)
    second = ""
    if others is not None and others.score is not None:
        same = others.score.merit == best.score.merit
        than = "the same with more RAM" if same else _merit(others.score)
        second = f"; the next, {_text(others.recipe.methods)}, {than}"
    why = f"{name}{again} did best of the {len(fitting)} plans that can be taken, {gained}, in {ram}{second}."
    return why + _smaller(fitting)


def _smaller(fitting: Sequence[Outcome]) -> str:
    """What may be as good as the first plan in the least RAM, by the stretches held out; "" where that is the first."""
    pairs = [(each, each.learned[0].scores) for each in fitting if each.learned]
    plans = [plan for plan, _ in pairs]
    standings = Standings(np.array([[[score.merit for score in scores]] for _, scores in pairs]))
    least = min(standings.as_good(0), key=lambda index: (_ram(plans[index]), index))
    if least == 0:
        return ""
    by, error = standings.between(0, least)
    has_classes = pairs[0][1][0].accuracy is not None
    figures = f"{100 * by:.1f} ± {100 * error:.1f} %" if has_classes else f"{by:.4g} ± {error:.4g}"
    words = f"{_text(plans[least].recipe.methods)}, in {_ram(plans[least]):,} bytes"
    return f" Worse by {figures}, which may be chance: {words}."


def _merit(score: Score) -> str:
    return f"a loss of {score.loss:.4g}" if score.accuracy is None else f"{100 * score.accuracy:.1f} %"


def _option(outcome: Outcome, problem: str) -> Option:
    recipe, score = outcome.recipe, outcome.score
    words = {"method": methods_text(recipe.methods), "optimizer": optimizer_text(recipe.optimizer)}
    if recipe.arena is not None:
        words["arena"] = str(recipe.arena)
    counted = outcome.instructions is not None
    return Option(
        words,
        outcome.bill,
        score.accuracy if score else None,
        score.loss if score else None,
        outcome.instructions if counted else outcome.work,
        counted,
        problem,
        _text(recipe.methods),
    )


def _text(methods: Sequence[Method]) -> str:
    """The methods for people: a scheme by what it trains.

    >>> from micrograft.peft.head import Head
    >>> from micrograft.peft.scheme import LayerScheme, Scheme
    >>> layers = (LayerScheme("a", bias=True, weight=0.5), LayerScheme("b", weight=0.5))
    >>> _text([Sparse(Scheme(layers)), Head()])
    'sparse on 2 layers, 50 %+head'
    """
    return "+".join(_sparse_text(each) if isinstance(each, Sparse) else methods_text([each]) for each in methods)


def _sparse_text(method: Sparse) -> str:
    layers = method.scheme.layers
    count = f"{len(layers)} layers" if len(layers) > 1 else f"layer {layers[0].layer}"
    return f"sparse on {count}, {100 * max(layer.weight for layer in layers):g} %"
