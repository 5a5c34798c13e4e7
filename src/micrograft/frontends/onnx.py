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
from micrograft.frontends.discover import import_handlers
from micrograft.frontends.layers import named_by
from micrograft.frontends.network import Constant, Network, Tensor, unsupported
from micrograft.frontends.onnx_file import INTEGERS, input_shapes, read_model
from micrograft.frontends.onnx_operators import HANDLERS, Call
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array

import_handlers("onnx_")

_LAYOUT = ("Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Gather")
"""Operators that leave a weight, or rows of a table, the same parameter: they are drawn, not computed."""

_MOVES = ("Slice", "Concat", "Split")
"""Operators by which an exporter arranges weights: what comes out is a weight, and they are computed once."""

_STORED = "DequantizeLinear"
"""The operator that a weight stored as codes goes through: it is the parameter in real numbers."""

_QUANTIZED = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")


def import_onnx(path: str | Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The graph of an ONNX file, in the user's layout; `passes.canonicalize` makes it channels last.

    shapes: input name to shape, for inputs whose own is dynamic. Raises MicrograftError.
    """
    path = Path(path)
    model = read_model(path)
    quantized = next((node for node in model.graph.node if node.op_type in _QUANTIZED), None)
    if quantized is not None:
        raise MicrograftError(
            f"it is quantized in operators ({quantized.op_type} in layer {quantized.name!r})",
            where=f"model {str(path)!r}", fix="export it in QDQ form, or before quantization",
        )  # fmt: skip
    return _Importer(model).run(path.stem, input_shapes(model, shapes or {}))


class _Importer:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._network = Network()
        self._tensors: dict[str, Tensor] = {}
        self._read_names: set[str] = set()

    def run(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
        graph = self._model.graph
        kinds = {port.name: port.type.tensor_type.elem_type for port in graph.input}
        for label, shape in shapes.items():
            whole = kinds[label] in INTEGERS
            self._tensors[label] = (self._network.tokens if whole else self._network.input)(label, shape)
        self._read_names = _read_in(graph)
        self._draw_all(graph)
        for port in graph.output:
            kind = port.type.tensor_type.elem_type
            if kind == onnx.TensorProto.BOOL:
                raise MicrograftError("it is BOOL, and micrograft gives numbers", where=f"output {port.name!r}")
            if kind == onnx.TensorProto.UINT8:
                problem = "it is UINT8, and codes in micrograft are int8"
                raise MicrograftError(problem, where=f"output {port.name!r}", fix="dequantize it in the model")
        return self._network.graph(name, [(port.name, self._read(port.name, port.name)) for port in graph.output])

    def _draw_all(self, graph: Any) -> None:
        """Draw the nodes of a graph, or of one branch of it."""
        for initializer in graph.initializer:
            data = np.asarray(numpy_helper.to_array(initializer))
            self._tensors[initializer.name] = Constant(data, initializer.name, learnable=data.dtype.kind == "f")
        for node in graph.node:
            drawn = zip(node.output, self._draw(node), strict=False)
            self._tensors |= {name: tensor for name, tensor in drawn if name and tensor is not None}

    def _branch(self, node: Any, origin: str) -> tuple[Tensor | None, ...]:
        """The outputs of the branch that is taken, whatever the data: the condition must be constant."""
        condition = self._read(node.input[0], origin)
        if not isinstance(condition, Constant):
            raise MicrograftError("what it does depends on the data", where=f"layer {origin!r} (If)")
        wanted = "then_branch" if condition.data.item() else "else_branch"
        branch = next(each.g for each in node.attribute if each.name == wanted)
        self._draw_all(branch)
        return tuple(self._read(port.name, origin) for port in branch.output)

    def _draw(self, node: Any) -> tuple[Tensor | None, ...]:
        """The outputs of one node; None for one that nobody reads or that we do not compute."""
        origin = node.name or node.output[0]
        if node.op_type == "If":
            return self._branch(node, origin)
        inputs = tuple(self._read(name, origin) if name else None for name in node.input)
        present = [each for each in inputs if each is not None]
        constants = [each for each in present if isinstance(each, Constant)]
        layout = node.op_type in _LAYOUT and constants and constants[0].learnable
        if len(constants) == len(present) and node.op_type != _STORED:
            results = self._evaluate(node, constants, origin)
            numbers = all(each.dtype.kind == "f" for each in results)
            if not numbers or not (layout or _learns(node, constants)):
                trains = node.op_type in _MOVES and any(each.learnable for each in constants)
                return _computed(node, results, trains)
            try:
                return self._drawn(node, inputs, origin)
            except MicrograftError:  # it is in no form of ours, but need not be
                return _computed(node, results, False)
        return self._drawn(node, inputs, origin)

    def _drawn(self, node: Any, inputs: tuple[Tensor | None, ...], origin: str) -> tuple[Tensor | None, ...]:
        """What the node's handler draws."""
        handler = HANDLERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if handler is None:
            kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise unsupported(kind, origin, tuple(HANDLERS))
        first = inputs[0] if inputs else None
        if node.op_type in _LAYOUT and isinstance(first, Constant) and first.learnable:
            inputs = (self._network.value(first, trains=True), *inputs[1:])  # it stays the user's parameter
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        weight = inputs[1] if len(inputs) > 1 else None
        source = self._network.source(weight) if weight is not None else ""
        layer = named_by(source) or origin
        used = frozenset(index for index, name in enumerate(node.output) if name in self._read_names)
        drawn = handler(Call(self._network, layer, inputs, attributes, used, len(node.output)))
        return drawn if isinstance(drawn, tuple) else (drawn,)

    def _read(self, name: str, reader: str) -> Tensor:
        if name not in self._tensors:
            raise MicrograftError(f"it needs {name!r}, which micrograft does not compute", where=f"layer {reader!r}")
        return self._tensors[name]

    def _evaluate(self, node: Any, constants: list[Constant], origin: str) -> list[Array]:
        """The outputs of a node whose inputs are all constant."""
        names = [name for name in node.input if name]
        inputs = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(each.data.dtype), each.shape)
            for name, each in zip(names, constants, strict=True)
        ]
        outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "constant", inputs, outputs)
        model = onnx.helper.make_model(graph, opset_imports=list(self._model.opset_import))
        feeds = {name: each.data for name, each in zip(names, constants, strict=True)}
        try:
            results: Any = ReferenceEvaluator(model).run(None, feeds)
            return [np.asarray(each) for each in results]
        except Exception as error:  # the evaluator raises whatever the operator's NumPy code does
            raise unsupported(f"{node.op_type} of constants", origin, tuple(HANDLERS)) from error


def _learns(node: Any, constants: list[Constant]) -> bool:
    """Whether a node of constants is arithmetic with weights, which goes on when they are trained: it is drawn."""
    weights = any(each.learnable and each.data.size > 1 for each in constants)
    return weights and node.op_type in HANDLERS and node.op_type not in _MOVES


def _computed(node: Any, results: list[Array], trains: bool) -> tuple[Constant | None, ...]:
    """The outputs of a node of constants. trains: whether they are weights."""
    found = iter(results)
    each = ((next(found), name) if name else None for name in node.output)
    return tuple(pair and Constant(*pair, learnable=trains and pair[0].dtype.kind == "f") for pair in each)


def _read_in(graph: Any) -> set[str]:
    """Names of all that somebody in a graph or in its branches reads."""
    found = {name for node in graph.node for name in node.input} | {port.name for port in graph.output}
    return found.union(*(_read_in(each.g) for node in graph.node for each in node.attribute if each.HasField("g")))
