"""`micrograft search`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from micrograft.boards import find_board
from micrograft.cli.options import CLASSES, INTEGERS, JSON, LOSS, MODEL, OBSERVER, PATH, PRECISION, SHAPE, options
from micrograft.cli.show import show, show_json
from micrograft.cli.words import network_of
from micrograft.errors import MicrograftError
from micrograft.explore import Quest
from micrograft.explore import search as run_search
from micrograft.files import writing_folder
from micrograft.laboratory import running_trials
from micrograft.model import DEFAULT_BOARD
from micrograft.peft.head import Head
from micrograft.recipe import Recipe, usual_gradients, usual_loss
from micrograft.report.findings import findings_text, write_findings
from micrograft.report.html import html_search
from micrograft.report.progress import showing_progress
from micrograft.samples import Samples, check_inputs, read_data
from micrograft.search.evolve import Evolution
from micrograft.search.holdout import episodes_of
from micrograft.search.limits import Limits
from micrograft.search.store import Store
from micrograft.spec import parse_clip, parse_optimizer


@click.command()
@options(
    MODEL,
    click.option("--data", type=PATH, required=True, metavar="D.npz", help="x, y, perhaps task."),
    click.option("--board", default=DEFAULT_BOARD, show_default=True),
    click.option("--ram", type=click.IntRange(min=1), metavar="BYTES", help="By default all of it."),
    click.option("--max-written", type=click.IntRange(min=1), metavar="BYTES", help="By a save to flash."),
    click.option("--max-work", type=click.IntRange(min=1), metavar="N", help="Instructions of a step, emulated."),
    click.option("--max-seconds", type=float, metavar="S", help="Of a step, one instruction a clock cycle."),
    click.option("--shots", type=click.IntRange(min=1), metavar="K", help="Learn from the first K of each class."),
    click.option("--episodes", default=3, show_default=True, type=click.IntRange(min=1), help="Learned in each trial."),
    click.option("--epochs", default=1, show_default=True, type=click.IntRange(min=1), help="Times over."),
    click.option("--judged", default=200, show_default=True, type=click.IntRange(min=1), help="Samples of an episode."),
    click.option("--generations", default=4, show_default=True, type=click.IntRange(min=0), help="Of the evolution."),
    click.option("--children", default=16, show_default=True, type=click.IntRange(min=1), help="In each generation."),
    click.option("--again", default=3, show_default=True, type=click.IntRange(min=1), help="Rounds that decide."),
    click.option("--optimizer", default="sgd:lr=0.05", show_default=True, help="And lr/4, and 4 times lr, and on."),
    click.option("--clip", default="tensor:1", show_default=True, help="As for train."),
    click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of new parameters and the evolution."
    ),
    click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; by default all cores."),
    click.option("--cluster", metavar="ADDRESS", help="Run the trials on a Ray cluster; `auto` finds one."),
    click.option("--store", type=PATH, metavar="DIR", help="What was measured; by default trials in --out."),
    click.option("--out", type=PATH, required=True, metavar="DIR", help="Gets the front, schemes and a report."),
    LOSS,
    INTEGERS,
    PRECISION,
    click.option("--calibration", type=PATH, metavar="C.npz", help="Samples x for int8's ranges; by default D.npz."),
    OBSERVER,
    CLASSES,
    SHAPE,
    JSON,
)
def search(model: Path, data: Path, out: Path, as_json: bool, **words: Any) -> None:
    """Find what to train of MODEL within a budget of RAM: layer by layer, measured on the data."""
    place, optimizer, clip = find_board(words["board"]), parse_optimizer(words["optimizer"]), parse_clip(words["clip"])
    work = Limits(words["max_work"], words["max_seconds"]).on(place)
    with writing_folder(out, "trials"):
        pass  # whether it can be written shows before anything is measured
    file = read_data(data)
    if words["precision"] == "int8":
        words = {**words, "calibration": words["calibration"] or data}
    network, _, _ = network_of(model, words)
    samples = Samples(check_inputs(file.train.x, network.inputs[0]), file.train.y)
    episodes = episodes_of(samples, file.tasks, words["shots"])
    recipe = Recipe((Head(),), optimizer, words["loss"] or usual_loss(samples.y), clip, seed=words["seed"])
    gradients = words["gradients"] or usual_gradients(place)
    recipe = replace(recipe, gradients=gradients, additions=words["additions"] or gradients)
    quest = Quest(
        network,
        place,
        recipe,
        episodes,
        steps=words["epochs"] * max(len(episode.learn) for episode in episodes),
        ram=words["ram"] or place.ram.size,
        again=tuple(episodes_of(samples, file.tasks, words["shots"], fold + 1) for fold in range(words["again"])),
        with_head=words["classes"] is not None,
        searched=words["episodes"],
        judged=words["judged"],
        written=words["max_written"],
        work=work,
        evolution=Evolution(words["generations"], words["children"], seed=words["seed"]),
    )
    run = running_trials(words["jobs"], words["cluster"])
    try:
        with showing_progress("planning") as progress:
            findings, schemes = run_search(quest, Store(words["store"] or out / "trials"), run, progress)
    except KeyboardInterrupt:
        fix = "run the same command again: what was measured is kept and not measured again"
        raise MicrograftError("interrupted", where="search", fix=fix) from None
    with writing_folder(out, "search") as new:
        write_findings(new, findings, schemes)
        (new / "report.html").write_text(html_search(findings))
    show_json(findings.to_json()) if as_json else show(findings_text(findings))
