"""`micrograft train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Group

from micrograft import api
from micrograft.boards import find_board
from micrograft.cli.options import HOW, JSON, LIMITS, LOSS, MODEL, ON, PATH, options
from micrograft.cli.show import show, show_json
from micrograft.cli.words import adapted_network, choose
from micrograft.errors import MicrograftError
from micrograft.files import check_folder
from micrograft.model import DEFAULT_BOARD
from micrograft.report import text
from micrograft.report.choice import choice_text
from micrograft.report.progress import showing_progress
from micrograft.samples import read_data


@click.command()
@options(
    MODEL,
    click.option("--data", type=PATH, required=True, metavar="D.npz", help="x, y and perhaps x_test, y_test."),
    HOW,
    LOSS,
    click.option("--board", metavar="BOARD", help="Run there (emulated), unless --on says otherwise."),
    ON,
    click.option("--epochs", type=click.IntRange(min=0), default=1, show_default=True, help="Times through the data."),
    click.option(
        "--shuffle",
        type=click.IntRange(min=0),
        metavar="SEED",
        help="Another order in each epoch; else the order given.",
    ),
    click.option("--out", type=PATH, metavar="DIR", help="Write the adapter, the record and a report there."),
    click.option("--explain", is_flag=True, help="Plan what would lower the peak, for the report."),
    LIMITS,
    JSON,
)
def train(
    model: Path,
    data: Path,
    board: str | None,
    on: api.Where | None,
    epochs: int,
    shuffle: int | None,
    out: Path | None,
    explain: bool,
    as_json: bool,
    **words: Any,
) -> None:
    """Train MODEL sample by sample, on this computer or on an emulated board; the results are the same bits."""
    on = on or ("emulator" if board is not None else "host")
    find_board(board or DEFAULT_BOARD)
    if out is not None:
        check_folder(out)
    samples = read_data(data)
    learn, test = samples.train, samples.test
    assert learn.y is not None, "read_data sees to it"
    adapted = adapted_network(model, words, board, auto=True)
    with showing_progress() as progress:
        choice = choose(adapted, board or DEFAULT_BOARD, learn, epochs, words, progress)
        if choice is not None and choice.taken is None:
            raise MicrograftError(choice.why.rstrip("."), where="method auto")
        record = adapted.train(
            learn.x,
            learn.y,
            x_test=test.x if test else None,
            y_test=test.y if test else None,
            loss=words["loss"],
            epochs=epochs,
            shuffle=shuffle,
            on=on,
            board=board,
            progress=progress,
        )
    if out is not None:
        adapted.save(out, explanation=adapted.explain() if explain else None)
    if as_json:
        show_json({**record.to_json(), "recipe": adapted.recipe_json})
    else:
        show(Group(choice_text(choice), text.train_text(record)) if choice else text.train_text(record))
    if out is not None and not as_json:
        show(f"Written to {out}.")
