"""Frontends: a user's model file or module to our graph, static shapes, batch 1, under the user's own names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph

_KINDS = "micrograft reads .onnx, .tflite and .pt2 (torch.export.save)"


def import_model(model: Any, example: Any = None, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The graph of an ONNX or TFLite file, a `.pt2` archive, a PyTorch module or an exported program.

    model: a path, chosen by its suffix, or the object itself. example: for a module, an array or tensor or a
    sequence of them, one for each input, batch 1. shapes: input name to shape, where an ONNX or TFLite file
    leaves it open.
    The graph keeps the user's layout; run `passes.canonicalize` on it. Raises MicrograftError.
    """
    if not isinstance(model, (str, Path)):
        from micrograft.frontends.torch import import_torch

        return import_torch(model, example)
    path = Path(model)
    where = f"model {str(model)!r}"
    if not path.is_file():
        raise MicrograftError("it is a folder" if path.is_dir() else "there is no such file", where=where, fix=_KINDS)
    if path.suffix == ".onnx":
        from micrograft.frontends.onnx import import_onnx

        return import_onnx(path, shapes)
    if path.suffix == ".tflite":
        from micrograft.frontends.tflite import import_tflite

        return import_tflite(path, shapes)
    if path.suffix == ".pt2":
        from micrograft.frontends.torch import load_pt2

        return load_pt2(path)
    raise MicrograftError(f"a file that ends in {path.suffix or 'nothing'!r} is not known", where=where, fix=_KINDS)
