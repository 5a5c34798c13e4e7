"""`micrograft build`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from micrograft.adapter import read_adapter
from micrograft.boards import find_board
from micrograft.cli.options import HOW, LOSS, MODEL, PATH, options
from micrograft.cli.show import show
from micrograft.cli.words import adapted_network, refuse_given
from micrograft.files import check_folder
from micrograft.model import PeftModel
from micrograft.report.progress import showing_progress


@click.command()
@options(
    MODEL,
    HOW,
    LOSS,
    click.option("--adapter", type=PATH, metavar="DIR", help="Start from what `micrograft train --out` wrote."),
    click.option("--board", metavar="BOARD", help="Link an image for it too."),
    click.option("--out", type=PATH, required=True, metavar="DIR", help="Where the library goes."),
)
@click.pass_context
def build(
    context: click.Context, /, model: Path, adapter: Path | None, board: str | None, out: Path, **words: Any
) -> None:
    """Write the C library that trains MODEL: plain C99 without dependencies."""
    if board is not None:
        find_board(board)
    check_folder(out)
    with showing_progress("building"):
        if adapter is None:
            adapted = adapted_network(model, words, board)
        else:
            refuse_given(context, words)
            adapted = PeftModel.from_pretrained(read_adapter(adapter).origin.load(model), adapter)
        adapted.build(out, board)
    show(f"Written to {out}.")
