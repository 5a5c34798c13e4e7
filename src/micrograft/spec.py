"""The words of the command line, to configurations and back: `lora:rank=4,alpha=8+head`, `sgd:lr=0.01`, `tensor:1`.

What can be written follows from the fields of the configurations' dataclasses, so a new method or a new setting
needs no change here.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from micrograft.errors import MicrograftError
from micrograft.passes.attach_optimizer import OPTIMIZERS, Clip, Optimizer
from micrograft.peft import methods
from micrograft.peft.method import Method
from micrograft.peft.scheme import Scheme
from micrograft.quantization.observers import OBSERVERS, Observer

Config = TypeVar("Config")
Setting = int | float | str | bool | Scheme | None

_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Scheme: "a scheme"}
_PLAIN = "*?[]!|/:=.@~()<>{}&;$^#'\""  # what text may hold as it is; the rest is written as %2B, as in an address


def parse_methods(text: str) -> tuple[Method, ...]:
    """Methods joined by `+`, each a name and its settings. Raises MicrograftError naming what there is.

    >>> parse_methods("lora:rank=2,freeze_a=true+head")
    (LoRA(rank=2, alpha=None, targets='', freeze_a=True), Head())
    """
    return tuple(_parse(part, methods(), "method") for part in text.split("+"))


def parse_optimizer(text: str) -> Optimizer:
    """An optimizer's name and its settings. Raises MicrograftError naming what there is.

    >>> parse_optimizer("sgd:lr=0.1")
    SGD(lr=0.1, momentum=0.0, weight_decay=0.0, qas=True, residue=False)
    """
    return _parse(text, optimizers(), "optimizer")


def parse_observer(text: str) -> Observer:
    """An observer's name and its settings. Raises MicrograftError naming what there is.

    >>> parse_observer("percentile:percent=99.9")
    Percentile(percent=99.9)
    """
    return _parse(text, observers(), "observer")


def parse_clip(text: str) -> Clip | None:
    """`none`, a norm for all gradients together, or `tensor:` and a norm for each alone. Raises MicrograftError.

    >>> parse_clip("0.5"), parse_clip("tensor:1"), parse_clip("none")
    (Clip(norm=0.5, scope='global'), Clip(norm=1.0, scope='tensor'), None)
    """
    if text.strip() == "none":
        return None
    scope, _, norm = text.strip().rpartition(":")
    try:
        if scope in ("", "global"):
            return Clip(float(norm), "global")
        if scope == "tensor":
            return Clip(float(norm), "tensor")
    except ValueError:
        pass
    raise MicrograftError(f"clipping {text!r} is not known", fix="write a norm such as 1, tensor:1, or none")


def parse_arena(text: str) -> int | float:
    """The arena that a step may have: bytes, or a share of what it would have. Raises MicrograftError.

    >>> parse_arena("65536"), parse_arena("60%")
    (65536, 0.6)
    """
    number, percent, _ = text.strip().replace(",", "").partition("%")
    try:
        found = float(number) / 100 if percent else int(number)
    except ValueError:
        found = 0
    if not (0 < found <= 1.0 if isinstance(found, float) else found > 0):
        raise MicrograftError(f"the arena {text!r} is not known", fix="write bytes, as 65536, or a share, as 60%")
    return found


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of inputs, each written `NAME=1,3,32,32`. Raises MicrograftError.

    >>> parse_shapes(["x=1,3,32,32"])
    {'x': (1, 3, 32, 32)}
    """
    found = {}
    for text in texts:
        name, _, numbers = text.rpartition("=")
        try:
            shape = tuple(int(number) for number in numbers.split(","))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise MicrograftError(f"shape {text!r} is not known", fix="write it as NAME=1,3,32,32")
        found[name] = shape
    return found


def methods_text(chosen: Sequence[Method], *, complete: bool = False) -> str:
    """What `parse_methods` reads back. complete: with every setting, not only those that are not the default.

    >>> from micrograft.peft.lora import LoRA
    >>> methods_text([LoRA(rank=8)]), methods_text([LoRA(rank=8)], complete=True)
    ('lora:rank=8', 'lora:rank=8,alpha=none,targets=,freeze_a=false')
    """
    return "+".join(_text(method, complete) for method in chosen)


