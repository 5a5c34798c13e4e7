"""A search on real data: what to train so that a keyword network learns how a new person says the ten digits.

The network (MLPerf Tiny's DS-CNN) first learns a ten-way head from two speakers. The search tries what to train on two
others, five recordings of each digit, and never hears the last two: on these the schemes that it found and the uniform
methods are compared, each learned from five recordings of each digit and judged on takes 10 to 49. For each uniform
method stands the best scheme of the front that needs no more RAM.

    python benchmarks/search_digits.py [--out DIR] [--ram BYTES]      (the trials are kept in DIR and not run again)
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from micrograft import api, get_peft_model
from micrograft.explore import Quest, search
from micrograft.ir.graph import Graph
from micrograft.laboratory import running_trials
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.head import Head
from micrograft.recipe import Recipe
from micrograft.report.findings import Findings, Point, findings_text, write_findings
from micrograft.report.html import html_search
from micrograft.report.progress import showing_progress
from micrograft.report.text import to_text
from micrograft.samples import Samples
from micrograft.search.evolve import Evolution
from micrograft.search.holdout import Episode
from micrograft.search.store import Store
from micrograft.spec import parse_methods, parse_optimizer
from micrograft.trial import Task, run_trial

SHARED = Path(__file__).parents[2] / "shared"
PRETRAINED, SEARCHED, TESTED = ("george", "jackson"), ("lucas", "nicolas"), ("theo", "yweweler")
SHOTS, EPOCHS = 5, 3


def main() -> None:
    """Search, compare, print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--out", type=Path, default=Path("search-digits"))
    words.add_argument("--ram", type=int, default=160_000)
    words.add_argument("--judged", type=int, default=80)
    words.add_argument("--generations", type=int, default=3)
    given = words.parse_args()
    recordings = np.load(SHARED / "data" / "spoken_digits_mfcc.npz")
    network = pretrained(recordings)
    quest = Quest(
        network,
        api.board("stm32f746"),
        Recipe((Head(),), SGD(lr=0.05)),
        tuple(episode(recordings, speaker) for speaker in SEARCHED),
        judged=given.judged,
        steps=EPOCHS * SHOTS * 10,
        ram=given.ram,
        ratios=(0.25, 1.0),
        evolution=Evolution(given.generations),
    )
    start = time.monotonic()
    with showing_progress("searching") as progress:
        findings, schemes = search(quest, Store(given.out / "trials"), running_trials(None, None), progress)
    print(to_text(findings_text(findings)))
    write_findings(given.out, findings, schemes)
    (given.out / "report.html").write_text(html_search(findings))
    print(f"The search took {time.monotonic() - start:.0f} seconds of wall time on this machine.\n")
    compare(quest, findings, recordings)


def pretrained(recordings: np.lib.npyio.NpzFile) -> Graph:
    """The keyword network with a ten-way head that two speakers have taught."""
    network = api.load(SHARED / "models" / "kws_dscnn_float32.tflite", classes=10)
    chosen = np.isin(recordings["speaker"], PRETRAINED)
    model = get_peft_model(network, Head(), optimizer=SGD(lr=0.02))
    model.train(
        recordings["x"][chosen],
        recordings["y"][chosen],
        epochs=4,
        shuffle=0,
        x_test=recordings["x"][:1],
        y_test=recordings["y"][:1],
    )
    return model.merge_and_unload()


def episode(recordings: np.lib.npyio.NpzFile, speaker: str) -> Episode:
    """One speaker's first takes of each digit to learn from; takes 10 to 49 to judge by."""
    mine, take = recordings["speaker"] == speaker, recordings["take"]

    def samples(chosen: np.ndarray) -> Samples:
        return Samples(recordings["x"][chosen], recordings["y"][chosen])

    return Episode(samples(mine & (take < SHOTS)), samples(mine & (take >= 10)))


def compare(quest: Quest, findings: Findings, recordings: np.lib.npyio.NpzFile) -> None:
    """Each uniform method beside the best scheme that needs no more RAM, on speakers that the search never heard."""
    episodes = tuple(episode(recordings, speaker) for speaker in TESTED)
    task = Task(quest.network, None, quest.episodes[0].learn.x[:16], episodes, quest.steps, seed=2)
    known: dict[str, float] = {}

    def tested(point: Point) -> float:
        words = f"{point.method} {point.optimizer}"
        if words not in known:
            recipe = replace(quest.recipe, methods=parse_methods(point.method))
            outcome = run_trial(task, replace(recipe, optimizer=parse_optimizer(point.optimizer)))
            known[words] = outcome.score.merit if outcome.score is not None else 0.0
        return known[words]

    form = "{:<26}{:>9}{:>10}   {:>9}{:>10}  {}"
    print(f"On {' and '.join(TESTED)}, {sum(len(each.judge) for each in episodes)} recordings, never heard before:")
    print(form.format("uniform method", "RAM", "accuracy", "RAM", "accuracy", "found by the search within that RAM"))
    for point in sorted((each for each in findings.points if each.origin == "uniform"), key=lambda each: each.ram):
        others = [each for each in findings.points if each.ram <= point.ram and each.confirmed is not None]
        best = max(others, key=lambda each: (each.final, -each.ram))
        figures = (f"{point.ram:,}", f"{tested(point):.1%}", f"{best.ram:,}", f"{tested(best):.1%}")
        print(form.format(point.method, *figures, best.text or best.method), flush=True)
    best = findings.best
    print(f"the best found: {best.words}, {best.ram:,} bytes, {tested(best):.1%}")


if __name__ == "__main__":
    main()
