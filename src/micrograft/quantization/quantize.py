"""Draws int8 into a float network: which activations become codes of which range, and the grids of the weights.

The result is in real numbers between codes, as importers draw int8 files; `passes.fuse_quantization` makes int8
operators of it. Weights are symmetric with one scale per output channel, activations asymmetric with one scale,
biases int32. What has no int8 operator stays in float32 between a dequantize and a quantize. The network's batch
norms are folded already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from micrograft.couplings import Coupling, find_couplings
from micrograft.ir.graph import Graph, Node, Param
from micrograft.ir.types import Array, DType, Quantization, Value
from micrograft.ops import check
from micrograft.ops.average_pool import AveragePoolAttrs
from micrograft.ops.builder import Builder
from micrograft.ops.fixed_point import HIGH, LOW, Rounding
from micrograft.ops.quantize import DequantizeAttrs, QuantizeAttrs
from micrograft.ops.requantization import Codes
from micrograft.quantization.observers import Range, Ranges, codes_of

LAYERS: Mapping[str, int] = {"conv": 0, "depthwise_conv": -1, "linear": 0}
"""Operators with an int8 weight, and where its outputs stand."""

_CLAMPS = ("relu", "relu6", "clip")
"""Activations that become the clamp of the operator in front of them."""

_CLAMPED = (*LAYERS, "add", "global_average_pool")
"""Operators that take an activation behind them as their clamp."""

_SAME_CODES = ("average_pool", "max_pool", "reshape")
"""Operators whose output has the codes of their input."""

SOFTMAX_CODES = Quantization((1 / 256,), (LOW,))

_ROOM = 1.25
"""How much farther the codes of a stream reach than what calibration saw of it."""

_BIAS_LIMIT = float(1 << 29)
"""Largest bias in units of its sums: a layer of tiny weights gets a coarser grid rather than a bias that saturates."""


@dataclass(frozen=True)
class Scheme:
    """Which activations become codes. order: their names. same: name to the value whose range it shares.

    wrapping: names of the sums and differences of additive couplings, which are exactly undone where their three codes
    mean the same. streams: names of what is moved by them and of what moves it, in groups that are to have one range.
    """

    order: tuple[str, ...]
    same: Mapping[str, str]
    wrapping: frozenset[str]
    streams: tuple[tuple[str, ...], ...]

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of those that have a range of their own."""
        return tuple(name for name in self.order if name not in self.same)


def scheme(graph: Graph) -> Scheme:
    """What of `graph` becomes int8: what layers read and write, and what only passes through from there."""
    readers, outputs = graph.readers, {port.value.name for port in graph.outputs}
    coded = {node.inputs[0].name for node in graph.nodes if is_layer(node, graph)}
    couplings = _couplings(graph) if coded else []
    wrapping = frozenset(coupling.y.name for coupling in couplings)
    coded |= {value.name for coupling in couplings for value in _moved(coupling)}
    order = [port.value.name for port in graph.inputs if port.value.name in coded]
    same: dict[str, str] = {}
    for node in graph.nodes:
        x, y = node.inputs[0].name, node.outputs[0].name
        writes_codes = _writes_codes(node, graph, coded)
        clamp = _private_clamp(node, readers, outputs) if writes_codes and y not in wrapping else None
        if clamp is not None:
            coded.add(clamp.outputs[0].name)  # the codes are those behind the activation
            continue
        if writes_codes:
            coded.add(y)
        if y in coded:
            order.append(y)
        if writes_codes and node.op in _SAME_CODES:
            same[y] = same.get(x, x)
    links = ({same.get(value.name, value.name) for value in _moved(coupling)} for coupling in couplings)
    return Scheme(tuple(order), same, wrapping, _groups(links))


def with_room(plan: Scheme, ranges: Ranges) -> Ranges:
    """One range for each stream: all that was seen of it, and room beside, for a sum that leaves it wraps.

    ranges: of all values in `plan.streams`, with nothing cut off.
    """
    found: dict[str, Range] = {}
    for stream in plan.streams:
        low, high = min(ranges[name][0] for name in stream), max(ranges[name][1] for name in stream)
        found |= dict.fromkeys(stream, (_ROOM * low, _ROOM * high))
    return found


def quantize(graph: Graph, ranges: Ranges, rounding: Rounding = Rounding.ONCE) -> Graph:
    """`graph` as an importer would draw it had it been int8. ranges: of `scheme(graph).measured`."""
    return check(_Drawing(graph, scheme(graph), ranges, rounding).run(), "quantize")


def _couplings(graph: Graph) -> list[Coupling]:
    """The additive couplings of streams that are moved more than once: a lone sum is worth no coarser codes."""
    params = {param.name for param in graph.params}
    found = find_couplings(graph.nodes, params)
    found = [coupling for coupling in found if params.isdisjoint(value.name for value in _moved(coupling))]
    streams = _groups({value.name for value in _moved(coupling)} for coupling in found)
    sums = [{coupling.y.name for coupling in found}.intersection(stream) for stream in streams]
    again = set().union(*(each for each in sums if len(each) > 1))
    return [coupling for coupling in found if coupling.y.name in again]


def _moved(coupling: Coupling) -> tuple[Value, Value, Value]:
    return coupling.x, coupling.f, coupling.y


def _groups(links: Iterable[set[str]]) -> tuple[tuple[str, ...], ...]:
    """Names in groups: two of one link are in one group."""
    groups: list[set[str]] = []
    for link in links:
        joined = link.union(*(group for group in groups if group & link))
        groups = [group for group in groups if not group & link] + [joined]
    return tuple(tuple(sorted(group)) for group in groups)


def is_layer(node: Node, graph: Graph) -> bool:
    """Whether a node multiplies an activation with a weight of its own."""
    if node.op not in LAYERS or graph.param(node.inputs[0].name) is not None:
        return False
    params = [graph.param(value.name) for value in node.inputs[1:]]
    return all(param is not None and param.value.dtype is DType.FLOAT32 for param in params)


def _writes_codes(node: Node, graph: Graph, coded: set[str]) -> bool:
    """Whether a node has an int8 operator for inputs of codes."""
    if is_layer(node, graph):
        return True
    if not all(value.name in coded for value in node.inputs):
        return False
    if node.op == "add":
        return node.inputs[0].shape == node.inputs[1].shape
    if node.op == "average_pool":
        assert isinstance(node.attrs, AveragePoolAttrs)
        return not (node.attrs.count_include_pad and any(pads != (0, 0) for pads in node.attrs.padding))
    return node.op in ("global_average_pool", "max_pool", "reshape", "softmax", *_CLAMPS)


def _private_clamp(node: Node, readers: Mapping[str, tuple[Node, ...]], outputs: set[str]) -> Node | None:
    """The activation that alone reads what a node writes, and can be its clamp."""
    y = node.outputs[0].name
    found = readers.get(y, ())
    if node.op not in _CLAMPED or len(found) != 1 or y in outputs or found[0].op not in _CLAMPS:
        return None
    return found[0]


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
        clamps = front is not None and node.op in _CLAMPS and node.inputs[0].name not in self._coded
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
