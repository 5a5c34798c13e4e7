"""A float network in PyTorch on the very grid that the int8 C uses, with gradients.

Every activation that becomes codes and every weight passes PyTorch's own fake-quantize operators, biases are rounded
to the scale of their sums; gradients pass the rounding straight through (arXiv:1308.3432), and an activation that
leaves its range moves the range's end (PACT, arXiv:1805.06085). Weights' scales follow the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Array, DType, Quantization
from micrograft.ops.fixed_point import HIGH, LOW, float_factor
from micrograft.quantization import torch_meanings
from micrograft.quantization.observers import Ranges, codes_of
from micrograft.quantization.quantize import SOFTMAX_CODES, weight_scales
from micrograft.quantization.scheme import LAYERS, MEANS, PAIRS, ROOM, is_layer, moves, scheme

MEANINGS: dict[str, Callable[..., Tensor]] = {
    **torch_meanings.MEANINGS,
    "sum_to": lambda attrs, x: x.sum_to_size(torch_meanings.shape_for(x, attrs.shape)),  # of each sample alone
}

_FASTER = 10.0
"""How much faster than a weight the logarithm of a range's end moves."""


class FakeQuantized(nn.Module):
    """A float network that computes on the int8 network's grid. Values are in our layout, (batch, ...)."""

    def __init__(self, floats: Graph, ranges: Ranges) -> None:
        super().__init__()
        _check_known(floats)
        self._graph = replace(floats, params=tuple(replace(param, grid=None) for param in floats.params))
        self._scheme = scheme(floats)
        self._weights = {node.inputs[1].name for node in floats.nodes if is_layer(node, floats)}
        layers = {value.name for node in floats.nodes if is_layer(node, floats) for value in node.inputs[1:]}
        self._params = nn.ParameterDict()
        for param in floats.params:
            data = torch.from_numpy(np.array(param.data))
            moves = data.is_floating_point() and (param.learnable or param.name in layers)
            self._params[param.name] = nn.Parameter(data, requires_grad=moves)
        self._start = {name: torch.tensor(ranges[name], dtype=torch.float64) for name in self._scheme.measured}
        self._streams = {name: stream for stream in self._scheme.streams for name in stream}
        still = {
            name: nn.Parameter(torch.zeros_like(ends), requires_grad=name not in self._streams)
            for name, ends in self._start.items()
        }
        self._growth = nn.ParameterDict(still)
        self._becomes: Mapping[str, str] = _becomes(floats, set(self._scheme.order))
        self._together = self._batches()

        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """The network's answers, in our layout."""
        return self._apart(x, self._graph.outputs[0].value.name)

    def before(self, x: Tensor, skipped: tuple[str, ...]) -> Tensor:
        """The answers, or what stands before these operators at the end of the network."""
        name = self._graph.outputs[0].value.name
        producers = self._graph.producers
        while (producer := producers.get(name)) is not None and producer.op in skipped:
            name = producer.inputs[0].name
        return self._apart(x, name)

    def inputs(self, samples: Array) -> Tensor:
        """Samples in the network's own layout, as `forward` takes them."""
        port = self._graph.inputs[0]
        shaped = samples.reshape(len(samples), *port.user_shape)
        return torch.from_numpy(np.concatenate([port.from_user(sample) for sample in shaped]))

    def answers(self, samples: Array) -> Array:
        """(n, *output shape) for samples in the network's own layout."""
        port = self._graph.outputs[0]
        with torch.no_grad():
            found = self(self.inputs(samples)).numpy()
        rows = found.reshape(len(samples), *port.value.shape)
        return np.stack([port.to_user(row) for row in rows])

    def graph(self) -> Graph:
        """The float network with the weights as they are now."""
        own = {name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in self._params.items()}
        params = (replace(param, data=own[param.name].astype(param.data.dtype)) for param in self._graph.params)
        return replace(self._graph, params=tuple(params))

    def ranges(self) -> Ranges:
        """The ranges as they are now."""
        found = {name: self._ends(name).tolist() for name in self._start}
        return {name: (low, high) for name, (low, high) in found.items()}

    def groups(self, rate: float) -> list[dict[str, object]]:
        """What an optimizer moves at which rate: faster the ends of ranges, which move by their logarithms."""
        weights = [each for each in self._params.values() if each.requires_grad]
        return [{"params": weights, "lr": rate}, {"params": [*self._growth.values()], "lr": _FASTER * rate}]

    def _ends(self, name: str) -> Tensor:
        return self._start[name] * torch.exp(self._growth[name])

    def _batches(self) -> bool:
        """Whether samples can be computed together: two of them give what each gives alone."""
        value = self._graph.inputs[0].value
        if value.dtype is not DType.FLOAT32 or value.shape[:1] != (1,):
            return False
        generator = torch.Generator().manual_seed(0)
        x = torch.rand((2, *value.shape[1:]), generator=generator) * 2 - 1
        name = self._graph.outputs[0].value.name
        with torch.no_grad():
            alone = torch.cat([self._values(each[None])[name] for each in x])
            try:
                together = self._values(x)[name]
            except RuntimeError:
                return False
        scale = float(alone.abs().max()) + 1e-6
        return together.shape == alone.shape and bool((together - alone).abs().max() < 0.05 * scale)

    def _apart(self, x: Tensor, name: str) -> Tensor:
        """A value for a batch, computed together where that is possible."""
        if self._together:
            return self._values(x)[name]
        return torch.cat([self._values(sample[None])[name] for sample in x])

    def _values(self, x: Tensor) -> dict[str, Tensor]:
        values: dict[str, Tensor] = dict(self._params.items())
        codes: dict[str, Quantization] = {}
        self._keep(values, codes, self._graph.inputs[0].value.name, x, None)
        for node in self._graph.nodes:
            inputs = [values[value.name] for value in node.inputs]
            known = codes.get(node.inputs[0].name)
            if node.op in PAIRS and any(value.name in codes for value in node.inputs):
                inputs = [
                    self._constant(tensor) if value.name in self._params and tensor.numel() > 1 else tensor
                    for value, tensor in zip(node.inputs, inputs, strict=True)
                ]
            if known is not None and self._is_layer(node):
                y = self._layer(node, inputs[0], known)
            else:
                y = MEANINGS[node.op](node.attrs, *inputs)
            if known is not None and node.op == "global_average_pool" and node.outputs[0].name in self._becomes:
                y = _through(y, self._mean(node, inputs[0], known))
            self._keep(values, codes, node.outputs[0].name, y, node)
        return values

    def _keep(
        self, values: dict[str, Tensor], codes: dict[str, Quantization], name: str, y: Tensor, node: Node | None
    ) -> None:
        """A value, on its codes where it becomes some."""
        if name not in self._scheme.order:
            values[name] = y
        elif name in self._scheme.same and node is not None and node.op != "concat" and moves(node):
            quant = codes[name] = codes[self._scheme.same[name]]
            values[name] = _pooled(node, values[node.inputs[0].name], y, quant) if node.op in MEANS else y
        elif node is not None and node.op == "softmax":
            codes[name] = SOFTMAX_CODES
            values[name] = _fake(y, SOFTMAX_CODES)
        else:
            own = self._scheme.same.get(name, name)
            if self.training and own in self._streams:
                self._hold(own, y)
            ends = self._ends(own)
            low_end, high_end = ends.tolist()
            quant = codes[name] = codes_of((low_end, high_end))
            low, high = _gently(ends, y.numel()).to(y.dtype)
            values[name] = _fake(torch.minimum(torch.maximum(y, low), high), quant)

    def _hold(self, name: str, y: Tensor) -> None:
        """Widen the one range of a stream where it is left: in the C, a sum that leaves it wraps."""
        low, high = self._start[name].tolist()
        least, most = float(y.detach().min()), float(y.detach().max())
        if least < low or most > high:
            ends = torch.tensor([min(low, ROOM * least), max(high, ROOM * most)], dtype=torch.float64)
            self._start |= dict.fromkeys(self._streams[name], ends)

    def _constant(self, data: Tensor) -> Tensor:
        """A constant on the grid of its own range."""
        return _fake(data, codes_of((float(data.min()), float(data.max()))))

    def _is_layer(self, node: Node) -> bool:
        return node.op in LAYERS and node.inputs[1].name in self._weights

    def _layer(self, node: Node, x: Tensor, x_codes: Quantization) -> Tensor:
        """What a layer computes with its weight and bias as codes.

        In evaluation it is whole steps of the output, rounded as the C rounds them; in training the sums in float32,
        which become another code only next to a half.
        """
        weight, *bias = (self._params[value.name] for value in node.inputs[1:])
        axis = LAYERS[node.op] % weight.ndim
        own = bias[0].detach().numpy() if bias else np.zeros(1)
        scales = weight_scales(weight.detach().numpy(), own, x_codes.scale, LAYERS[node.op])
        steps = torch.from_numpy(scales.astype(np.float64) * x_codes.scale)
        zeros = torch.zeros(len(scales), dtype=torch.int32)
        coded = torch.fake_quantize_per_channel_affine(weight, torch.from_numpy(scales), zeros, axis, -HIGH, HIGH)
        bias_codes = [torch.round(each.double() / steps) for each in bias]
        if self.training:
            biases = (_through(each, codes * steps) for each, codes in zip(bias, bias_codes, strict=True))
            return MEANINGS[node.op](node.attrs, x, coded, *biases)
        along = [-1 if each == axis else 1 for each in range(weight.ndim)]
        weight_codes = torch.round(coded.double() / torch.from_numpy(scales).double().reshape(along))
        sums = MEANINGS[node.op](node.attrs, _steps(x, x_codes), weight_codes, *bias_codes)
        return self._scaled(node, sums, float_factor(x_codes.scale, scales, self._scale_behind(node)))

    def _mean(self, node: Node, x: Tensor, x_codes: Quantization) -> Tensor:
        """A mean over all positions in whole steps of the output."""
        sums = _steps(x, x_codes).sum(dim=tuple(range(1, x.ndim - 1)), keepdim=True)
        count = x[0, ..., 0].numel()
        scale = float(np.float32(self._scale_behind(node)) * np.float32(count))
        return self._scaled(node, sums, float_factor(x_codes.scale, np.ones(1), scale))

    def _scaled(self, node: Node, sums: Tensor, factors: Array) -> Tensor:
        """Sums as real numbers of the output's grid: the product in float32, then to nearest, ties to even."""
        return torch.round(sums.float() * torch.from_numpy(factors)) * self._scale_behind(node)

    def _scale_behind(self, node: Node) -> float:
        """Of the codes that a node's output becomes, itself or behind its activation."""
        name = self._becomes[node.outputs[0].name]
        low, high = self._ends(self._scheme.same.get(name, name)).tolist()
        return codes_of((low, high)).scale


