"""Takes what a method adds to an int8 network, and its head, from float32 to integers: for cores without a float unit.

An adapter's A becomes int8 codes, what it makes of the input int16 codes (`ops.down`), and B int8 codes that enter the
layer's int32 sums (`ops.coded_detour`); the head becomes int8 codes with int32 biases and float32 outputs
(`ops.coded_linear`). In "int16" the trained codes are int16 masters and a layer computes with their upper halves
(`ops.high_codes`). Every grid follows from the network and the recipe alone, not from samples, so that a saved adapter
means the same wherever it is loaded. A network without float32 additions stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Attrs, Graph, Node, Param, param_of
from micrograft.ir.types import Array, DType, Quantization, TensorType, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.coded_detour import CodedDetourAttrs
from micrograft.ops.coded_linear import CodedLinearAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.conv_of_codes import ConvOfCodesAttrs
from micrograft.ops.down import DownAttrs
from micrograft.ops.fixed_point import factor_of
from micrograft.ops.high_codes import PLACES
from micrograft.ops.linear_of_codes import OfCodesAttrs
from micrograft.ops.quantized_conv import QuantizedConvAttrs
from micrograft.ops.quantized_linear import QuantizedLinearAttrs
from micrograft.ops.requantization import MULTIPLIER, SHIFT, factors_table
from micrograft.ops.scale import ScaleAttrs
from micrograft.passes.prune import prune

_USUAL = 16.0
"""Root mean square of an activation's codes, counted from the one that means 0. A sixteenth of their range: many are 0.
Six to sixty serve A's codes as well."""

_DOWN_STEPS = 1024.0
"""Codes of `down` in one standard deviation of A·x, which A is drawn to make about 1."""

_A_ROOM = 8.0
"""Standard deviations of A as it is drawn that its codes reach."""

_B_STEP = 1 / 8
"""Of a step of the layer's output: what one code of B adds where A·x is one standard deviation."""

_HEAD_ROOM = 12.0
"""Standard deviation of a head's outputs with all its weights at the ends of their codes."""


def quantize_additions(graph: Graph, dtype: DType) -> Graph:
    """`graph` with its head and its adapters in codes, trained as int8 or as int16 ones."""
    return _Additions(graph, dtype).run()


