"""TFLite to graph: float32 models, their weights as they are or stored as float16 or int8 with a scale, and int8 ones.

Layers are called after the user's tensors, made short and unique (`tflite_names`), their parameters
`<layer>.weight` and `<layer>.bias`. A batch that the file leaves open is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.frontends.discover import import_handlers
from micrograft.frontends.network import Constant, Network, Tensor, unsupported
from micrograft.frontends.quantized import quantization, quantized, real
from micrograft.frontends.tflite_file import Operation, TensorInfo, TfliteModel, read_model
from micrograft.frontends.tflite_names import root, short
from micrograft.frontends.tflite_operators import FOLDED, HANDLERS, Call
from micrograft.ir.graph import Graph
from micrograft.ir.types import Quantization, Shape
from micrograft.ops.fixed_point import Rounding

import_handlers("tflite_")

_ROLES = {
    "CONV_2D": ("", "weight", "bias"),
    "DEPTHWISE_CONV_2D": ("", "weight", "bias"),
    "FULLY_CONNECTED": ("", "weight", "bias"),
    "TRANSPOSE_CONV": ("", "weight", "", "bias"),
}
"""Operators with a weight, second, and perhaps a bias, to what their inputs are to a layer."""


def import_tflite(path: str | Path, shapes: Mapping[str, Shape] | None = None) -> Graph:
    """The graph of a TFLite file. Raises MicrograftError.

    shapes: input name to shape, for inputs that leave more than their batch open.
    """
    path = Path(path)
    model = read_model(path)
    _check_kinds(model, f"model {str(path)!r}")
    return _Importer(model).run(path.stem, shapes or {})


def _check_kinds(model: TfliteModel, where: str) -> None:
    """Refuse what computes with anything but float32 and int8."""
    computed = [index for each in model.operations for index in each.outputs]
    for index in (*model.inputs, *computed):
        tensor = model.tensors[index]
        if tensor.quantization is not None and tensor.kind not in ("FLOAT32", "INT32", "INT8"):
            raise MicrograftError(
                f"it is quantized ({tensor.name!r} is {tensor.kind}), and micrograft imports float32 and int8 models",
                where=where, fix="convert the model with int8 activations, or without quantizing them",
            )  # fmt: skip


class _Importer:
    def __init__(self, model: TfliteModel) -> None:
        self._model = model
        self._network = Network()
        self._tensors: dict[int, Tensor] = {}
        self._root = root(each.name for each in model.tensors)
        self._taken: set[str] = set()
        self._layers: dict[int, str] = {}  # tensor of a weight to the name of its layer

    def run(self, name: str, shapes: Mapping[str, Shape]) -> Graph:
        inputs = {self._model.tensors[index].name: index for index in self._model.inputs}
        for label in shapes:
            if label not in inputs:
                raise MicrograftError(f"there is no input {label!r} to give a shape; the model has {', '.join(inputs)}")
        for label, index in inputs.items():
            shape = _input_shape(self._model.tensors[index], shapes.get(label))
            self._tensors[index] = self._network.input(label, shape, _codes(self._model.tensors[index]))
        for operation in self._model.operations:
            self._draw(operation)
        outputs = [(self._model.tensors[index].name, self._read(index, name)) for index in self._model.outputs]
        return self._network.graph(name, outputs)

    def _draw(self, operation: Operation) -> None:
        kind, layer = operation.kind, self._layer(operation)
        roles = _ROLES.get(kind, ("",) * len(operation.inputs))
        stored = [self._input(*each, layer) for each in zip(operation.inputs, roles, strict=False)]
        inputs = [None if each is None else real(self._network, each, origin=layer) for each in stored]
        call = Call(self._network, kind, layer, tuple(inputs), operation.options)
        constants = [each for each in inputs if isinstance(each, Constant)]
        if kind in ("QUANTIZE", "DEQUANTIZE"):
            drawn: Tensor | tuple[Tensor, ...] = call.x  # its numbers are real ones already
        elif len(constants) == len(inputs) and kind in FOLDED:
            arrays = tuple(each.data for each in constants)
            drawn = Constant(FOLDED[kind](call, arrays), self._unique(f"{layer}_constant"))
        elif kind in HANDLERS:
            drawn = HANDLERS[kind](call)
        else:
            raise unsupported(kind, layer, tuple(HANDLERS))
        results = drawn if isinstance(drawn, tuple) else (drawn,)
        for index, result in zip(operation.outputs, results, strict=False):
            quant = _codes(self._model.tensors[index])
            if quant is not None:
                result = quantized(self._network, result, quant, Rounding.TWICE, origin=layer)
            self._tensors[index] = result

    def _layer(self, operation: Operation) -> str:
        """The layer's name: that of its weight, else of its output, else of its kind."""
        weight = operation.inputs[1] if operation.kind in _ROLES and len(operation.inputs) > 1 else -1
        if weight in self._layers:
            return self._layers[weight]
        tensors = [weight] if weight >= 0 else []
        names = [self._model.tensors[index].name for index in (*tensors, *operation.outputs)]
        found = (short(name, operation.kind, self._root) for name in names)
        layer = self._unique(next(filter(None, found), operation.kind.lower()))
        if weight >= 0:
            self._layers[weight] = layer
        return layer

    def _unique(self, wish: str) -> str:
        name, count = wish, 1
        while name in self._taken:
            count += 1
            name = f"{wish}_{count}"
        self._taken.add(name)
        return name

    def _input(self, index: int, role: str, layer: str) -> Tensor | None:
        """An input of an operation; a constant with a role is its layer's own, though the file may share equal ones."""
        if index < 0:
            return None
        data = self._model.tensors[index].data
        if role and data is not None and index not in self._tensors:
            return _constant(self._model.tensors[index], f"{layer}.{role}")
        return self._read(index, layer)

    def _read(self, index: int, reader: str) -> Tensor:
        if index not in self._tensors:
            tensor = self._model.tensors[index]
            if tensor.data is None:
                raise MicrograftError(
                    f"it needs {tensor.name!r}, which micrograft does not compute", where=f"layer {reader!r}"
                )
            name = short(tensor.name, "", self._root) or f"{reader}_constant"
            self._tensors[index] = _constant(tensor, self._unique(name))
        return self._tensors[index]


