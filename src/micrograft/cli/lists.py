"""`micrograft inspect`, `boards`, `methods`: what is there."""

from __future__ import annotations

from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from micrograft.adapter import Origin
from micrograft.boards import boards as known_boards
from micrograft.cli.options import CLASSES, JSON, MODEL, SHAPE, options
from micrograft.cli.show import show, show_json
from micrograft.passes.differentiate import LOSSES
from micrograft.peft import methods as known_methods
from micrograft.report import text
from micrograft.report.layers import network_json
from micrograft.spec import observers, optimizers, parse_shapes, settings


@click.command()
@options(MODEL, CLASSES, SHAPE, JSON)
def inspect(model: Path, classes: int | None, shapes: tuple[str, ...], as_json: bool) -> None:
    """List the layers of MODEL: shapes, parameters, multiply-accumulates."""
    graph = Origin(classes, 0, parse_shapes(shapes)).load(model)
    show_json(network_json(graph)) if as_json else show(text.inspect_text(graph))


@click.command()
def boards() -> None:
    """List the boards."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("board", "core", "floats"):
        table.add_column(heading)
    for heading in ("RAM", "flash", "MHz"):
        table.add_column(heading, justify="right")
    table.add_column("", style="dim")
    for board in known_boards().values():
        floats = "in hardware" if board.fpu else "in software"
        sizes = (text.number(size) for size in (board.ram.size, board.flash.size, board.clock_hz // 10**6))
        table.add_row(board.name, board.core.replace("_", "-"), floats, *sizes, board.description.partition(":")[0])
    show(table)


@click.command()
def methods() -> None:
    """List the methods, optimizers and losses, with what can be set."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    kinds = {
        "Methods (join them with +)": known_methods(),
        "Optimizers": optimizers(),
        "Observers of int8's ranges": observers(),
    }
    for title, known in kinds.items():
        table.add_row(f"[bold]{title}", "")
        for name, kind in known.items():
            table.add_row(name, escape((kind.__doc__ or "").partition("\n")[0]))
            for setting, (takes, default) in settings(kind).items():
                unsaid = "all layers" if setting == "targets" else "none"
                table.add_row(f"  {setting}=", escape(f"{takes}; {default or unsaid} by default"))
        table.add_section()
    table.add_row("[bold]Losses", ", ".join(LOSSES))
    show(table)
