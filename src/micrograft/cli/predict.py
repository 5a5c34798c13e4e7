"""`micrograft predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from micrograft import api
from micrograft.adapter import read_adapter
from micrograft.boards import find_board
from micrograft.cli.options import BOARD, CALIBRATION, CLASSES, MODEL, OBSERVER, ON, PATH, PRECISION, SHAPE, options
from micrograft.cli.words import network_of, refuse_given, tell_of_outputs
from micrograft.files import writing_file
from micrograft.model import DEFAULT_BOARD
from micrograft.report.progress import showing_progress
from micrograft.samples import check_inputs, read_data


@click.command()
@options(
    MODEL,
    click.option("--adapter", type=PATH, metavar="DIR", help="What `micrograft train --out` wrote."),
    click.option("--data", type=PATH, required=True, metavar="D.npz", help="With x."),
    click.option("--out", type=PATH, required=True, metavar="P.npz", help="Gets y, the network's output."),
    BOARD,
    ON,
    PRECISION,
    CALIBRATION,
    OBSERVER,
    CLASSES,
    SHAPE,
)
@click.pass_context
def predict(
    context: click.Context,
    /,
    model: Path,
    adapter: Path | None,
    data: Path,
    out: Path,
    board: str | None,
    on: str | None,
    **words: Any,
) -> None:
    """Write what MODEL, with its adapter where one is given, answers to each sample."""
    place = find_board(board or DEFAULT_BOARD) if board is not None or on == "emulator" else None
    samples = read_data(data, targets=False).train
    if adapter is not None:
        refuse_given(context, words)
        saved = read_adapter(adapter)
        network = saved.origin.load(model)
        library = saved.graft(network)
    else:
        network, _, _ = network_of(model, {**words, "seed": 0})
        library = api.freeze(network)
    tell_of_outputs(network)
    x = check_inputs(samples.x, network.inputs[0])
    with showing_progress("building") as progress, api.running(library, place if on != "host" else None) as runner:
        y = api.predict(runner, x, progress)
    with writing_file(out) as new, new.open("wb") as stream:
        np.savez(stream, y=y)
