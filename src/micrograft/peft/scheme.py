"""What a sparse update trains, layer by layer, as a small TOML file that a person can read and edit.

    [layers]
    "block8.pointwise1" = { bias = true, weight = 0.25 }
    "block9.pointwise1" = { bias = true, weight = 0.5, side = "output", choose = "first" }
    "block10.pointwise1" = { channels = [0, 3, 17] }
    "classifier" = { bias = true, weight = 1.0 }

One line per layer; what a line does not name stays frozen.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from micrograft.errors import MicrograftError

Side = Literal["input", "output"]
Choice = Literal["magnitude", "contribution", "first"]

_HEAD = "# What a sparse update trains; what is not named stays frozen. Each key is described in docs/sparse.md.\n"
_FIX = 'write it as { bias = true, weight = 0.5, side = "input" }'


@dataclass(frozen=True)
class LayerScheme:
    """What is trained of one layer.

    layer: its name, as `micrograft inspect` shows it. bias: whether its bias is. weight: the share of the channels of
    its weight that is, from 0 (frozen) to 1 (the whole tensor); at least one channel. side: channels of which side of
    the weight. choose: by which rule, those whose weights have the largest sum of squares, those that lower the loss
    most (`contribution`; data tell), or the first ones. channels: or these channels and no others, in the user's own
    numbering. Raises MicrograftError.
    """

    layer: str
    bias: bool = False
    weight: float = 0.0
    side: Side = "input"
    choose: Choice = "magnitude"
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise self.mistake(f"weight = {self.weight} is not a share from 0 to 1")
        for key, value, known in (("side", self.side, Side), ("choose", self.choose, Choice)):
            if value not in get_args(known):
                raise self.mistake(f"{key} = {value!r} is not known", f"use one of {', '.join(get_args(known))}")
        if self.channels is not None:
            if self.weight:
                raise self.mistake("both weight and channels are given", "a share or a list, one of them")
            if not self.channels or len(set(self.channels)) < len(self.channels) or min(self.channels) < 0:
                raise self.mistake("channels is not a list of different numbers from 0 on")
        if not (self.bias or self.weight or self.channels):
            raise self.mistake("nothing of it is trained", "set bias, weight or channels, or remove the line")

    @property
    def whole(self) -> bool:
        """Whether the whole weight is trained."""
        return self.weight == 1

    @property
    def open(self) -> bool:
        """Whether data must tell yet which channels are trained."""
        return self.choose == "contribution" and self.channels is None and 0 < self.weight < 1

    def count(self, there: int) -> int:
        """How many of so many channels are trained. Raises MicrograftError where some of them are not there.

        >>> LayerScheme("conv", weight=0.25).count(48), LayerScheme("conv", weight=0.01).count(48)
        (12, 1)
        """
        if self.channels is not None:
            if max(self.channels) >= there:
                raise self.mistake(f"there is no {self.side} channel {max(self.channels)}; it has {there}")
            return len(self.channels)
        return max(1, int(self.weight * there + 0.5)) if self.weight else 0

    def mistake(self, what: str, fix: str = "") -> MicrograftError:
        """The error that says what is wrong with this layer's line."""
        return MicrograftError(what, where=f"sparse scheme, layer {self.layer!r}", fix=fix)


