"""`micrograft demo`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from micrograft.cli.options import PATH
from micrograft.demo.run import run_demo
from micrograft.report import text


@click.command()
@click.option("--out", type=PATH, default=Path("micrograft-demo"), show_default=True, metavar="DIR")
def demo(out: Path) -> None:
    """A watch learns how one person moves, on an emulated microcontroller. Two minutes."""
    console = Console()
    run_demo(out, console if console.is_terminal else Console(width=text.WIDTH))
