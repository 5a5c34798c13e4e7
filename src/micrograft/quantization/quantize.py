"""Draws int8 into a float network: which activations become codes of which range, and the grids of the weights.

The result is in real numbers between codes, as importers draw int8 files; `passes.fuse_quantization` makes int8
operators of it. Weights are symmetric with one scale per output channel, activations asymmetric with one scale,
biases int32. What has no int8 operator stays in float32 between a dequantize and a quantize. The network's batch
norms are folded already.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Graph, Node, Param
from micrograft.ir.types import Array, Quantization, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.fixed_point import HIGH, LOW, Rounding
from micrograft.ops.quantize import DequantizeAttrs, QuantizeAttrs
from micrograft.ops.requantization import Codes
from micrograft.quantization.observers import Ranges, codes_of
from micrograft.quantization.scheme import CLAMPS, LAYERS, PAIRS, Scheme, is_layer, scheme

SOFTMAX_CODES = Quantization((1 / 256,), (LOW,))

_BIAS_LIMIT = float(1 << 29)
"""Largest bias in units of its sums: a layer of tiny weights gets a coarser grid rather than a bias that saturates."""


def quantize(graph: Graph, ranges: Ranges, rounding: Rounding = Rounding.ONCE) -> Graph:
    """`graph` as an importer would draw it had it been int8. ranges: of `scheme(graph).measured`."""
    return check(_Drawing(graph, scheme(graph), ranges, rounding).run(), "quantize")


class _Drawing:
    """The state of one walk over the graph."""

    def __init__(self, graph: Graph, plan: Scheme, ranges: Ranges, rounding: Rounding) -> None:
        self._graph = graph
        self._plan = plan
        self._ranges = ranges
        self._rounding = rounding
        self._coded = set(plan.order)
        self._producers = graph.producers
        self._builder = Builder(value.name for value in graph.values)
        self._real: dict[str, Value] = {}
        self._codes: dict[str, Quantization] = {}
        self._params = {param.name: param for param in graph.params}

    def run(self) -> Graph:
        for port in self._graph.inputs:
            self._code(port.value, None, port.label or port.value.name)
        for node in self._graph.nodes:
            if is_layer(node, self._graph):
                self._grid(node)
            elif node.op in (*PAIRS, "concat"):
                self._constants(node)
            inputs = tuple(self._real.get(value.name, value) for value in node.inputs)
            self._builder.nodes.append(replace(node, inputs=inputs))
            self._code(node.outputs[0], node, self._layer(node))
        outputs = tuple(
            replace(port, value=self._real.get(port.value.name, port.value)) for port in self._graph.outputs
        )
        params = tuple(self._params.values())
        return replace(self._graph, nodes=tuple(self._builder.nodes), outputs=outputs, params=params)

    def _layer(self, node: Node) -> str:
        """The name of the layer that a node belongs to: an activation's is that of the layer whose clamp it is."""
        front = self._producers.get(node.inputs[0].name)
        clamps = front is not None and node.op in CLAMPS and node.inputs[0].name not in self._coded
        return front.origin if clamps and front is not None else node.origin

    def _code(self, value: Value, producer: Node | None, origin: str) -> None:
        """Append the quantize and dequantize behind a value that becomes codes."""
        if value.name not in self._coded:
            return
        quant = self._quantization(value, producer)
        attrs = QuantizeAttrs(Codes(quant, rounding=self._rounding))
        codes = self._builder.add("quantize", (value,), attrs, origin=origin, name=f"{value.name}_codes")
        real = self._builder.add(
            "dequantize", (codes,), DequantizeAttrs(quant), origin=origin, name=f"{value.name}_real"
        )
        self._codes[value.name], self._real[value.name] = quant, real

    def _quantization(self, value: Value, producer: Node | None) -> Quantization:
        if value.name in self._plan.same:
            return self._codes[self._plan.same[value.name]]
        if producer is not None and producer.op == "softmax":
            return SOFTMAX_CODES
        return codes_of(self._ranges[value.name])

    def _constants(self, node: Node) -> None:
        """Put constants on a grid where they meet codes: of the codes that they are joined with, else of their own."""
        for value in node.inputs:
            param = self._params.get(value.name)
            meets = [each.name in self._coded for each in node.inputs if each.name not in self._params]
            if param is None or param.grid is not None or not (meets and all(meets)):
                continue
            y = node.outputs[0].name
            if node.op == "concat" and y in self._coded:
                grid = self._quantization(node.outputs[0], node)
            else:
                grid = codes_of((float(param.data.min()), float(param.data.max())))
            self._params[param.name] = replace(param, data=grid.real(grid.codes(param.data)), grid=grid)

    def _grid(self, node: Node) -> None:
        """Put the weight of a layer on its grid; it and the bias can be learned, whatever was folded into them."""
        for value in node.inputs[1:]:
            self._params[value.name] = replace(self._params[value.name], learnable=True)
        weight = self._params[node.inputs[1].name]
        if weight.grid is not None and np.array_equal(on_grid(weight, weight.grid), weight.data):
            return  # a file stored it in int8, or another node reads it too
        bias = self._params[node.inputs[2].name].data if len(node.inputs) > 2 else np.zeros(1)
        scales = weight_scales(weight.data, bias, self._codes[node.inputs[0].name].scale, LAYERS[node.op])
        grid = grid_of(weight, scales, LAYERS[node.op])
        self._params[weight.name] = replace(weight, data=on_grid(weight, grid), grid=grid)


def weight_scales(weight: Array, bias: Array, x_scale: float, outputs_axis: int) -> Array:
    """One float32 scale per output: the largest weight is 127 steps, and the bias fits the int32 sums."""
    rows = np.abs(np.moveaxis(weight, outputs_axis, 0).reshape(weight.shape[outputs_axis], -1)).max(axis=1)
    least = np.abs(bias.astype(np.float64)) / (x_scale * _BIAS_LIMIT)
    return np.asarray(np.maximum(np.maximum(rows / HIGH, least), 1e-12), np.float32)


def grid_of(weight: Param, scales: Array, outputs_axis: int) -> Quantization:
    """The grid of a weight along the user's axis of its outputs; one scale for all where no one axis has them."""
    along = [1] * weight.data.ndim
    along[outputs_axis] = -1
    index = weight.to_user(np.broadcast_to(np.arange(len(scales)).reshape(along), weight.data.shape))
    for axis in range(index.ndim):
        first = np.moveaxis(index, axis, -1).reshape(-1, index.shape[axis])
        if len(first[0]) == len(scales) and (first == first[0]).all() and len(set(first[0])) == len(scales):
            return Quantization(tuple(float(scales[each]) for each in first[0]), (0,) * len(scales), axis)
    return Quantization((float(scales.max()),), (0,))


def on_grid(weight: Param, grid: Quantization) -> Array:
    """The real numbers nearest to a weight's that its grid has, ties to even, in our layout."""
    users = weight.to_user(weight.data)
    along = [1] * users.ndim
    if grid.axis is not None:
        along[grid.axis] = -1
    codes = np.clip(np.rint(users / np.reshape(np.asarray(grid.scales, np.float32), along)), -HIGH, HIGH)
    return weight.from_user(grid.real(codes.astype(np.int32)))
