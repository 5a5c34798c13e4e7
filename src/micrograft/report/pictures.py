"""The pictures of the HTML report: where everything goes, in pixels; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from micrograft.ir.graph import Phase
from micrograft.planning.plan import Buffer, Plan, Purpose
from micrograft.report.explanation import Explanation
from micrograft.report.findings import Findings, Point, score_text

WIDTH, MAP_HEIGHT, CURVE_HEIGHT, LEFT, TOP = 920, 420, 220, 64, 26  # of the pictures, in pixels
ROW, NAMES, SIZES = 17, 190, 76  # a tensor's line in the picture of lifetimes, and the columns beside it, in pixels
NARROW = 54  # pixels: a rectangle below this width carries no label

ORIGINS = {
    "uniform": "workspace",
    "piece": "optimizer",
    "selected": "gradient",
    "layered": "sample",
    "evolved": "activation",
}
"""Where a point of a search comes from, to its colour."""

COLOURS = {
    Purpose.ACTIVATION: "activation",
    Purpose.GRADIENT: "gradient",
    Purpose.OPTIMIZER: "optimizer",
    Purpose.WORKSPACE: "workspace",
    Purpose.SAMPLE: "sample",
}


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


def ticks(largest: float, count: int = 5, smallest: float = 0.0) -> list[float]:
    """Round numbers from `smallest` to `largest`, about `count` of them.

    >>> ticks(23000), ticks(23000, smallest=18000)
    ([0.0, 5000.0, 10000.0, 15000.0, 20000.0], [18000.0, 19000.0, 20000.0, 21000.0, 22000.0, 23000.0])
    """
    rough = (largest - smallest) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * i for i in range(math.ceil(smallest / step - 1e-9), math.floor(largest / step + 1e-9) + 1)]


def lifetimes_picture(explanation: Explanation, rows: int = 40) -> Picture:
    """Which tensor is alive when: one line for each of the `rows` that matter most, operations from left to right.

    Marks along y are the layers' names, marks along x their bytes at the peak.
    """
    tensors = explanation.drawn(rows)
    scale = (WIDTH - NAMES - SIZES) / max(len(explanation.alive), 1)
    bottom = TOP + ROW * len(tensors)
    colours = {purpose.value: colour for purpose, colour in COLOURS.items()}
    rectangles = []
    for line, tensor in enumerate(tensors):
        for size, run in groupby(range(len(tensor.alive)), key=tensor.alive.__getitem__):
            steps = list(run)
            if size:
                tooltip = f"{tensor.layer}: {tensor.purpose}\n{size:,} bytes, steps {steps[0] + 1} to {steps[-1] + 1}"
                x, y = NAMES + steps[0] * scale, TOP + ROW * line + 2
                rectangles.append(Rectangle(x, y, len(steps) * scale, ROW - 4, colours[tensor.purpose], tooltip))
    ends = [TOP + ROW * line + ROW - 5 for line in range(len(tensors))]
    return Picture(
        WIDTH,
        bottom + 8,
        rectangles=tuple(rectangles),
        x_marks=tuple(
            Mark(end, f"{each.at_peak:,}" if each.at_peak else "") for end, each in zip(ends, tensors, strict=True)
        ),
        y_marks=tuple(Mark(end, each.layer) for end, each in zip(ends, tensors, strict=True)),
        cursor=Mark(NAMES + (explanation.peak + 0.5) * scale, f"peak: {explanation.alive[explanation.peak]:,} bytes"),
    )


def front_picture(findings: Findings) -> Picture:
    """Every point by RAM (from left to right) and score (from bottom to top).

    Rectangles are the points, coloured by where they come from; the line is the best score that a given RAM reaches, of
    those that were measured to the end where there are any.
    """
    points = findings.points
    lowest = min(point.final for point in points)
    height = (max(point.final for point in points) - lowest) or 1.0
    widest, narrowest = max(point.ram for point in points), min(point.ram for point in points)
    start = 0.0 if narrowest in (0, widest) else max(0.0, narrowest - 0.05 * (widest - narrowest))
    bottom = MAP_HEIGHT - 24
    x_scale, y_scale = (WIDTH - LEFT - 24) / (widest - start), (bottom - TOP - 12) / height

    def place(point: Point) -> tuple[float, float]:
        return LEFT + (point.ram - start) * x_scale, bottom - 6 - (point.final - lowest) * y_scale

    def dot(point: Point) -> Rectangle:
        x, y = place(point)
        size = 10 if point is findings.best else 7 if point.on_front else 5
        text = f"{point.words}\n{score_text(findings, point.final)}, {point.ram:,} bytes of RAM, {point.origin}"
        return Rectangle(x - size / 2, y - size / 2, size, size, ORIGINS[point.origin], text)

    line: list[tuple[float, float]] = []
    best = -math.inf
    counted = [point for point in points if point.confirmed is not None] or points
    for point in sorted(counted, key=lambda point: (point.ram, -point.final)):
        if point.final > best:
            x, y = place(point)
            line += [(x, line[-1][1]), (x, y)] if line else [(x, y)]
            best = point.final
    scores = [lowest + height * part / 4 for part in range(5)]
    return Picture(
        WIDTH,
        MAP_HEIGHT,
        rectangles=tuple(dot(point) for point in sorted(points, key=lambda point: point.on_front)),
        line=tuple(line),
        x_marks=tuple(
            Mark(LEFT + (value - start) * x_scale, f"{value:,.0f}") for value in ticks(widest, smallest=start)
        ),
        y_marks=tuple(Mark(bottom - 6 - (each - lowest) * y_scale, score_text(findings, each)) for each in scores),
    )
