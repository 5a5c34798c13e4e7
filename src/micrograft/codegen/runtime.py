"""Which files of the runtime a library needs: the kernels it calls, what they call, and their headers."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

RUNTIME = Path(__file__).parent.parent / "runtime"
KERNELS = RUNTIME / "kernels"

_DEFINITION = re.compile(r"^(?!static)\w[\w *]*?\b(mg_\w+)\([^;]*\{", re.MULTILINE)
_INCLUDE = re.compile(r'^#include "(mg_\w+\.h)"', re.MULTILINE)
_USE = re.compile(r"\b(mg_\w+)\(")
_PROTOTYPE = re.compile(r"^(?!static)\w[^\n{}/]*\([^{};]*\);", re.MULTILINE)


@functools.cache
def _kernels() -> Mapping[str, Path]:
    """Public function to the file that defines it."""
    files = sorted(KERNELS.glob("*.c"))
    return {name: file for file in files for name in _DEFINITION.findall(file.read_text())}


def runtime_files(functions: Iterable[str]) -> dict[str, str]:
    """File name to text, for everything that `functions` reach."""
    found: dict[str, str] = {}
    waiting = sorted(set(functions))
    while waiting:
        file = _kernels()[waiting.pop()]
        if file.name in found:
            continue
        found[file.name] = text = file.read_text()
        used = _USE.findall(text)
        for header in _headers(text):
            found[header.name] = header.read_text()
            used += _USE.findall(_PROTOTYPE.sub("", found[header.name]))
        waiting += sorted(name for name in set(used) if name in _kernels())
    return dict(sorted(found.items()))


def headers_of(functions: Iterable[str]) -> list[str]:
    """Names of the headers that declare `functions`."""
    return sorted({_declaring(name).name for name in functions})


def _declaring(function: str) -> Path:
    """The header that declares a kernel, of those that its file includes."""
    headers = _headers(_kernels()[function].read_text())
    return next(header for header in headers if f"{function}(" in header.read_text())


def _headers(text: str) -> list[Path]:
    """The headers that a file includes, and those that they include."""
    found = []
    for name in _INCLUDE.findall(text):
        header = RUNTIME / "include" / name
        found += [header, *_headers(header.read_text())]
    return found
