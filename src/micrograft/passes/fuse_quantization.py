"""Makes int8 operators of what an importer draws in real numbers between codes: dequantize → operator → quantize.

An activation in front of the quantize becomes the operator's clamp. Weights become int8 parameters under their own
names, biases int32 ones, and the factors between the scales a table of one row per output channel. A function of one
tensor of codes becomes a table of its 256 results. What has no int8 operator stays as it is, in float32 between a
dequantize and a quantize. The arithmetic is that of TensorFlow Lite's reference kernels (`ops.fixed_point`).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np

from micrograft.functions import find_sources
from micrograft.ir.graph import Attrs, Graph, Node, Param, Port, identity
from micrograft.ir.types import Array, DType, Quantization, TensorType, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.clip import ClipAttrs
from micrograft.ops.fixed_point import HIGH, LOW, Rounding, float_factor
from micrograft.ops.lookup import LookupAttrs
from micrograft.ops.quantize import QuantizeAttrs, RequantizeAttrs
from micrograft.ops.requantization import Codes, factors_table
from micrograft.passes.int8_rules import RULES
from micrograft.passes.int8_site import Fusion, Site, meaning
from micrograft.passes.move_codes import move_codes
from micrograft.passes.prune import prune
from micrograft.passes.recognize_means import recognize_means
from micrograft.passes.separate_channels import separate_channels
from micrograft.passes.separate_phases import separate_phases
from micrograft.passes.tabulate import tabulated


def fuse_quantization(graph: Graph, wrapping: Set[str] = frozenset()) -> Graph:
    """`graph` with int8 operators where there are such; a network without codes is returned as it is.

    An input of real numbers that is quantized at once becomes one of codes: a quarter of the memory. wrapping: names of
    sums and differences that wrap at the ends of their codes, and do not saturate, where all three codes mean the same.
    """
    if not any(node.op in ("quantize", "dequantize") for node in graph.nodes):
        return graph
    graph = move_codes(separate_channels(separate_phases(recognize_means(graph))))
    return check(prune(_take_codes(_Fusion(graph, wrapping).run())), "fuse_quantization")


class _Fusion(Fusion):
    """The state of one walk over the graph."""

    def __init__(self, graph: Graph, wrapping: Set[str]) -> None:
        self._graph = graph
        self._wrapping = wrapping
        self._builder = Builder(value.name for value in graph.values)
        self._producers = graph.producers
        self._readers = graph.readers
        self._outputs = {port.value.name for port in graph.outputs}
        self._weights: dict[str, Param] = {}
        self._biases: dict[tuple[str, Quantization], Param] = {}
        self._tables: dict[tuple[str, bytes], Param] = {}
        self._same: dict[str, Value] = {}
        self._constants: dict[tuple[str, Quantization], Param] = {}
        real = {node.outputs[0].name for node in graph.nodes if node.op == "dequantize"}
        self._sources = find_sources(graph, real)

    def run(self) -> Graph:
        for node in self._graph.nodes:
            node = replace(node, inputs=tuple(self._same.get(value.name, value) for value in node.inputs))
            if not (isinstance(node.attrs, QuantizeAttrs) and self._fuse(node, node.attrs.y)):
                self._builder.nodes.append(node)
        outputs = tuple(
            replace(port, value=self._same.get(port.value.name, port.value)) for port in self._graph.outputs
        )
        made = (*self._weights.values(), *self._biases.values(), *self._constants.values(), *self._tables.values())
        params = (*self._graph.params, *made)
        return replace(self._graph, nodes=tuple(self._builder.nodes), params=params, outputs=outputs)

    def _fuse(self, quantize: Node, y: Codes) -> bool:
        """Append the int8 operator that ends in `quantize`, if there is one."""
        value = quantize.inputs[0]
        producer = self._producers.get(value.name)
        while producer is not None and (bounds := _bounds(producer, y.quant)) is not None:
            if not self._is_private(value):
                return False
            y = replace(y, low=max(y.low, bounds[0]), high=min(y.high, bounds[1]))
            value = producer.inputs[0]
            producer = self._producers.get(value.name)
        if producer is None:
            return False
        if producer.op == "dequantize":
            return self._requantize(producer, self._codes(value), y, quantize.outputs[0])
        if not self._is_private(value):
            return False
        site = Site(producer, tuple(map(self._operand, producer.inputs)), y, quantize.outputs[0])
        if y.rounding is Rounding.ONCE:  # a function is what its real numbers are
            return self._function(site, value) or self._by_rule(site)
        return self._by_rule(site) or self._function(site, value)

    def _by_rule(self, site: Site) -> bool:
        rule = RULES.get(site.node.op)
        return rule is not None and bool(site.codes) and rule(self, site)

    def _function(self, site: Site, value: Value) -> bool:
        """A table of all results, where the operator ends a function of one tensor of codes."""
        source = self._sources.get(value.name)
        x = self._codes(self._producers[source].outputs[0]) if source is not None else None
        if source is None or x is None or x.shape != value.shape:
            return False
        table, slopes = tabulated(value, source, self._graph, meaning(x), site.y)
        alone = len(site.node.inputs) == 1 and site.node.inputs[0].name == source and site.node.attrs == Attrs()
        name = site.node.op if alone else ""
        attrs = LookupAttrs(meaning(x), site.y, slopes, name)
        return self.define(site, "lookup", (x, self.table(table, f"{site.node.origin}.{site.node.op}")), attrs)

    def _operand(self, value: Value) -> Value | Param | None:
        return self._codes(value) or self._graph.param(value.name)

    def _is_private(self, value: Value) -> bool:
        """Whether one node alone reads it."""
        return len(self._readers[value.name]) == 1 and value.name not in self._outputs

    def _codes(self, value: Value) -> Value | None:
        """The codes that a value of real numbers comes from."""
        producer = self._producers.get(value.name)
        if producer is None or producer.op != "dequantize":
            return None
        codes = producer.inputs[0]
        return self._same.get(codes.name, codes)

    def _requantize(self, node: Node, codes: Value | None, y: Codes, result: Value) -> bool:
        assert codes is not None
        if meaning(codes) == y.quant and (y.low, y.high) == (LOW, HIGH):
            self._same[result.name] = codes
        else:
            attrs = RequantizeAttrs(meaning(codes), y)
            self._builder.define(result, "requantize", (codes,), attrs, origin=node.origin)
        return True

    def define(self, site: Site, op: str, inputs: tuple[Value, ...], attrs: Attrs) -> bool:
        self._builder.define(site.result, op, inputs, attrs, origin=site.node.origin)
        return True

    def add(self, site: Site, op: str, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
        """The result of an operator in front of the last one."""
        return self._builder.add(op, inputs, attrs, origin=site.node.origin, name=f"{site.result.name}_{op}")

    def constant(self, param: Param, quant: Quantization | None = None) -> Value | None:
        """The codes of a constant, its grid's if no others are wanted; None where it has no grid of one scale."""
        quant = quant or param.grid
        if quant is None or quant.axis is not None or param.value.dtype is not DType.FLOAT32:
            return None
        key = (param.name, quant)
        if key not in self._constants:
            value = Value(self._builder.unique(f"{param.name}_codes"), TensorType(param.data.shape, DType.INT8, quant))
            coded = replace(param, value=value, data=quant.codes(param.data), grid=None, learnable=False)
            self._constants[key] = coded
        return self._constants[key].value

    def wraps(self, site: Site) -> bool:
        """Whether a sum or difference of codes wraps."""
        return not site.clamps and site.node.outputs[0].name in self._wrapping

    def layer(self, site: Site, outputs_axis: int) -> tuple[Value, Value, Value] | None:
        """int8 weight, int32 biases and factors of a layer; None where its weight has no grid."""
        weight, *bias = (self._graph.param(value.name) for value in site.node.inputs[1:])
        if weight is None or None in bias or weight.grid is None or any(weight.grid.zero_points):
            return None
        known = self._weights.get(weight.name) or _coded(weight, weight.grid, outputs_axis, self._builder)
        self._weights[weight.name] = known
        scales = np.broadcast_to(np.asarray(meaning(known.value).scales), known.value.shape[outputs_axis])
        factors = factors_table(_factor(site, scales))
        biases = self._bias(bias[0] if bias else None, site, site.x.scale * scales)
        return known.value, biases, self.table(factors, f"{site.node.origin}.factors")

    def _bias(self, bias: Param | None, site: Site, scales: Array) -> Value:
        """Codes of the sums' own scales, learnable where the file has a bias; zeros where it has none."""
        if bias is None:
            return self.table(np.zeros(len(scales), np.int32), f"{site.node.origin}.zeros")
        quant = Quantization(tuple(map(float, scales)), (0,) * len(scales), 0)
        known = self._biases.get((bias.name, quant))
        if known is None:
            value = Value(self._builder.unique(f"{bias.name}_codes"), TensorType(scales.shape, DType.INT32, quant))
            shared = any(name == bias.name for name, _ in self._biases)  # by a layer whose sums have other scales
            source = f"{site.node.origin}.bias" if shared else bias.source
            known = replace(bias, value=value, data=_bias_codes(bias, scales), source=source, grid=None)
            self._biases[bias.name, quant] = known
        return known.value

    def table(self, data: Array, name: str) -> Value:
        """A constant of the network's own; of equal functions there is one table."""
        key = ("" if data.dtype == np.int8 else name, data.tobytes())
        if key not in self._tables:
            value = Value(self._builder.unique(name), TensorType(data.shape, DType(data.dtype.name)))
            self._tables[key] = Param(value, data, name, identity(data.ndim), learnable=False)
        return self._tables[key].value


