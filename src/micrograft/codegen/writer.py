"""C text for values and calls: literals, tables, wrapped argument lists, comments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from micrograft.ir.types import Array
from micrograft.ops.operator import Content

WIDTH = 110


def float_literal(value: float) -> str:
    """The shortest C literal that reads back as the same float32.

    >>> float_literal(0.1), float_literal(2), float_literal(1e-8)
    ('0.1f', '2.0f', '1e-08f')
    """
    number = np.float32(value)
    if not np.isfinite(number):
        return "(-1.0f / 0.0f)" if number < 0 else "(1.0f / 0.0f)" if number > 0 else "(0.0f / 0.0f)"
    text = str(number)
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def literal(value: Content) -> str:
    """A field of a parameter struct.

    >>> literal(3), literal(0.5), literal((1, 2))
    ('3', '0.5f', '{1, 2}')
    """
    if isinstance(value, tuple):
        return "{" + ", ".join(map(literal, value)) + "}"
    return float_literal(value) if isinstance(value, float) else str(value)


def table(data: Array) -> str:
    """The contents of an array initializer, wrapped."""
    flat = data.ravel()
    items: Iterable[str]
    if data.dtype != np.float32:
        items = map(str, flat.tolist())
    elif np.isfinite(flat).all():
        items = (f"{number}f" for number in map(str, flat))  # as `float_literal` writes them, and faster
    else:
        items = map(float_literal, flat)
    return wrapped(items, indent=4)


def wrapped(items: Iterable[str], indent: int) -> str:
    """Items separated by commas, broken at the line width."""
    pieces = [f"{item}," for item in items]
    pieces[-1:] = [piece[:-1] for piece in pieces[-1:]]
    lines: list[str] = []
    line: list[str] = []
    left = room = WIDTH - indent
    for piece in pieces:
        if line and len(piece) > left:
            lines.append(" ".join(line))
            line, left = [], room
        line.append(piece)
        left -= len(piece) + 1
    lines.append(" ".join(line))
    return "\n".join(" " * indent + each for each in lines)


def comment(text: str) -> str:
    """A comment of one line, whatever the user's names in it.

    >>> comment("block*/conv: linear"), comment("a\\nb /* c")
    ('/* block* /conv: linear */', '/* a b / * c */')
    """
    line = "".join(character if character.isprintable() else " " for character in text)
    return f"/* {line.replace('*/', '* /').replace('/*', '/ *')} */"


def call(function: str, arguments: Sequence[str], indent: int) -> str:
    """A statement that calls a function; a long one is broken behind commas."""
    return _statement(f"{function}(", arguments, ");", indent)


def struct(type_: str, name: str, members: Sequence[str], indent: int) -> str:
    """A constant struct where it is used, its members as initializers; a long one is broken behind commas."""
    return _statement(f"const {type_} {name} = {{", members, "};", indent)


def _statement(start: str, items: Sequence[str], end: str, indent: int) -> str:
    start = f"{' ' * indent}{start}"
    line = f"{start}{', '.join(items)}{end}"
    if len(line) <= WIDTH:
        return line
    lines, current = [], start
    for position, item in enumerate(items):
        piece = item + (", " if position + 1 < len(items) else end)
        if len(current + piece.rstrip()) > WIDTH and current.strip():
            lines.append(current.rstrip())
            current = " " * len(start)
        current += piece
    return "\n".join([*lines, current])
