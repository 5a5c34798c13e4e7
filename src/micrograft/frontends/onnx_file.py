"""Reads and checks an ONNX file: what is not a whole, static, float32 model of batch 1 is refused here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import inliner
from onnx.external_data_helper import load_external_data_for_model

from micrograft.errors import MicrograftError
from micrograft.ir.types import Shape

OLDEST_OPSET = 13
INTEGERS = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
"""The types of tokens; ours are int32."""


def read_model(path: Path) -> Any:
    """The model in `path`, with its external data and with local functions inlined. Raises MicrograftError."""
    where = f"model {str(path)!r}"
    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise MicrograftError(f"it cannot be read ({error.strerror})", where=where) from error
    except Exception as error:  # protobuf raises its own DecodeError, which its stubs do not name
        raise MicrograftError("it is truncated or not an ONNX file", where=where, fix="export it again") from error
    if not model.graph.node and not model.graph.output:
        raise MicrograftError("it is truncated or not an ONNX file", where=where, fix="export it again")
    _check_opset(model, where)
    try:
        load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx raises its checker's errors, OSError or ValueError here
        raise MicrograftError(
            "its weights lie in a file of their own that is missing or unreadable", where=where,
            fix="put that file beside the model",
        ) from error  # fmt: skip
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise MicrograftError(f"it is not valid ONNX ({reason})", where=where, fix="export it again") from error
    return inliner.inline_local_functions(model)


def _check_opset(model: Any, where: str) -> None:
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    newest = onnx.defs.onnx_opset_version()
    if opset == 0:
        raise MicrograftError("it names no opset", where=where, fix=f"export it with opset {OLDEST_OPSET} or newer")
    if opset < OLDEST_OPSET:
        raise MicrograftError(
            f"its opset is {opset}, and micrograft reads {OLDEST_OPSET} and newer", where=where,
            fix="export it again or convert it with onnx.version_converter",
        )  # fmt: skip
    if opset > newest:
        raise MicrograftError(
            f"its opset is {opset}, and the installed onnx package knows up to {newest}", where=where,
            fix="update onnx",
        )  # fmt: skip


def input_shapes(model: Any, given: Mapping[str, Shape]) -> dict[str, Shape]:
    """Name to static shape of every input that is not an initializer; `given` fills in what the file leaves open."""
    stored = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in stored]
    names = [each.name for each in inputs]
    for name in given:
        if name not in names:
            raise MicrograftError(f"there is no input {name!r} to give a shape; the model has {', '.join(names)}")
    return {each.name: _input_shape(each, given.get(each.name)) for each in inputs}


def _input_shape(info: Any, given: Shape | None) -> Shape:
    where = f"input {info.name!r}"
    tensor = info.type.tensor_type
    if tensor.elem_type not in (onnx.TensorProto.FLOAT, *INTEGERS):
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise MicrograftError(f"it is {kind}, and micrograft takes FLOAT inputs", where=where)
    declared = [each.dim_value if each.HasField("dim_value") else None for each in tensor.shape.dim]
    example = ",".join(str(size or 1) for size in declared) or "1,3,32,32"
    fix = f"export with a fixed shape, or pass --shape {info.name}={example}, say (in Python shapes={{...}})"
    if given is None:
        if not tensor.HasField("shape"):
            raise MicrograftError("its shape is not known", where=where, fix=fix)
        for axis, size in enumerate(declared):
            if size is None or size < 1:
                symbol = f" ({tensor.shape.dim[axis].dim_param!r})" if tensor.shape.dim[axis].dim_param else ""
                raise MicrograftError(f"its axis {axis} is dynamic{symbol}", where=where, fix=fix)
    elif tensor.HasField("shape"):
        fits = len(given) == len(declared) and all(
            size in (None, 0, wanted) for size, wanted in zip(declared, given, strict=True)
        )
        if not fits:
            raise MicrograftError(f"the shape {given} that was given does not fit its own", where=where)
    shape = tuple(int(size) for size in (declared if given is None else given) if size is not None)
    if not shape or shape[0] != 1:
        raise MicrograftError(
            f"its shape is {shape}, and micrograft trains with a batch of 1", where=where,
            fix="export with 1 as the first axis",
        )  # fmt: skip
    return shape
