"""A search on real data, judged by people (or cameras) that it never heard or saw.

What it found stands beside methods that treat all layers alike, each within the RAM of one of them.

    python -m benchmarks.search_people digits|activity|signs [--part 0] [--out DIR]     searches, judges, prints
    python -m benchmarks.search_people digits --parts 3                                 and all parts together

digits: MLPerf Tiny's keyword network with a ten-way head that one speaker has taught; the search learns three others,
five recordings of each digit; the last two judge. A part turns the speakers round, so that each judges once.
activity: a network that knows the phones of seven people; the search learns the watches of eight others, the first
recordings of each activity; eight others judge. A part turns the 23 people round.
signs: a network that knows photographs of hands; the search learns eight cameras, eight photographs of each digit;
eight others judge, by photographs of other people (benchmarks/cameras.py).

Finished trials are kept below DIR and are not run again. Judging takes three draws of what is learned, its order
and new parameters; wall time and processor time are printed.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.people import STUDIES, Study
from micrograft import api
from micrograft.explore import Quest, search
from micrograft.ir.types import Array
from micrograft.laboratory import Laboratory, running_trials
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.head import Head
from micrograft.recipe import Recipe
from micrograft.report.findings import Findings, Point, findings_text, write_findings
from micrograft.report.html import html_search
from micrograft.report.progress import showing_progress
from micrograft.report.text import to_text
from micrograft.search.evolve import Evolution
from micrograft.search.store import Store
from micrograft.spec import parse_methods, parse_optimizer
from micrograft.trial import Task

SEEDS = 3
"""Draws by which each person judges."""


@dataclass(frozen=True)
class Line:
    """A uniform method, and what was found within its RAM, on the people who judge: (seeds, people) shares of 1."""

    method: str
    ram: int
    merits: Array
    found: str
    found_ram: int
    found_merits: Array


def main() -> None:
    """Search, judge, print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("study", choices=STUDIES)
    words.add_argument("--part", type=int, default=0)
    words.add_argument("--parts", type=int, help="so many from 0 on, and all together")
    words.add_argument("--out", type=Path, default=Path("out/search"))
    words.add_argument("--jobs", type=int)
    given = words.parse_args()
    parts = range(given.parts) if given.parts else [given.part]
    lines = [line for part in parts for line in run(STUDIES[given.study], part, given.out / given.study, given.jobs)]
    if len(parts) > 1:
        print(f"\nAll {len(parts)} parts:")
        print(table(together(lines)))


def run(study: Study, part: int, out: Path, jobs: int | None) -> list[Line]:
    """One search and who judges it."""
    start, used = time.monotonic(), _processor_seconds()
    folder = out / f"part{part}"
    store, trials = Store(out / "trials"), running_trials(jobs, None)
    network, searched, judging = study.network(part), study.searched(part), study.judging(part)
    rounds = [tuple(study.episode(person, fold) for person in searched) for fold in range(study.again + 1)]
    quest = Quest(
        network,
        api.board(study.board),
        Recipe((Head(),), SGD(lr=study.rate)),
        rounds[0],
        steps=study.epochs * max(len(each.learn) for each in rounds[0]),
        ram=study.ram,
        again=tuple(rounds[1:]),
        searched=4,
        judged=study.judged,
        rates=(1.0, 0.25),
        ratios=(0.25, 1.0),
        evolution=Evolution(),
    )
    with showing_progress("searching") as progress:
        findings, schemes = search(quest, store, trials, progress)
    print(f"\nPart {part}: searched on {', '.join(searched)}; judged by {', '.join(judging)}")
    print(to_text(findings_text(findings)))
    folder.mkdir(parents=True, exist_ok=True)
    write_findings(folder, findings, schemes)
    (folder / "report.html").write_text(html_search(findings))
    wall, processor = time.monotonic() - start, _processor_seconds() - used
    print(f"The search took {wall:.0f} s of wall time and {processor:.0f} s of processor time.\n")
    lines = judged(quest, findings, study, part, store, jobs)
    print(table(lines), flush=True)
    return lines


def judged(quest: Quest, findings: Findings, study: Study, part: int, store: Store, jobs: int | None) -> list[Line]:
    """On people whom the search does not know."""
    people = study.judging(part)
    points = list(dict.fromkeys(point for each in findings.comparisons for point in (each.uniform, each.found)))
    merits: dict[Point, list[list[float]]] = {point: [] for point in points}
    with showing_progress("judging") as progress:
        for seed in range(SEEDS):
            episodes = tuple(study.drawn(person, seed) for person in people)
            task = Task(quest.network, None, quest.episodes[0].learn.x[:16], episodes, quest.steps, seed=100 + seed)
            recipes = [replace(_recipe(quest.recipe, point), seed=100 + seed) for point in points]
            laboratory = Laboratory(task, quest.recipe, store, running_trials(jobs, None), progress)
            for point, result in zip(points, laboratory.measure_recipes(recipes, f"judging {seed + 1}"), strict=True):
                scores = result.learned[0].scores if result is not None and result.learned else None
                merits[point].append([each.merit for each in scores] if scores else [0.0] * len(people))
    pairs = [(each.uniform, each.found) for each in findings.comparisons]
    return [
        Line(alike.method, alike.ram, np.array(merits[alike]), found.words, found.ram, np.array(merits[found]))
        for alike, found in pairs
    ]


def _recipe(recipe: Recipe, point: Point) -> Recipe:
    return replace(recipe, methods=parse_methods(point.method), optimizer=parse_optimizer(point.optimizer))


def together(lines: Sequence[Line]) -> list[Line]:
    """The same methods of several parts as one line each; all people of all parts judge."""
    found = []
    for method in dict.fromkeys(line.method for line in lines):
        same = [line for line in lines if line.method == method]
        merits = [np.concatenate([part(line) for line in same], axis=1) for part in (_alike, _found)]
        ram = round(np.mean([line.found_ram for line in same]))
        found.append(Line(method, same[0].ram, merits[0], f"({len(same)} searches)", ram, merits[1]))
    return found


def _alike(line: Line) -> Array:
    return line.merits


def _found(line: Line) -> Array:
    return line.found_merits


def table(lines: Sequence[Line]) -> str:
    """In Markdown. ±: the standard error over the people who judge, of the difference too."""
    rows = [
        "| alike | RAM | accuracy | found within it: RAM | accuracy | difference | what |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in sorted(lines, key=lambda line: line.ram):
        by_person = 100 * (line.found_merits - line.merits).mean(axis=0)
        error = by_person.std(ddof=1) / np.sqrt(len(by_person))
        figures = [100 * each.mean() for each in (line.merits, line.found_merits)]
        rows.append(
            f"| {line.method} | {line.ram:,} | {figures[0]:.1f} | {line.found_ram:,} | {figures[1]:.1f} "
            f"| {by_person.mean():+.1f} ± {error:.1f} | {line.found if line.found_ram != line.ram else 'the same'} |"
        )
    return "\n".join(rows)


def _processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()
