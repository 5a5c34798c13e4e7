"""ONNX to graph. Each node is computed here where all its inputs are constant, else its handler draws it.

Layers keep the user's names: a layer is called after its weight, without ".weight", else after its node.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from micrograft.errors import MicrograftError
from micrograft.frontends.network import Constant, Network, Tensor, unsupported
from micrograft.frontends.onnx_file import input_shapes, read_model
from micrograft.frontends.onnx_operators import HANDLERS, Call
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array

_LAYOUT = ("Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
"""Operators that leave a weight the same parameter: they are drawn, not computed."""

_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")


def import_onnx(path: str | Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The graph of an ONNX file, in the user's layout; `passes.canonicalize` makes it channels last.

    shapes: input name to shape, for inputs whose own is dynamic. Raises MicrograftError.
    """
    path = Path(path)
    model = read_model(path)
    quantized = next((node for node in model.graph.node if node.op_type in _QUANTIZED), None)
    if quantized is not None:
        raise MicrograftError(
            f"it is quantized ({quantized.op_type} in layer {quantized.name!r}), and micrograft imports float32 models",
            where=f"model {str(path)!r}", fix="export the model before quantization",
        )  # fmt: skip
    return _Importer(model).run(path.stem, input_shapes(model, shapes or {}))


class _Importer:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._network = Network()
        self._tensors: dict[str, Tensor] = {}

    def run(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
        graph = self._model.graph
        for initializer in graph.initializer:
            data = np.asarray(numpy_helper.to_array(initializer))
            self._tensors[initializer.name] = Constant(data, initializer.name, learnable=data.dtype.kind == "f")
        for label, shape in shapes.items():
            self._tensors[label] = self._network.input(label, shape)
        for node in graph.node:
            self._tensors[node.output[0]] = self._draw(node)
        return self._network.graph(name, [(port.name, self._read(port.name, port.name)) for port in graph.output])

    def _draw(self, node: Any) -> Tensor:
        origin = node.name or node.output[0]
        inputs = tuple(self._read(name, origin) if name else None for name in node.input)
        present = [each for each in inputs if each is not None]
        constants = [each for each in present if isinstance(each, Constant)]
        if len(constants) == len(present) and not (node.op_type in _LAYOUT and constants[0].learnable):
            return Constant(self._evaluate(node, constants, origin), node.output[0])
        handler = HANDLERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if handler is None:
            kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise unsupported(kind, origin, tuple(HANDLERS))
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        weight = inputs[1] if len(inputs) > 1 else None
        source = self._network.source(weight) if weight is not None else ""
        layer = source.removesuffix(".weight") if source.endswith(".weight") else origin
        return handler(Call(self._network, layer, inputs, attributes))

    def _read(self, name: str, reader: str) -> Tensor:
        if name not in self._tensors:
            raise MicrograftError(f"it needs {name!r}, which micrograft does not compute", where=f"layer {reader!r}")
        return self._tensors[name]

    def _evaluate(self, node: Any, constants: list[Constant], origin: str) -> Array:
        """The first output of a node whose inputs are all constant."""
        names = [name for name in node.input if name]
        inputs = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(each.data.dtype), each.shape)
            for name, each in zip(names, constants, strict=True)
        ]
        output = onnx.helper.make_empty_tensor_value_info(node.output[0])
        graph = onnx.helper.make_graph([node], "constant", inputs, [output])
        model = onnx.helper.make_model(graph, opset_imports=list(self._model.opset_import))
        feeds = {name: each.data for name, each in zip(names, constants, strict=True)}
        try:
            results: Any = ReferenceEvaluator(model).run(None, feeds)
            return np.asarray(results[0])
        except Exception as error:  # the evaluator raises whatever the operator's NumPy code does
            raise unsupported(f"{node.op_type} of constants", origin, tuple(HANDLERS)) from error
