"""The memory over a training step as a picture for a terminal, from 60 columns up, readable without colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from micrograft.planning.plan import Purpose
from micrograft.report.explanation import Change, Explanation, Tensor

ROWS = 18
"""Tensors that are drawn, at most."""

HEIGHT = 7
"""Lines of the curve of live bytes."""

GLYPHS = {
    Purpose.ACTIVATION.value: ("█", "blue"),
    Purpose.GRADIENT.value: ("▓", "dark_orange"),
    Purpose.OPTIMIZER.value: ("▒", "green"),
    Purpose.WORKSPACE.value: ("░", "grey62"),
    Purpose.SAMPLE.value: ("▚", "magenta"),
}
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_NAME, _BYTES = 20, 11  # columns
_MARGIN = _NAME + _BYTES + 4


def explanation_text(explanation: Explanation) -> RenderableType:
    """What is alive when, what makes the peak, and what would lower it."""
    parts: list[RenderableType] = [_Timeline(explanation)]
    if explanation.changes:
        parts += ["", _changes(explanation.changes)]
    else:
        parts += ["", "Nothing that was tried needs less."]
    return Group(*parts)


@dataclass(frozen=True)
class _Timeline:
    """Draws to the width that there is."""

    explanation: Explanation

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        found = self.explanation
        columns = max(20, min(options.max_width - _MARGIN, len(found.alive) * 2, 100))
        picture = _Picture(found, columns)
        yield Text("The arena over one training step, from left to right", "bold")
        yield from picture.curve()
        yield from picture.axis()
        yield Text()
        for tensor in found.drawn(ROWS):
            yield picture.row(tensor)
        rest = [tensor for tensor in found.tensors if tensor not in found.drawn(ROWS)]
        if rest:
            text = f"{len(rest)} smaller ones"
            yield Text(f"{text:<{_NAME + columns + 2}}{_bytes(sum(each.at_peak for each in rest))}", "dim")
        yield Text()
        key = [(f"{glyph} {purpose}   ", colour) for purpose, (glyph, colour) in GLYPHS.items()]
        yield Text.assemble(*key)
        yield Text("Bytes are those at the peak (┊); a bracket holds the most of what is not alive there.", "dim")


class _Picture:
    """Positions of the step squeezed or stretched to so many columns."""

    def __init__(self, explanation: Explanation, columns: int) -> None:
        self._found = explanation
        self._columns = columns
        self._peak = min(explanation.peak * columns // len(explanation.alive), columns - 1)

    def curve(self) -> Iterator[Text]:
        """Live bytes, highest line first."""
        most = max(self._found.alive[self._found.peak], 1)
        eighths = [round(size * HEIGHT * 8 / most) for size in self._squeezed(self._found.alive)]
        for line in reversed(range(HEIGHT)):
            label = f"{most:,} ┤" if line == HEIGHT - 1 else "0 ┤" if line == 0 else "│"
            text = Text(f"{label:>{_NAME + 2}}")
            for column, height in enumerate(eighths):
                glyph = _EIGHTHS[min(max(height - 8 * line, 0), 8)]
                text.append(glyph, "bold red" if column == self._peak else "blue")
            yield text

    def axis(self) -> Iterator[Text]:
        """Where the forward pass ends, and which operation is at the peak."""
        found = self._found
        forward = found.forward * self._columns // len(found.alive)
        parts = [(forward, "forward"), (self._columns - forward, "backward and updates")]
        line = "".join(f"└{text[: width - 1]:─<{width - 1}}" for width, text in parts if width > 1)
        yield Text(" " * (_NAME + 2) + line, "dim")
        layer = f" of {found.layer}" if found.layer else ""
        words = f"peak: operation {found.peak + 1} of {len(found.alive)}, {found.operation}{layer}"
        start = _NAME + 2 + self._peak
        room = _NAME + 2 + self._columns + _BYTES
        text = f"{' ' * start}▲ {words}" if start + 2 + len(words) <= room else f"{f'{words} ▲':>{start + 1}}"
        yield Text(text, "bold")

    def row(self, tensor: Tensor) -> Text:
        """One tensor: its layer, when it is alive, its bytes."""
        glyph, colour = GLYPHS[tensor.purpose]
        text = Text(f"{_shortened(tensor.layer or 'the step'):<{_NAME + 2}}")
        for column, size in enumerate(self._squeezed(tensor.alive)):
            mark = glyph if size else "┊" if column == self._peak else "·"
            text.append(mark, colour if size else "dim")
        text.append(_bytes(tensor.at_peak) if tensor.at_peak else f"{f'({tensor.most:,})':>{_BYTES + 1}}")
        return text

    def _squeezed(self, sizes: Sequence[int]) -> list[int]:
        """The most of each column; the peak's own column has the peak's bytes."""
        count = len(sizes)
        spans = [(i * count // self._columns, -(-(i + 1) * count // self._columns)) for i in range(self._columns)]
        most = [max(sizes[start : max(end, start + 1)]) for start, end in spans]
        most[self._peak] = sizes[self._found.peak]
        return most


def _changes(changes: Sequence[Change]) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), title="What would lower it", title_justify="left")
    table.add_column("instead", ratio=1)
    table.add_column("RAM", justify="right", no_wrap=True)
    table.add_column("instructions", justify="right", no_wrap=True)
    table.add_column("trained", justify="right", no_wrap=True)
    for change in changes:
        what = Group(escape(change.what), Text(change.words, "dim", overflow="fold"))
        table.add_row(what, f"{change.ram:+,}", f"{100 * change.work:+.1f} %", f"{change.trainable:,}")
    note = "Each was planned: bytes of RAM without the stack; a step's instructions are estimated."
    return Group(table, Text(note, "dim"))


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME else f"…{name[-_NAME + 1 :]}"


def _bytes(size: int) -> str:
    return f"{size:>{_BYTES},} "
