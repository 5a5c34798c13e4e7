"""Self-contained HTML pages: what a training cost and did, and where the memory of a step goes.

The pictures are SVG that the template draws from `pictures.py`. Nothing is loaded from outside, and the same input
gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import jinja2

from micrograft.planning.plan import Plan
from micrograft.report.explanation import Explanation, explain_plan
from micrograft.report.findings import NOISE, Findings, perhaps_texts, score_text
from micrograft.report.pictures import (
    COLOURS,
    LEFT,
    NAMES,
    TOP,
    WIDTH,
    Mark,
    Picture,
    Rectangle,
    front_picture,
    lifetimes_picture,
    loss_curve,
    memory_map,
)
from micrograft.report.record import Bill, TrainRecord
from micrograft.report.text import RAM_PARTS, number, percent, share

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Report:
    """What the page of a training shows. memory: the plan of the training step. others: more records for the
    comparison. explanation: of that plan, with what would lower it; else the page shows what is alive when alone."""

    title: str
    summary: str
    record: TrainRecord
    memory: Plan
    others: Sequence[TrainRecord] = ()
    notes: Sequence[str] = ()
    explanation: Explanation | None = None


def html_report(report: Report) -> str:
    """The page of a training as text."""
    record = report.record
    return _page(
        "report.html.j2",
        report.memory,
        report.explanation or explain_plan(report.memory),
        record.bill,
        report=report,
        record=record,
        rows=[each for each in (*report.others, record) if each.bill is not None] if report.others else [],
        curve=loss_curve(record.losses),
        title=report.title,
        summary=report.summary,
    )


def html_plan(bill: Bill, memory: Plan, explanation: Explanation) -> str:
    """The page of a plan as text: its bill, and where the memory goes."""
    summary = f"{bill.method} with {bill.optimizer} on {bill.board}, planned"
    return _page("plan.html.j2", memory, explanation, bill, record=None, title=bill.network, summary=summary)


def html_search(findings: Findings) -> str:
    """The page of a search as text: its front, drawn, and what each piece gains."""
    return _template("search.html.j2").render(
        findings=findings,
        picture=front_picture(findings),
        contributions=sorted(findings.contributions, key=lambda each: -each.gain),
        score=partial(score_text, findings),
        noise=NOISE.format(score_text(findings, findings.noise)) if isfinite(findings.noise) else "",
        perhaps=perhaps_texts(findings),
        title="What to train within a budget of RAM",
        left=LEFT,
        version=version("micrograft"),
    )


def _page(template: str, memory: Plan, explanation: Explanation, bill: Bill | None, **more: Any) -> str:
    return _template(template).render(
        bill=bill,
        ram_parts=RAM_PARTS,
        share=share,
        bars=_bars(bill) if bill is not None else None,
        memory=memory_map(memory),
        lifetimes=lifetimes_picture(explanation),
        explanation=explanation,
        purposes=[(colour, purpose.value) for purpose, colour in COLOURS.items()],
        left=LEFT,
        top=TOP,
        names=NAMES,
        version=version("micrograft"),
        **more,
    )


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "percent": percent}
    return environment.get_template(name)


def _bars(bill: Bill) -> Picture:
    """RAM by part above the board's, and standard backpropagation's below, to one scale."""
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
