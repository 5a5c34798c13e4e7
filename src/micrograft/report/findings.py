"""What a search found, as JSON, CSV, schemes in TOML, and tables for a terminal."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from micrograft.report.text import number, percent


@dataclass(frozen=True)
class Point:
    """A way of adapting the network that was measured.

    origin: "uniform" (a method on all layers alike), "piece", "selected" (by the solver), "layered" (the last layers in
    one way, those before in another) or "evolved". method, optimizer: words of the command line. ram: bytes, planned,
    of the linked image where `linked`, else with the stack of training the head. instructions: of a step, emulated
    where `counted`, else estimated. written: bytes of trained parameters, as a save writes them. score: accuracy, or
    minus the loss where there are no classes, in the search. confirmed: the same in the race, None where it was not in
    all of it. scheme: the TOML file beside the report that says what its sparse part trains, "" where it has none.
    text: the method with that file's name, for people.
    """

    origin: str
    method: str
    optimizer: str
    ram: int
    instructions: int
    written: int
    score: float
    confirmed: float | None = None
    linked: bool = False
    counted: bool = False
    on_front: bool = False
    scheme: str = ""
    text: str = ""

    @property
    def words(self) -> str:
        """The method and its optimizer, for people."""
        return f"{self.text or self.method} {self.optimizer}"

    @property
    def final(self) -> float:
        """What counts: the figure of the race, where there is one."""
        return self.score if self.confirmed is None else self.confirmed


@dataclass(frozen=True)
class Contribution:
    """A piece trained alone: what it gains over what is always trained, and RAM and estimated instructions more."""

    piece: str
    gain: float
    ram: int
    instructions: int


@dataclass(frozen=True)
class Comparison:
    """A method that treats all layers alike, and what to take within its RAM: perhaps itself."""

    uniform: Point
    found: Point


@dataclass(frozen=True)
class Perhaps:
    """What may be better than the one to take, or as good in less RAM: by how much it did better (below 0: worse), and
    the standard error, where it is known."""

    point: Point
    by: float
    error: float | None


@dataclass(frozen=True)
class Findings:
    """points: everything that was measured within the budget, the front first. best: the one to take. perhaps: what did
    better, but not surely. smaller: what needs the least RAM and did not surely worse. comparisons: by their RAM.

    noise: the standard error of the difference between two confirmed figures, as all of them show it. ram: the budget,
    bytes. what: "accuracy" or "minus loss". rule: how it was measured, in words. before: the score of the network as it
    came. proof: of the solver, in words. seconds: wall time of this run, and trials in it that were measured anew or
    taken from the store.
    """

    points: Sequence[Point]
    best: Point
    perhaps: Perhaps | None
    smaller: Perhaps | None
    comparisons: Sequence[Comparison]
    noise: float
    contributions: Sequence[Contribution]
    ram: int
    what: str
    rule: str
    before: float
    proof: str
    seconds: float
    measured: int
    remembered: int

    @property
    def front(self) -> list[Point]:
        """The points that no other betters in RAM, instructions and score together."""
        return [point for point in self.points if point.on_front]

    def to_json(self) -> dict[str, Any]:
        noise = self.noise if math.isfinite(self.noise) else None
        return {**asdict(self), "noise": noise, "front": [asdict(point) for point in self.front]}


def with_front(points: Sequence[Point]) -> list[Point]:
    """The same, those marked and put first that no other betters; confirmed figures alone count where there are any.

    Of points that are equal in all three the first one stands for all.
    """
    counted = [point for point in points if point.confirmed is not None] or points
    first = {
        (point.ram, point.instructions, point.final): point for point in reversed(counted)
    }  # of equals one is shown
    front = [point for point in first.values() if not any(_betters(other, point) for other in counted)]
    marked = [replace(point, on_front=point in front) for point in points]
    return sorted(marked, key=lambda point: (not point.on_front, point.ram, -point.final))


def _betters(one: Point, other: Point) -> bool:
    """Whether it is nowhere worse and somewhere better."""
    pairs = [(one.ram, other.ram), (one.instructions, other.instructions), (-one.final, -other.final)]
    return all(mine <= its for mine, its in pairs) and any(mine < its for mine, its in pairs)


def write_findings(folder: Path, findings: Findings, schemes: dict[str, str]) -> None:
    """`front.json`, `front.csv` and, for each method on the front that has one, a scheme. schemes: name to TOML."""
    (folder / "front.json").write_text(json.dumps(findings.to_json(), indent=1) + "\n")
    table = io.StringIO()
    writer = csv.DictWriter(table, list(asdict(findings.best)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(point) for point in findings.front)
    (folder / "front.csv").write_text(table.getvalue())
    for name, text in schemes.items():
        (folder / name).write_text(text)


def findings_text(findings: Findings, pieces: int = 12) -> RenderableType:
    """The front, the pieces that gain most, and what it took."""
    took = f"{findings.seconds:.0f} seconds: {findings.measured} trials measured, {findings.remembered} remembered."
    notes = [f"Before: {score_text(findings, findings.before)}. {findings.rule[:1].upper()}{findings.rule[1:]}."]
    notes += [findings.proof, took, "~ is estimated; RAM is planned, and instructions without ~ are emulated."]
    notes += [NOISE.format(score_text(findings, findings.noise))] if math.isfinite(findings.noise) else []
    best = findings.best
    why = f"Best within {number(findings.ram)} bytes: {best.words}, {score_text(findings, best.final)}."
    tables = [_pieces(findings, pieces), _front(findings)]
    tables += [_comparisons(findings)] if findings.comparisons else []
    others = [Text(text) for text in perhaps_texts(findings)]
    return Group(*tables, *(Text(note, "dim") for note in notes if note), "", Text(why, "bold"), *others, "")


def perhaps_texts(findings: Findings) -> list[str]:
    """What may be better than the best or as good in less RAM, a sentence or two each."""
    texts = []
    if findings.perhaps is not None:
        better = f"Better by {_chance(findings, findings.perhaps, findings.perhaps.by)}"
        texts.append(f"{better}. More tasks would tell.")
    if findings.smaller is not None:
        texts.append(f"Worse by {_chance(findings, findings.smaller, -findings.smaller.by)}, the least RAM of such.")
    return texts


def _chance(findings: Findings, other: Perhaps, by: float) -> str:
    """How far apart, and what."""
    sure = f" ± {score_text(findings, other.error)}" if other.error is not None else ""
    what = f"{other.point.words}, in {number(other.point.ram)} bytes"
    return f"{score_text(findings, by)}{sure}, which may be chance: {what}"


NOISE = (
    "The standard error of a difference is about {}. A method that treats all layers alike gives way to what is two "
    "standard errors better."
)
"""How sure the figures are."""


def score_text(findings: Findings, score: float) -> str:
    """A score in the units that people read."""
    return percent(score) if findings.what == "accuracy" else f"{score:.4g}"


def _front(findings: Findings) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), title="Pareto front", title_justify="left")
    table.add_column("method", overflow="fold")
    for heading in (findings.what, "RAM", "instructions", "written"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in findings.front:
        count = ("" if point.counted else "~") + number(point.instructions)
        score = score_text(findings, point.final)
        table.add_row(escape(point.words), score, number(point.ram), count, number(point.written))
    return table


def _comparisons(findings: Findings) -> Table:
    title = "What to take within the RAM of methods that treat all layers alike"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), title=title, title_justify="left")
    table.add_column("alike", overflow="fold")
    for heading in ("RAM", findings.what):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("found", overflow="fold")
    for heading in ("RAM", findings.what):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in findings.comparisons:
        alike, found = each.uniform, each.found
        cells = [(escape(point.text or point.method), number(point.ram)) for point in (alike, found)]
        scores = [score_text(findings, point.final) for point in (alike, found)]
        table.add_row(*cells[0], scores[0], *(cells[1] if found != alike else ("the same", "")), scores[1])
    return table


def _pieces(findings: Findings, rows: int) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), title="Trained alone", title_justify="left")
    table.add_column("piece")
    for heading in ("gain", "RAM", "instructions"):
        table.add_column(heading, justify="right")
    for each in sorted(findings.contributions, key=lambda each: -each.gain)[:rows]:
        gain = f"{100 * each.gain:+.1f} %" if findings.what == "accuracy" else f"{each.gain:+.4g}"
        table.add_row(escape(each.piece), gain, f"{each.ram:+,}", f"~{each.instructions:+,}")
    return table