def _bounds(node: Node, y: Quantization) -> tuple[int, int] | None:
    """The codes between which an activation keeps its output, rounded as TensorFlow Lite does; None for none."""
    if node.op == "relu":
        return y.zero, HIGH
    if node.op == "relu6":
        return y.zero, _code(6.0, y)
    if node.op == "clip" and isinstance(node.attrs, ClipAttrs):
        return _code(node.attrs.low, y), _code(node.attrs.high, y)
    return None


def _code(bound: float, y: Quantization) -> int:
    steps = float(np.float32(bound) / np.float32(y.scale))
    if not abs(steps) < HIGH - LOW:
        return LOW if steps < 0 else HIGH
    return int(np.clip(y.zero + np.floor(abs(steps) + 0.5) * np.sign(steps), LOW, HIGH))


def _coded(weight: Param, grid: Quantization, outputs_axis: int, builder: Builder) -> Param:
    """A parameter of real numbers as the int8 codes that it came from, with one scale per output."""
    users = weight.to_user(weight.data)
    along = [1] * users.ndim
    if grid.axis is not None:
        along[grid.axis] = -1
    scales = np.broadcast_to(np.reshape(grid.scales, along), users.shape)
    codes = weight.from_user(np.rint(users / scales).astype(np.int8))
    per_output = np.moveaxis(weight.from_user(np.ascontiguousarray(scales)), outputs_axis, 0)
    per_output = per_output.reshape(len(per_output), -1)[:, 0]
    if grid.axis is None:
        quant = grid
    else:
        outputs = tuple(float(scale) for scale in per_output)
        quant = Quantization(outputs, (0,) * len(outputs), outputs_axis % codes.ndim)
    value = Value(builder.unique(f"{weight.name}_codes"), TensorType(codes.shape, DType.INT8, quant))
    return replace(weight, value=value, data=codes, grid=None)


