"""The plans that were tried, ranked, as a table for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from micrograft.report.record import Choice, Option
from micrograft.report.text import number, percent


def choice_text(choice: Choice) -> RenderableType:
    """The plans that fit, ranked; how many do not; why the first one is taken."""
    fitting = [option for option in choice.options if not option.problem]
    judged = any(option.loss is not None for option in fitting)
    classes = any(option.accuracy is not None for option in fitting)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("plan", overflow="fold")
    if judged:
        table.add_column("accuracy" if classes else "loss", justify="right")
    for heading in ("RAM", "flash", "trained", "instructions"):
        table.add_column(heading, justify="right", no_wrap=True)
    for option in fitting:
        bill = option.bill
        assert bill is not None, "it fits, so it was planned"
        gained = percent(option.accuracy) if classes else f"{option.loss:.4g}" if option.loss is not None else ""
        table.add_row(
            escape(plan_text(option)),
            *([gained] if judged else []),
            number(bill.ram.total),
            number(bill.flash.total),
            number(bill.trainable_parameters),
            ("" if option.counted else "~") + number(option.instructions),
        )
    dropped: dict[str, list[str]] = {}
    for option in choice.options:
        if option.problem:
            dropped.setdefault(option.problem, []).append(plan_text(option))
    notes = [Text(f"Not taken, {problem}: {', '.join(plans)}.", "dim") for problem, plans in dropped.items()]
    notes.append(Text(f"Rank: {choice.rule}. ~ is estimated, the rest is planned or emulated.", "dim"))
    taken = choice.taken
    full = taken is not None and taken.text not in ("", taken.words["method"])
    again = [Text(f"--method '{taken.words['method']}'", "dim")] if taken is not None and full else []
    return Group(*([table] if fitting else []), *notes, "", Text(choice.why, "bold"), *again, "")


def plan_text(option: Option) -> str:
    """What is trained, how fast, and in how small an arena."""
    arena = f" --arena {option.words['arena']}" if "arena" in option.words else ""
    return f"{option.text or option.words['method']} {option.words['optimizer']}{arena}"
