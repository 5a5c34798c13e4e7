"""What a person or a program reads of a command: a table or one JSON object."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console, RenderableType

from micrograft.report import text


def show(content: RenderableType, width: int = text.WIDTH) -> None:
    """width: characters, where it does not go to a terminal."""
    console = Console()
    if console.is_terminal:
        console.print(content, highlight=False)
    else:
        click.echo(text.to_text(content, width), nl=False)


def show_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps(content, indent=1))