def _factor(site: Site, scales: Array) -> Array:
    """From sums to codes. scales: of the weight."""
    if site.y.rounding is Rounding.ONCE:
        return float_factor(site.x.scale, scales, site.y.quant.scale)
    return np.asarray(site.x.scale * scales / site.y.quant.scale)


def _bias_codes(bias: Param, scales: Array) -> Array:
    """A bias as int32 codes of the sums' scales: those of the file where it gives them."""
    given = scales if bias.grid is None else np.broadcast_to(bias.grid.scales, len(scales))
    codes = np.rint(bias.data.astype(np.float64) / given)
    codes = codes if np.allclose(given, scales, rtol=1e-4) else np.rint(codes * given / scales)
    return np.clip(codes, -(1 << 31), (1 << 31) - 1).astype(np.int32)


def _take_codes(graph: Graph) -> Graph:
    """`graph` with codes for inputs where its inputs are quantized at once."""
    inputs: list[Port] = []
    gone: dict[str, Value] = {}
    for port in graph.inputs:
        readers = graph.readers.get(port.value.name, ())
        if readers and all(node.op == "quantize" and node.attrs == readers[0].attrs for node in readers):
            assert isinstance(readers[0].attrs, QuantizeAttrs)
            value = replace(port.value, type=readers[0].attrs.y.type(port.value.shape))
            gone |= {node.outputs[0].name: value for node in readers}
            port = replace(port, value=value)
        inputs.append(port)
    nodes = [
        replace(node, inputs=tuple(gone.get(value.name, value) for value in node.inputs))
        for node in graph.nodes
        if node.outputs[0].name not in gone
    ]
    return replace(graph, inputs=tuple(inputs), nodes=tuple(nodes))