@dataclass(frozen=True)
class Scheme:
    """What a sparse update trains: any set of layers. Each layer stands there once.

    >>> scheme = Scheme((LayerScheme("conv1", bias=True, weight=0.5), LayerScheme("head", bias=True, weight=1.0)))
    >>> print(scheme.to_toml(), end="")
    # What a sparse update trains; what is not named stays frozen. Each key is described in docs/sparse.md.
    [layers]
    "conv1" = { bias = true, weight = 0.5 }
    "head" = { bias = true, weight = 1.0 }
    >>> Scheme.from_toml(scheme.to_toml()) == scheme
    True
    """

    layers: tuple[LayerScheme, ...] = ()

    def __post_init__(self) -> None:
        names = [each.layer for each in self.layers]
        for each in self.layers:
            if names.count(each.layer) > 1:
                raise each.mistake("it stands there twice")

    @property
    def open(self) -> tuple[LayerScheme, ...]:
        """The lines of which data must tell yet which channels are trained."""
        return tuple(each for each in self.layers if each.open)

    def to_toml(self) -> str:
        """The file's text. What has its default is left out."""
        lines = [f"{_quoted(each.layer)} = {_line(each)}\n" for each in self.layers]
        return f"{_HEAD}[layers]\n{''.join(lines)}"

    def to_text(self) -> str:
        """The same on one line, which `from_toml` reads too."""
        lines = (f"{_quoted(each.layer)}={_line(each).replace(' ', '')}" for each in self.layers)
        return f"layers={{{','.join(lines)}}}"

    @staticmethod
    def from_toml(text: str, where: str = "sparse scheme") -> Scheme:
        """The scheme that a file's text describes. Raises MicrograftError with the layer and what is wrong there."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise MicrograftError(f"this is not TOML: {error}", where=where) from None
        unknown = [key for key in document if key != "layers"]
        if unknown:
            raise MicrograftError(f"there is a key {unknown[0]!r}", where=where, fix="the only one is [layers]")
        lines = document.get("layers")
        if not isinstance(lines, dict):
            raise MicrograftError("there is no [layers] with a line for each layer", where=where)
        return Scheme(tuple(_read(layer, line) for layer, line in _flat(lines)))

    @staticmethod
    def read(path: Path | str) -> Scheme:
        """The scheme in a file. Raises MicrograftError."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise MicrograftError(f"the sparse scheme cannot be read: {reason}", where=str(path)) from None
        return Scheme.from_toml(text, where=str(path))


def _flat(lines: Mapping[str, Any], before: str = "") -> Sequence[tuple[str, Any]]:
    """Layers and their lines. A name that was written without quotes has come apart at its dots."""
    found: list[tuple[str, Any]] = []
    for key, line in lines.items():
        if isinstance(line, dict) and line and all(isinstance(each, dict) for each in line.values()):
            found += _flat(line, f"{before}{key}.")
        else:
            found.append((before + key, line))
    return found


def _read(layer: str, line: object) -> LayerScheme:
    where = f"sparse scheme, layer {layer!r}"
    if not isinstance(line, dict):
        raise MicrograftError(f"its line is {line!r}", where=where, fix=_FIX)
    kinds = {field.name: field for field in fields(LayerScheme) if field.name != "layer"}
    for key, value in line.items():
        if key not in kinds:
            close = difflib.get_close_matches(key, list(kinds), n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise MicrograftError(f"there is no key {key!r}", where=where, fix=f"{hint}known are {', '.join(kinds)}")
        if not _is_right(key, value):
            raise MicrograftError(f"{key} = {value!r} is not {_WANTED[key]}", where=where)
    channels = line.get("channels")
    return LayerScheme(**{**line, "layer": layer, "channels": None if channels is None else tuple(channels)})


_WANTED = {
    "bias": "true or false",
    "weight": "a share from 0 to 1",
    "side": "text",
    "choose": "text",
    "channels": "a list of whole numbers",
}


def _is_right(key: str, value: object) -> bool:
    """Whether TOML gave a value of the right kind."""
    if key == "weight":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if key == "channels":
        return isinstance(value, list) and all(type(each) is int for each in value)
    return isinstance(value, bool if key == "bias" else str)


def _line(layer: LayerScheme) -> str:
    """What follows the layer's name."""
    pieces = []
    for field in fields(layer):
        value = getattr(layer, field.name)
        if field.name != "layer" and value != field.default:
            pieces.append(f"{field.name} = {_written(value)}")
    return f"{{ {', '.join(pieces)} }}"


def _written(value: bool | float | str | tuple[int, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return _quoted(value) if isinstance(value, str) else repr(float(value))


def _quoted(text: str) -> str:
    """A TOML string; its escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
