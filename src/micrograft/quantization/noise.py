"""What int8 costs layer by layer, as a signal-to-noise ratio against the float network over samples.

Two figures for each activation of codes: of the layer alone, which reads the float network's own activations as codes,
and of the whole int8 network up to there. The first says which layer hurts, the second what has come together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Array, Value
from micrograft.ops import operator_of
from micrograft.ops.quantize import DequantizeAttrs, QuantizeAttrs
from micrograft.reference import Inputs, run


@dataclass(frozen=True)
class LayerNoise:
    """layer: the user's name. op: the int8 operator, or the float32 one that it stayed. low, high: of the codes.

    alone, together: signal-to-noise ratios in decibels, of the layer alone and of all layers up to it; None where the
    codes are another layer's.
    """

    layer: str
    op: str
    low: float
    high: float
    alone: float
    together: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def layer_noise(graph: Graph, drawn: Graph, coded: Graph, samples: Sequence[Inputs]) -> list[LayerNoise]:
    """The noise of each activation that became codes, in order.

    graph: the float network. drawn: what `quantize` made of it. coded: what `fuse_quantization` made of that. samples:
    of `graph`'s input, as `reference.run` takes them.
    """
    alone, together = _Power(), _Power()
    sites = [node for node in drawn.nodes if isinstance(node.attrs, QuantizeAttrs)]
    for sample in samples:
        floats = run(graph, sample)
        for name, array in _alone(drawn, floats).items():
            alone.add(name, floats[name], array)
        codes = _coded_values(coded, floats, sites)
        for node in sites:
            result = codes.get(node.outputs[0].name)
            if result is not None:
                together.add(node.inputs[0].name, floats[node.inputs[0].name], result)
    ops = {node.outputs[0].name: node.op for node in coded.nodes} | {port.value.name: "input" for port in coded.inputs}
    return [_row(node, ops, alone, together) for node in sites]


class _Power:
    """Sums of squares of signals and of noise, by name."""

    def __init__(self) -> None:
        self._signal: dict[str, float] = {}
        self._noise: dict[str, float] = {}

    def add(self, name: str, signal: Array, result: Array) -> None:
        wide = signal.astype(np.float64)
        self._signal[name] = self._signal.get(name, 0.0) + float(np.sum(wide * wide))
        self._noise[name] = self._noise.get(name, 0.0) + float(np.sum((result - wide) ** 2))

    def decibels(self, name: str) -> float | None:
        if name not in self._noise:
            return None
        signal, noise = self._signal[name], self._noise[name]
        return 200.0 if noise == 0.0 else float(10.0 * np.log10(max(signal, 1e-300) / noise))


def _alone(drawn: Graph, floats: dict[str, Array]) -> dict[str, Array]:
    """Name of each activation that becomes codes to what they stand for, each layer reading the float network's own."""
    values = {param.name: param.data for param in drawn.params}
    values |= {port.value.name: floats[port.value.name] for port in drawn.inputs}
    found: dict[str, Array] = {}
    meant: dict[str, str] = {}
    for node in drawn.nodes:
        if isinstance(node.attrs, QuantizeAttrs):
            name, quant = node.inputs[0].name, node.attrs.y.quant
            found[name] = quant.real(quant.codes(values[name]))
            meant[node.outputs[0].name] = name
        elif isinstance(node.attrs, DequantizeAttrs):
            own = floats[meant[node.inputs[0].name]]
            values[node.outputs[0].name] = node.attrs.x.real(node.attrs.x.codes(own))
        else:
            arrays = [values[value.name] for value in node.inputs]
            values[node.outputs[0].name] = operator_of(node).evaluate(node.attrs, arrays)[0]
    return found


def _coded_values(coded: Graph, floats: dict[str, Array], sites: Sequence[Node]) -> dict[str, Array]:
    """What the codes of the int8 network stand for, by the names that `drawn` gave them."""
    inputs = [_codes(port.value, floats[port.value.name]) for port in coded.inputs]
    values = run(coded, inputs)
    taken = {port.value.name for port in coded.inputs if port.value.type.quant is not None}
    found: dict[str, Array] = {}
    for node in sites:
        assert isinstance(node.attrs, QuantizeAttrs)
        name = node.inputs[0].name if node.inputs[0].name in taken else node.outputs[0].name
        if name in values:
            found[node.outputs[0].name] = node.attrs.y.quant.real(values[name])
    return found


def _codes(value: Value, real: Array) -> Array:
    return real if value.type.quant is None else value.type.quant.codes(real)


def _row(node: Node, ops: dict[str, str], alone: _Power, together: _Power) -> LayerNoise:
    assert isinstance(node.attrs, QuantizeAttrs)
    name, quant = node.inputs[0].name, node.attrs.y.quant
    low, high = (float(quant.scale * (end - quant.zero)) for end in (-128, 127))
    own = alone.decibels(name)
    assert own is not None, "every activation of codes was evaluated"
    op = ops.get(node.outputs[0].name) or ops.get(name, "same codes")
    return LayerNoise(node.origin, op, low, high, own, together.decibels(name))
