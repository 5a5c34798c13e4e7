"""Reads a TFLite file into plain records, whole and at once: what is truncated or odd is refused here.

Quantized constants keep their scales beside them (`TensorInfo.quantization`), so that who reads the file decides
whether to dequantize. The schema's bindings are the `tflite` package's.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from micrograft.errors import MicrograftError
from micrograft.ir.types import Array, Shape

_IDENTIFIER = b"TFL3"

_NUMPY = {
    "FLOAT32": "<f4", "FLOAT16": "<f2", "FLOAT64": "<f8", "INT8": "i1", "UINT8": "u1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "BOOL": "?",
}  # fmt: skip
"""The schema's name of a type, to how its numbers lie in the file."""


@dataclass(frozen=True, eq=False)
class Quantization:
    """real = scale · (stored − zero_point); one entry for the tensor, or one for each place on `axis`."""

    scale: Array
    zero_point: Array
    axis: int

    def dequantized(self, stored: Array) -> Array:
        """The real numbers, float32."""
        along = [1] * stored.ndim
        if self.scale.size > 1:
            along[self.axis] = -1
        real = (stored.astype(np.float64) - self.zero_point.reshape(along)) * self.scale.reshape(along)
        return np.asarray(real, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class TensorInfo:
    """A tensor of the file. kind: the schema's name of its type. signature: the shape with -1 where it is open.

    data: of a constant. quantization: None where the numbers are meant as they stand.
    """

    name: str
    kind: str
    shape: Shape
    signature: Shape
    data: Array | None
    quantization: Quantization | None


@dataclass(frozen=True)
class Operation:
    """An operator of the file. inputs, outputs: indices of tensors, -1 for an input left out.

    options: the schema's own names, such as `StrideW`; vectors are tuples.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class TfliteModel:
    """The main subgraph of a file. inputs, outputs: indices of tensors."""

    tensors: tuple[TensorInfo, ...]
    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_model(path: Path) -> TfliteModel:
    """The model in `path`. Raises MicrograftError."""
    where = f"model {str(path)!r}"
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise MicrograftError(f"it cannot be read ({error.strerror})", where=where) from error
    if contents[4:8] != _IDENTIFIER:
        raise MicrograftError("it is not a TFLite file", where=where, fix="convert it again")
    try:
        return _read(contents)
    except Exception as error:  # the bindings check nothing: a damaged offset ends in any error at all
        raise MicrograftError("it is truncated or damaged", where=where, fix="convert it again") from error


def _read(contents: bytes) -> TfliteModel:
    model = tflite.Model.GetRootAs(contents, 0)
    graph = model.Subgraphs(0)
    kinds = [_kind(model.OperatorCodes(index)) for index in range(model.OperatorCodesLength())]
    tensors = tuple(_tensor(model, graph.Tensors(index)) for index in range(graph.TensorsLength()))
    operations = []
    for index in range(graph.OperatorsLength()):
        each = graph.Operators(index)
        inputs, outputs = _integers(each, "Inputs"), _integers(each, "Outputs")
        operations.append(Operation(kinds[each.OpcodeIndex()], inputs, outputs, _options(each)))
    found = TfliteModel(tensors, tuple(operations), _integers(graph, "Inputs"), _integers(graph, "Outputs"))
    used = [index for each in operations for index in (*each.inputs, *each.outputs)]
    if any(not -1 <= index < len(tensors) for index in (*used, *found.inputs, *found.outputs)) or not found.outputs:
        raise ValueError("an operator names a tensor that is not there")
    return found


def _kind(code: Any) -> str:
    """The operator's name; codes above 127 stand in a field of their own (schema 3a)."""
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == tflite.BuiltinOperator.CUSTOM:
        return f"custom {(code.CustomCode() or b'').decode()}".strip()
    return str(tflite.BUILTIN_OPCODE2NAME.get(number, f"number {number}"))


def _tensor(model: Any, tensor: Any) -> TensorInfo:
    shape = _integers(tensor, "Shape")
    kind = next(name for name, number in vars(tflite.TensorType).items() if number == tensor.Type())
    buffer = model.Buffers(tensor.Buffer())
    data = None
    if buffer.DataLength():
        stored = np.frombuffer(buffer.DataAsNumpy().tobytes(), _NUMPY[kind])
        data = stored.astype(stored.dtype.newbyteorder("=")).reshape(shape)
    signature = _integers(tensor, "ShapeSignature") or shape
    return TensorInfo((tensor.Name() or b"").decode(), kind, shape, signature, data, _quantization(tensor))


def _quantization(tensor: Any) -> Quantization | None:
    found = tensor.Quantization()
    if found is None or not found.ScaleLength():
        return None
    scale = np.array(found.ScaleAsNumpy(), np.float64)
    zero = np.array(found.ZeroPointAsNumpy()) if found.ZeroPointLength() else np.zeros(scale.size, np.int64)
    return Quantization(scale, zero, found.QuantizedDimension())


def _integers(record: Any, name: str) -> tuple[int, ...]:
    """A vector of integers, which the bindings give as 0 where it is missing or empty."""
    if not getattr(record, f"{name}Length")():
        return ()
    return tuple(int(each) for each in getattr(record, f"{name}AsNumpy")())


def _options(operator: Any) -> dict[str, Any]:
    """All that the operator's options say, read through the accessors of their class."""
    names = (name for name, number in vars(tflite.BuiltinOptions).items() if number == operator.BuiltinOptionsType())
    name, table = next(names, "NONE"), operator.BuiltinOptions()
    if name == "NONE" or table is None:
        return {}
    options = getattr(tflite, name)()
    options.Init(table.Bytes, table.Pos)
    found: dict[str, Any] = {}
    for accessor, method in vars(type(options)).items():
        if accessor.endswith("AsNumpy"):
            found[accessor.removesuffix("AsNumpy")] = _integers(options, accessor.removesuffix("AsNumpy"))
        elif inspect.isfunction(method) and list(inspect.signature(method).parameters) == ["self"]:  # a number
            found[accessor] = getattr(options, accessor)()
    return found