class _Additions:
    """The state of one pass."""

    def __init__(self, graph: Graph, dtype: DType) -> None:
        self._graph = graph
        self._masters = dtype is DType.INT16
        self._builder = Builder(value.name for value in graph.values)
        self._params = {param.name: param for param in graph.params}
        self._added: list[Param] = []
        self._codes_of: dict[str, Value] = {}  # name of a float32 parameter to its codes
        self._producers = graph.producers

    def run(self) -> Graph:
        for node in self._graph.nodes:
            detour = self._detour(node)
            if detour is not None:
                self._quantize_detour(node, *detour)
            elif self._is_head(node):
                self._quantize_head(node)
            else:
                self._builder.nodes.append(node)
        params = (*self._params.values(), *self._added)
        graph = prune(replace(self._graph, params=params, nodes=tuple(self._builder.nodes)))
        return check(graph, "quantize_additions")

    def _detour(self, node: Node) -> tuple[Node, float] | None:
        """What computes A·x for a layer with an adapter, and the factor that stands behind it."""
        if not node.op.startswith("adapted_"):
            return None
        reads, factor = self._producers[node.inputs[4].name], 1.0
        if isinstance(reads.attrs, ScaleAttrs):
            factor, reads = reads.attrs.factor, self._producers[reads.inputs[0].name]
        return reads, factor

    def _quantize_detour(self, node: Node, reads: Node, factor: float) -> None:
        x, weight, bias, factors, _, up = node.inputs
        layer = node.attrs
        assert isinstance(layer, (QuantizedConvAttrs, QuantizedLinearAttrs))
        assert isinstance(reads.attrs, (ConvOfCodesAttrs, OfCodesAttrs)) and weight.type.quant is not None
        x_scale, a = reads.attrs.x.scale, self._params[reads.inputs[1].name]
        fan_in = math.prod(a.value.shape[1:])
        a_scale = _A_ROOM / (127 * math.sqrt(fan_in) * _USUAL * x_scale)
        places = max(0, round(-math.log2(_DOWN_STEPS * a_scale * x_scale)))
        down_scale = a_scale * x_scale * 2.0**places
        conv = reads.attrs.conv if isinstance(reads.attrs, ConvOfCodesAttrs) else None
        attrs = DownAttrs(conv, reads.attrs.x.zero, places)
        codes = self._codes(a, Quantization((a_scale,), (0,)))
        down = self._builder.add("down", (x, codes), attrs, origin=node.origin, name=f"{x.name}_down")
        up_places, up_grid = self._up_grid(factors, weight.type.quant, x_scale, down_scale, factor)
        inputs = (x, weight, bias, factors, down, self._codes(self._params[up.name], up_grid))
        op = f"coded_detour_{node.op.removeprefix('adapted_')}"
        self._builder.define(node.outputs[0], op, inputs, CodedDetourAttrs(layer, up_places), origin=node.origin)

    def _up_grid(
        self, factors: Value, weight: Quantization, x_scale: float, down_scale: float, factor: float
    ) -> tuple[int, Quantization]:
        """How far B's products are shifted, and what its codes mean: as finely as the layer's output is divided."""
        table = self._params[factors.name].data
        step = float(np.median(factor_of(table[:, MULTIPLIER], table[:, SHIFT])))  # output steps in one of the sums
        places = max(0, round(math.log2(step / (_B_STEP * down_scale))))
        scales = np.broadcast_to(weight.scales, (len(table),)) * (2.0**-places * x_scale / (down_scale * factor))
        return places, Quantization(tuple(map(float, scales.astype(np.float32))), (0,) * len(table), 0)

    def _is_head(self, node: Node) -> bool:
        """Whether a node is a float32 linear layer, or 1×1 convolution, on dequantized codes."""
        if node.op not in ("linear", "conv") or node.inputs[1].name not in self._params:
            return False
        reads = self._producers.get(node.inputs[0].name)
        dense = not isinstance(node.attrs, ConvAttrs) or node.attrs.is_linear(node.inputs[1].shape[1:-1])
        return dense and reads is not None and reads.op == "dequantize"

    def _quantize_head(self, node: Node) -> None:
        codes = self._producers[node.inputs[0].name].inputs[0]
        quant = codes.type.quant
        assert quant is not None, "the codes of an activation have a meaning"
        weight = self._params[node.inputs[1].name]
        outputs, fan_in = weight.value.shape[0], math.prod(weight.value.shape[1:])
        room = _HEAD_ROOM / (math.sqrt(fan_in) * _USUAL * quant.scale)
        scale = max(room, 1.25 * float(np.abs(weight.data).max())) / 127
        dense = replace(weight, data=weight.data.reshape(outputs, fan_in), axes=weight.axes or weight.value.shape)
        sums = Quantization((float(np.float32(scale * quant.scale)),), (0,))
        if len(node.inputs) > 2:
            biases = self._replaced(self._params[node.inputs[2].name], sums, DType.INT32)
        else:
            biases = self._constant(f"{node.origin}_bias", np.zeros(outputs, np.int32))
        factors = self._constant(f"{node.origin}_factors", factors_table(np.full(outputs, sums.scale)))
        inputs = (codes, self._codes(dense, Quantization((float(np.float32(scale)),), (0,))), biases, factors)
        attrs: Attrs = CodedLinearAttrs(quant.zero)
        self._builder.define(node.outputs[0], "coded_linear", inputs, attrs, origin=node.origin)

    def _codes(self, param: Param, grid: Quantization) -> Value:
        """int8 codes of a float32 parameter, or of its int16 masters where it is trained as such."""
        if param.name not in self._codes_of:  # else the layer runs twice
            if self._masters and param.trainable:
                fine = replace(grid, scales=tuple(scale / (1 << PLACES) for scale in grid.scales))
                masters = self._replaced(param, fine, DType.INT16)
                name = f"{param.name}_codes"
                self._codes_of[param.name] = self._builder.add("high_codes", (masters,), origin=param.source, name=name)
            else:
                self._codes_of[param.name] = self._replaced(param, grid, DType.INT8)
        return self._codes_of[param.name]

    def _replaced(self, param: Param, grid: Quantization, dtype: DType) -> Value:
        along = [1] * param.data.ndim
        if grid.axis is not None:
            along[grid.axis] = -1
        steps = np.rint(param.data / np.reshape(grid.scales, along))
        most = {DType.INT8: 127, DType.INT16: 32767, DType.INT32: 1 << 30}[dtype]
        data = np.clip(steps, -most, most).astype(dtype.numpy)
        value = Value(self._builder.unique(f"{param.name}_{dtype.value}"), TensorType(data.shape, dtype, grid))
        self._added.append(replace(param, value=value, data=data))
        return value

    def _constant(self, name: str, data: Array) -> Value:
        self._added.append(param_of(self._builder.unique(name), data, learnable=False))
        return self._added[-1].value
