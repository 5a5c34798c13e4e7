"""Writes `operators.md` beside this file, from the code: python docs/operators.py"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Each imports all handlers of its kind.
import micrograft.frontends.onnx
import micrograft.frontends.tflite
import micrograft.frontends.torch  # noqa: F401
from micrograft.frontends import onnx_operators, tflite_operators, torch_operators
from micrograft.ops import operators
from micrograft.ops.operator import Operator

PAGE = Path(__file__).with_suffix(".md")

HEAD = """\
# Operators

Written by `python docs/operators.py` from the code; a test sees to it that this page is current. A network of other
operators, or of these in a form that micrograft has not, is refused in one sentence that names the layer.
`python benchmarks/onnx_node_tests.py` runs ONNX's own tests of them.

Where several elements are the largest, PyTorch divides the gradient of `amax`, `amin`, and `max` and `min` of all
elements among them; here the first of them has it.
"""


def page() -> str:
    """The page, Markdown."""
    frontends = {
        "ONNX": onnx_operators.HANDLERS,
        "TensorFlow Lite": tflite_operators.HANDLERS,
        "PyTorch": torch_operators.HANDLERS,
    }
    sections = [HEAD, *(_frontend(title, handlers) for title, handlers in frontends.items()), _ours()]
    return "\n".join(sections)


def _frontend(title: str, handlers: Mapping[str, Any]) -> str:
    names = sorted((name for name in handlers if not name.startswith("_")), key=str.lower)
    return f"## What is imported from {title}: {len(names)} operators\n\n{', '.join(names)}\n"


def _ours() -> str:
    """Our own operators: one row for each that a network can hold."""
    forward = [each for each in operators().values() if each.gradient is not None]
    rows = [f"| {each.name} | {', '.join(each.inputs)} | {_types(each)} | {_file(each)} |" for each in forward]
    head = "| operator | inputs (`?` optional, `*` any number) | C for | file |\n|---|---|---|---|\n"
    return f"## Our operators with a gradient: {len(forward)}\n\n" + head + "\n".join(rows) + "\n"


def _types(operator: Operator) -> str:
    return ", ".join(dtype.value for dtype in operator.kernels) or "none: a view"


def _file(operator: Operator) -> str:
    """The file below `src/micrograft/ops` that holds the operator's whole truth."""
    return f"`{Path(inspect.getfile(operator.infer)).name}`"


if __name__ == "__main__":
    PAGE.write_text(page())
