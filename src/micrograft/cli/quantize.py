"""`micrograft quantize`."""

from __future__ import annotations

from pathlib import Path

import click

from micrograft import api, precision
from micrograft.adapter import Origin
from micrograft.cli.options import CLASSES, JSON, MODEL, OBSERVER, PATH, SHAPE, options
from micrograft.cli.show import show, show_json
from micrograft.cli.words import steps_of, tell_of_outputs
from micrograft.comparison import compare
from micrograft.files import check_folder, writing_folder
from micrograft.report import text
from micrograft.report.progress import showing_progress
from micrograft.samples import read_data
from micrograft.spec import parse_observer, parse_shapes


@click.command()
@options(
    MODEL,
    click.option("--calibration", type=PATH, required=True, metavar="C.npz", help="Real samples x."),
    click.option("--data", type=PATH, metavar="D.npz", help="x and y: how accurate both networks are."),
    OBSERVER,
    CLASSES,
    SHAPE,
    click.option("--out", type=PATH, metavar="DIR", help="Write the C library that predicts in int8."),
    JSON,
)
def quantize(
    model: Path,
    calibration: Path,
    data: Path | None,
    observer: str,
    classes: int | None,
    shapes: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Tell what MODEL loses in int8, layer by layer, and how accurate it stays."""
    rule = parse_observer(observer)
    judge = read_data(data).judged if data is not None else None
    if out is not None:
        check_folder(out)
    graph = Origin(classes, 0, parse_shapes(shapes)).load(model)
    tell_of_outputs(graph)
    samples = read_data(calibration, targets=False).train.x
    with showing_progress("calibrating") as progress:
        quantized = precision.quantize(graph, samples, observer=rule, progress=steps_of(progress, "calibrating"))
        record = compare(graph, quantized, judge, progress)
        if out is not None:
            with writing_folder(out, "library") as new:
                api.build(api.freeze(quantized.graph), new)
    show_json(record.to_json()) if as_json else show(text.quantization_text(record))
    if out is not None and not as_json:
        show(f"Written to {out}.")