def _constant(tensor: TensorInfo, name: str) -> Constant:
    """A constant of the file under another name, in real numbers."""
    assert tensor.data is not None, "only constants have data"
    data = tensor.data
    if tensor.quantization is not None and data.dtype.kind in "iu":
        data = tensor.quantization.dequantized(data)
    if data.dtype.kind == "f":
        data = data.astype(np.float32)
    return Constant(data, name, data.dtype.kind == "f", _grid(tensor))


def _grid(tensor: TensorInfo) -> Quantization | None:
    found = tensor.quantization
    return None if found is None else quantization(found.scale, found.zero_point, found.axis)


def _codes(tensor: TensorInfo) -> Quantization | None:
    """What the codes of an int8 tensor mean; None for any other."""
    return _grid(tensor) if tensor.kind == "INT8" else None


def _input_shape(tensor: TensorInfo, given: Shape | None) -> Shape:
    """The static shape of an input: the file's, with its open batch as 1, or the one that was given."""
    where = f"input {tensor.name!r}"
    if tensor.kind != "FLOAT32" and _codes(tensor) is None:
        raise MicrograftError(f"it is {tensor.kind}, and micrograft takes FLOAT32 and quantized INT8", where=where)
    signature = (1, *tensor.signature[1:]) if tensor.signature[:1] == (-1,) else tensor.signature
    if given is not None:
        fits = len(given) == len(signature) and all(
            size in (-1, wanted) for size, wanted in zip(signature, given, strict=True)
        )
        if not fits:
            raise MicrograftError(f"the shape {given} that was given does not fit its own", where=where)
        signature = given
    for axis, size in enumerate(signature):
        if size < 1:
            example = ",".join(str(max(1, each)) for each in signature)
            fix = f"pass --shape {tensor.name}={example}, say (in Python shapes={{...}})"
            raise MicrograftError(f"its axis {axis} is dynamic", where=where, fix=fix)
    if not signature or signature[0] != 1:
        raise MicrograftError(
            f"its shape is {signature}, and micrograft trains with a batch of 1", where=where,
            fix="convert the model with 1 as the first axis",
        )  # fmt: skip
    return signature