def _steps(x: Tensor, codes: Quantization) -> Tensor:
    """Real numbers on a grid as whole steps from zero, exactly."""
    return torch.round(x.detach().double() / codes.scale)


def _becomes(graph: Graph, coded: set[str]) -> dict[str, str]:
    """Name of what a layer or a mean writes to that of the codes it becomes."""
    found = {}
    for node in graph.nodes:
        y = node.outputs[0].name
        if node.op in (*LAYERS, "global_average_pool"):
            found[y] = y if y in coded else graph.readers[y][0].outputs[0].name if y in graph.readers else y
    return {y: name for y, name in found.items() if name in coded}


def _fake(y: Tensor, quant: Quantization) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(y, quant.scale, quant.zero, LOW, HIGH)


def _through(value: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `value`."""
    return value + (rounded.to(value.dtype) - value).detach()


def _pooled(node: Node, x: Tensor, y: Tensor, quant: Quantization) -> Tensor:
    """A mean of codes, whose many ties only whole steps show."""
    return _through(y, torch.round(MEANINGS[node.op](node.attrs, _steps(x, quant))) * quant.scale)


def _gently(ends: Tensor, elements: int) -> Tensor:
    """The ends of a range with their gradient divided by the root of the elements that it sums (arXiv:1902.08153)."""
    factor = 1.0 / elements**0.5
    return torch.add(ends * factor, (ends * (1.0 - factor)).detach())


def _check_known(graph: Graph) -> None:
    for node in graph.nodes:
        if node.op not in MEANINGS:
            known = f"layer {node.origin!r}"
            raise MicrograftError(f"{node.op} cannot be trained for int8 here", where=known)
