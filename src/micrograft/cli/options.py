"""The options that several commands share, with one wording each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from micrograft.passes.differentiate import LOSSES
from micrograft.recipe import ADDITIONS, GRADIENTS

Command = TypeVar("Command", bound=Callable[..., Any])


def options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which they are listed."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


PATH = click.Path(path_type=Path)
MODEL = click.argument("model", type=PATH)
SHAPE = click.option(
    "--shape", "shapes", multiple=True, metavar="NAME=1,3,32,32", help="Shape of an input that the file leaves open."
)
CLASSES = click.option("--classes", type=click.IntRange(min=2), help="Give the network a new head of so many classes.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
ON = click.option("--on", type=click.Choice(["host", "emulator"]), help="Where to run.")
BOARD = click.option("--board", metavar="BOARD", help="A name that `micrograft boards` lists.")
PRECISION = click.option(
    "--precision", type=click.Choice(["float32", "int8"]), help="int8 quantizes MODEL first; by default as it comes."
)
CALIBRATION = click.option(
    "--calibration",
    type=PATH,
    metavar="C.npz",
    help="Samples x: int8's ranges, the scale of new parameters.",
)
OBSERVER = click.option(
    "--observer", default="minmax", show_default=True, help="Of int8's ranges: minmax, percentile:percent=99.9, or mse."
)
INTEGERS = options(
    click.option(
        "--gradients",
        type=click.Choice(GRADIENTS),
        help="Of an int8 network; by default int16 where the board has no float unit, else float32.",
    ),
    click.option(
        "--additions",
        type=click.Choice(ADDITIONS),
        help="What an int8 network's adapters and head are held in; by default as the gradients.",
    ),
)
HOW = options(
    click.option("--method", default="lora", show_default=True, help="As `micrograft methods` lists, or auto."),
    click.option("--optimizer", default="sgd", show_default=True, help="Such as sgd:lr=0.01,momentum=0.9."),
    click.option(
        "--clip", default="tensor:1", show_default=True, help="A norm for all gradients, tensor:NORM, or none."
    ),
    click.option("--accumulate", default=1, show_default=True, metavar="K", help="Samples for each update."),
    click.option(
        "--arena", metavar="BYTES|60%", help="What the step's arena may have; values are computed again to fit it."
    ),
    INTEGERS,
    click.option(
        "--truncate",
        type=click.IntRange(min=1),
        metavar="STEPS",
        help="Cut the gradients of recurrent layers every so many steps; by default they flow through all.",
    ),
    click.option(
        "--reversible",
        type=click.Choice(["auto", "off"]),
        default="auto",
        show_default=True,
        help="Rebuild what reversible blocks read from what they gave, where that saves memory.",
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of new parameters."),
    click.option("--name", default="model", show_default=True, help="Prefix of all names in the C library."),
    PRECISION,
    CALIBRATION,
    OBSERVER,
    CLASSES,
    SHAPE,
)
LIMITS = options(
    click.option("--max-instructions", type=click.IntRange(min=1), metavar="N", help="With auto: of a step, emulated."),
    click.option("--max-seconds", type=float, metavar="S", help="With auto: of a step, one instruction a clock cycle."),
    click.option("--max-joules", type=float, metavar="J", help="With auto: of a step, those seconds at --watts."),
    click.option("--watts", type=float, metavar="W", help="What your board draws while it computes."),
    click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="With auto: processes; by default all cores."),
)
LOSS = click.option("--loss", type=click.Choice(list(LOSSES)), help="By default what suits y.")
