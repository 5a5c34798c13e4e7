"""`micrograft plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from micrograft.boards import find_board
from micrograft.cli.options import HOW, JSON, LIMITS, LOSS, MODEL, PATH, options
from micrograft.cli.show import show, show_json
from micrograft.cli.words import AUTO, adapted_network, choose
from micrograft.errors import MicrograftError
from micrograft.files import writing_file
from micrograft.model import DEFAULT_BOARD
from micrograft.report import text
from micrograft.report.choice import choice_text
from micrograft.report.html import html_plan
from micrograft.report.progress import showing_progress
from micrograft.report.timeline import explanation_text
from micrograft.samples import read_data

DOES_NOT_FIT = 3
"""Exit status."""


@click.command()
@options(
    MODEL,
    HOW,
    LOSS,
    click.option("--board", default=DEFAULT_BOARD, show_default=True),
    click.option("--explain", is_flag=True, help="Show what is alive when, and plan what would lower the peak."),
    click.option("--html", type=PATH, metavar="FILE", help="Write a page with the bill and the explanation."),
    click.option("--data", type=PATH, metavar="D.npz", help="With auto: x and y to learn from, to rank by accuracy."),
    LIMITS,
    JSON,
)
def plan(
    model: Path, board: str, explain: bool, html: Path | None, data: Path | None, as_json: bool, **words: Any
) -> None:
    """Tell whether training MODEL fits a board, and what it costs there. Exit status 3 where it does not fit.

    With `--method auto` the sensible methods are tried, and the best one that fits is taken.
    """
    find_board(board)
    if data is not None and words["method"] != AUTO:
        raise MicrograftError("a plan needs no data unless it chooses a method", fix="use --data with --method auto")
    samples = read_data(data).train if data is not None else None
    with showing_progress("planning") as progress:
        adapted = adapted_network(model, words, board, auto=True)
        choice = choose(adapted, board, samples, 1, words, progress)
        if choice is not None and not as_json:
            show(choice_text(choice))
        if choice is not None and choice.taken is None:
            show_json({"fits": False, "auto": choice.to_json()}) if as_json else None
            raise SystemExit(DOES_NOT_FIT)
        bill = adapted.plan(board)
        explanation = adapted.explain() if explain or html is not None else None
    if html is not None:
        assert explanation is not None and adapted.library.train is not None
        with writing_file(html) as new:
            new.write_text(html_plan(bill, adapted.library.train, explanation))
    if as_json:
        more = {"explanation": explanation.to_json()} if explanation else {}
        more |= {"auto": choice.to_json()} if choice else {}
        show_json({**bill.to_json(), **more})
    else:
        show(text.bill_text(bill))
        if explanation is not None:
            show(explanation_text(explanation), width=80)
    if not bill.fits:
        raise SystemExit(DOES_NOT_FIT)