def optimizer_text(optimizer: Optimizer, *, complete: bool = False) -> str:
    """What `parse_optimizer` reads back."""
    return _text(optimizer, complete)


def clip_text(clip: Clip | None) -> str:
    """What `parse_clip` reads back.

    >>> clip_text(Clip(0.5, "global")), clip_text(Clip(1.0, "tensor")), clip_text(None)
    ('0.5', 'tensor:1', 'none')
    """
    if clip is None:
        return "none"
    return _setting_text(clip.norm) if clip.scope == "global" else f"{clip.scope}:{_setting_text(clip.norm)}"


def optimizers() -> Mapping[str, type[Optimizer]]:
    """The name that a person writes, to the optimizer."""
    return {kind.name: kind for kind in OPTIMIZERS}


def observers() -> Mapping[str, type[Observer]]:
    """The name that a person writes, to the observer."""
    return {kind.name: kind for kind in OBSERVERS}


def settings(kind: type) -> dict[str, tuple[str, str]]:
    """Each setting of a method or optimizer to what it takes and what it is by default, in words.

    >>> settings(optimizers()["sgd"])["lr"]
    ('a number', '0.01')
    """
    hints = typing.get_type_hints(kind)
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(kind)}
    return {name: (_kind_text(hints[name]), _setting_text(default)) for name, default in defaults.items()}


def _parse(text: str, known: Mapping[str, type[Config]], what: str) -> Config:
    """A configuration from its text."""
    name, _, rest = (part.strip() for part in text.strip().partition(":"))
    if name not in known:
        fix = f"{_closest(name, known)}known are {', '.join(known)}"
        raise MicrograftError(f"there is no {what} {name!r}", fix=fix)
    kind = known[name]
    hints = typing.get_type_hints(kind)
    fields = list(settings(kind))
    found: dict[str, Setting] = {}
    for piece in rest.split(",") if rest else ():
        key, equals, value = (part.strip() for part in piece.partition("="))
        if not equals and key not in fields and (first := getattr(kind, "first", "")):
            key, equals, value = first, "=", key
        if key not in fields:
            has = f"its settings are {', '.join(fields)}" if fields else "it has none"
            raise MicrograftError(f"{what} {name} has no setting {key!r}", fix=f"{_closest(key, fields)}{has}")
        if not equals:
            raise MicrograftError(f"{what} {name}: {key} has no value", fix=f"write {key}=...")
        if key in found:
            raise MicrograftError(f"{what} {name}: {key} is given twice")
        found[key] = _read(value, hints[key], f"{what} {name}: {key}")
    return kind(**found)


def _read(text: str, hint: Any, where: str) -> Setting:
    """A setting's value, of the type that its field declares."""
    wanted = _options(hint)
    if type(None) in wanted and text == "none":
        return None
    if hint is Scheme:
        return Scheme.from_toml(unquote(text))
    for kind in (bool, int, float, str):
        if kind not in wanted:
            continue
        try:
            return _TRUTHS[text.lower()] if kind is bool else unquote(text) if kind is str else kind(text)
        except (KeyError, ValueError):
            continue
    raise MicrograftError(f"{where}={text} is not {_kind_text(hint)}")


def _options(hint: Any) -> tuple[Any, ...]:
    """The types that an annotation admits."""
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _kind_text(hint: Any) -> str:
    return " or ".join("none" if kind is type(None) else _KINDS[kind] for kind in _options(hint))


def _text(config: Method | Optimizer | Observer, complete: bool) -> str:
    pieces = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        told = isinstance(value, Scheme) and not complete and bool(getattr(config, "file", ""))  # by the file's name
        if complete or (value != field.default and not told):
            pieces.append(f"{field.name}={_setting_text(value)}")
    return f"{config.name}:{','.join(pieces)}" if pieces else config.name


def _setting_text(value: Setting) -> str:
    """
    >>> _setting_text(8.0), _setting_text(0.1), _setting_text(True), _setting_text(None), _setting_text("a+b")
    ('8', '0.1', 'true', 'none', 'a%2Bb')
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return (short if float(short) == value else repr(value)).replace("e+", "e")
    if isinstance(value, Scheme):
        value = value.to_text()
    return quote(value, safe=_PLAIN) if isinstance(value, str) else str(value)


def _closest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}? " if close else ""
