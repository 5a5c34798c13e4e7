"""A progress bar for long work, on standard error, and none where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

Show = Callable[[str, int, int, float | None], None]
"""Takes what is being done, steps done, steps in all, and the loss where there is one; what `api.Progress` is."""


@contextmanager
def showing_progress(first: str = "planning", *, keep: bool = False) -> Iterator[Show]:
    """Something to call after each step. first: what is done until the first call. keep: leave the bars standing."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
        console=console,
        transient=not keep,
        disable=not console.is_terminal,
    ) as bars:
        tasks = {"": bars.add_task(first, total=None, loss="")}

        def show(what: str, done: int, total: int, loss: float | None) -> None:
            if "" in tasks:
                bars.remove_task(tasks.pop(""))
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, loss="")
            bars.update(tasks[what], completed=done, loss="" if loss is None else f"loss {loss:.3f}")

        yield show
