"""One self-contained HTML page: the bill, the comparison, the loss, and the arena's map over a training step.

The pictures are SVG that the template draws; this module computes where everything goes. Nothing is loaded from
outside, and the same input gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path

import jinja2

from micrograft.ir.graph import Phase
from micrograft.planning.plan import Buffer, Plan, Purpose
from micrograft.report.record import TrainRecord
from micrograft.report.text import RAM_PARTS, number, percent, share

_TEMPLATES = Path(__file__).parent / "templates"
WIDTH, MAP_HEIGHT, CURVE_HEIGHT, LEFT, TOP = 920, 420, 220, 64, 26  # of the pictures, in pixels
NARROW = 54  # pixels: a rectangle below this width carries no label

COLOURS = {
    Purpose.ACTIVATION: "activation",
    Purpose.GRADIENT: "gradient",
    Purpose.OPTIMIZER: "optimizer",
    Purpose.WORKSPACE: "workspace",
}


@dataclass(frozen=True)
class Report:
    """What a page shows. memory: the plan of the training step. others: more records for the comparison."""

    title: str
    summary: str
    record: TrainRecord
    memory: Plan
    others: Sequence[TrainRecord] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Rectangle:
    """A coloured rectangle, in pixels, with what it says when pointed at and perhaps a label."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    tooltip: str
    label: str = ""


@dataclass(frozen=True)
class Mark:
    """A place on an axis, in pixels, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Picture:
    """A diagram. line: points of a polyline. dots: points. Marks along x and y; spans name stretches of x."""

    width: int
    height: int
    rectangles: tuple[Rectangle, ...] = ()
    line: tuple[tuple[float, float], ...] = ()
    dots: tuple[tuple[float, float], ...] = ()
    x_marks: tuple[Mark, ...] = ()
    y_marks: tuple[Mark, ...] = ()
    spans: tuple[Rectangle, ...] = ()
    cursor: Mark | None = None


def html_report(report: Report) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "percent": percent}
    bill = report.record.bill
    return environment.get_template("report.html.j2").render(
        report=report,
        record=report.record,
        bill=bill,
        rows=[each for each in (*report.others, report.record) if each.bill is not None] if report.others else [],
        ram_parts=RAM_PARTS,
        share=share,
        bars=_bars(report.record),
        memory=memory_map(report.memory),
        curve=loss_curve(report.record.losses),
        arena=report.memory.arena,
        lower_bound=report.memory.lower_bound,
        purposes=[(colour, purpose.value) for purpose, colour in COLOURS.items()],
        left=LEFT,
        top=TOP,
        version=version("micrograft"),
    )


def memory_map(plan: Plan) -> Picture:
    """The arena over one training step: nodes from left to right, addresses from bottom to top."""
    steps, arena = max(len(plan.schedule), 1), max(plan.arena, 1)
    x_scale, y_scale = (WIDTH - LEFT - 8) / steps, (MAP_HEIGHT - TOP - 24) / arena
    bottom = MAP_HEIGHT - 24

    def rectangle(buffer: Buffer) -> Rectangle:
        width, height = (buffer.last + 1 - buffer.first) * x_scale, buffer.size * y_scale
        names = ", ".join(buffer.values)
        stretch = f"steps {buffer.first + 1} to {buffer.last + 1}, bytes {buffer.offset} to {buffer.end - 1}"
        tooltip = f"{buffer.layer}: {names}\n{buffer.purpose.value}, {buffer.size:,} bytes\n{stretch}"
        fits = height > 13 and width > max(NARROW, 6.5 * len(buffer.layer))
        x, y = LEFT + buffer.first * x_scale, bottom - buffer.end * y_scale
        return Rectangle(x, y, width, height, COLOURS[buffer.purpose], tooltip, buffer.layer if fits else "")

    forward = sum(node.phase is Phase.FORWARD for node in plan.schedule)
    spans = [("forward", 0, forward), ("backward and updates", forward, len(plan.schedule))]
    peak = plan.schedule[plan.peak_position]
    return Picture(
        WIDTH,
        MAP_HEIGHT,
        rectangles=tuple(rectangle(buffer) for buffer in plan.buffers),
        y_marks=tuple(Mark(bottom - value * y_scale, f"{value:,.0f}") for value in ticks(arena)),
        spans=tuple(
            Rectangle(LEFT + start * x_scale, TOP, (end - start) * x_scale, bottom - TOP, "span", "", name)
            for name, start, end in spans
            if end > start
        ),
        cursor=Mark(LEFT + (plan.peak_position + 0.5) * x_scale, f"peak: {peak.op} of {peak.origin or 'the step'}"),
    )


def loss_curve(losses: Sequence[float], window: int = 14) -> Picture:
    """The loss of each step as dots, and the mean of the last `window` of them as a line."""
    if not losses:
        return Picture(WIDTH, 0)
    highest = max(losses) or 1.0
    bottom = CURVE_HEIGHT - 24
    x_scale, y_scale = (WIDTH - LEFT - 8) / max(len(losses), 1), (bottom - 8) / highest

    def point(step: int, loss: float) -> tuple[float, float]:
        return LEFT + (step + 0.5) * x_scale, bottom - loss * y_scale

    sums = [0.0, *accumulate(losses)]
    means = [(sums[i + 1] - sums[max(0, i + 1 - window)]) / min(i + 1, window) for i in range(len(losses))]
    return Picture(
        WIDTH,
        CURVE_HEIGHT,
        line=tuple(point(step, mean) for step, mean in enumerate(means)),
        dots=tuple(point(step, loss) for step, loss in enumerate(losses)),
        x_marks=tuple(Mark(point(int(value) - 1, 0)[0], f"{value:,.0f}") for value in ticks(len(losses)) if value >= 1),
        y_marks=tuple(Mark(bottom - value * y_scale, f"{value:g}") for value in ticks(highest)),
    )


def ticks(largest: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to at most `largest`, about `count` of them.

    >>> ticks(23000)
    [0.0, 5000.0, 10000.0, 15000.0, 20000.0]
    """
    rough = largest / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * i for i in range(math.floor(largest / step + 1e-9) + 1)]


def _bars(record: TrainRecord) -> Picture | None:
    """RAM by part above the board's, and standard backpropagation's below, to one scale."""
    bill = record.bill
    if bill is None:
        return None
    scale = (WIDTH - 2) / max(bill.ram.total, bill.ram_available, bill.backpropagation_ram)
    rectangles, x = [], 1.0
    for part, text in RAM_PARTS.items():
        size = bill.ram.to_json()[part]
        rectangles.append(Rectangle(x, 24, size * scale, 30, part, f"{text}: {size:,} bytes"))
        x += size * scale
    whole = f"ordinary backpropagation: {bill.backpropagation_ram:,} bytes, estimated"
    rectangles.append(Rectangle(1, 84, bill.backpropagation_ram * scale, 30, "backpropagation", whole))
    board = Mark(1 + bill.ram_available * scale, f"{bill.board}: {bill.ram_available:,}")
    return Picture(WIDTH, 122, rectangles=tuple(rectangles), cursor=board)
