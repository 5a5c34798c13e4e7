"""Writes small TFLite files, with LiteRT's own bindings of the schema, and asks LiteRT what they predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

Array = npt.NDArray[Any]

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
RELU, RELU_N1_TO_1, RELU6 = 1, 2, 3

_KINDS = {"float32": "FLOAT32", "float16": "FLOAT16", "int8": "INT8", "int32": "INT32", "int64": "INT64"}


@dataclass(frozen=True)
class Op:
    """An operator: inputs are names of tensors ("" for one left out); options, fields: as the schema names them.

    more: names of further outputs.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    options: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """A constant stored as integers with scales, and one zero point."""

    data: Array
    scale: tuple[float, ...]
    axis: int = 0
    zero: int = 0


def write(
    path: Path,
    ops: Sequence[Op],
    shapes: Mapping[str, tuple[int, ...]],
    constants: Mapping[str, Array | Stored] | None = None,
    kinds: Mapping[str, str] | None = None,
    scales: Mapping[str, float | tuple[float, int]] | None = None,
) -> Path:
    """A file whose input is `x` and whose output is the last operator's.

    shapes: of every tensor that is no constant, -1 for an open axis. kinds: of those that are not FLOAT32. scales:
    of those that are quantized, with a zero point where it is not 0.
    """
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], [schema.BufferT()], []
    graph.tensors, graph.operators = [], []
    constants = constants or {}
    names = [*shapes, *constants]
    for name in shapes:
        graph.tensors.append(_tensor(name, shapes[name], (kinds or {}).get(name, "FLOAT32")))
        if name in (scales or {}):
            given = (scales or {})[name]
            scale, zero = given if isinstance(given, tuple) else (given, 0)
            graph.tensors[-1].quantization = _scales([scale], zero=zero)
    for name, constant in constants.items():
        data = constant.data if isinstance(constant, Stored) else np.asarray(constant)
        tensor = _tensor(name, data.shape, _KINDS[data.dtype.name])
        tensor.buffer = len(model.buffers)
        if isinstance(constant, Stored):
            tensor.quantization = _scales(constant.scale, constant.axis, constant.zero)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data.tobytes(), np.uint8)
        model.buffers.append(buffer)
        graph.tensors.append(tensor)
    for op in ops:
        model.operatorCodes.append(_code(op))
        graph.operators.append(_operator(op, len(model.operatorCodes) - 1, names))
    graph.inputs, graph.outputs = [names.index("x")], [names.index(ops[-1].output)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(name: str, shape: Sequence[int], kind: str) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type = name.encode(), getattr(schema.TensorType, kind)
    tensor.shape = [max(1, size) for size in shape]
    tensor.shapeSignature = list(shape) if -1 in shape else None
    return tensor


def _scales(scale: Sequence[float], axis: int = 0, zero: int = 0) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = list(scale), [zero] * len(scale)
    quantization.quantizedDimension = axis
    return quantization


def _code(op: Op) -> Any:
    code = schema.OperatorCodeT()
    number = getattr(schema.BuiltinOperator, op.kind)
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), op.version
    return code


def _operator(op: Op, code: int, names: Sequence[str]) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs = [names.index(name) if name else -1 for name in op.inputs]
    operator.outputs = [names.index(name) for name in (op.output, *op.more)]
    if op.options:
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, op.options)
        operator.builtinOptions = getattr(schema, f"{op.options}T")()
        for name, value in op.fields.items():
            assert hasattr(operator.builtinOptions, name), name
            setattr(operator.builtinOptions, name, value)
    return operator


def dequantized(source: Path, path: Path) -> Path:
    """A copy of a file whose weights, stored as int8 with a scale, are float32.

    LiteRT computes such layers by quantizing their input too, at run time, and its kernels disagree with each other
    by far more than 1e-4; the copy is the float network that the file stands for.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    for tensor in model.subgraphs[0].tensors:
        buffer = model.buffers[tensor.buffer]
        if tensor.type == schema.TensorType.INT8 and buffer.data is not None:
            (scale,) = tensor.quantization.scale
            real = np.asarray(buffer.data).view(np.int8).astype(np.float32) * np.float32(scale)
            buffer.data = np.frombuffer(real.tobytes(), np.uint8)
            tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def predicted(path: Path, samples: Sequence[Array]) -> list[Array]:
    """What LiteRT's plain kernels answer to each sample."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], samples[0].shape)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for sample in samples:
        interpreter.set_tensor(source, sample)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(result))
    return answers
