"""lora: a frozen weight W gets a trainable detour of rank r, y = W·x + (alpha/r)·B·(A·x) (arXiv:2106.09685).

A convolution's A is a convolution of its own geometry into r channels and its B a 1×1 convolution, as in
Hugging Face PEFT. B starts at zero, so that nothing changes at first. A is drawn with the variance that the
layer's input asks for, 1/(fan_in · mean square of the input), so that A·x starts near unit size whatever
the network's scale: without it one learning rate explodes on one network and crawls on the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Attrs, Graph, Node, Param, identity
from micrograft.ir.types import Array, TensorType, Value
from micrograft.ops.builder import Builder
from micrograft.ops.conv_of_codes import ConvOfCodesAttrs
from micrograft.ops.linear_of_codes import OfCodesAttrs
from micrograft.ops.quantized_conv import QuantizedConvAttrs
from micrograft.ops.scale import ScaleAttrs
from micrograft.peft.method import Method, Start, layers_to_adapt


@dataclass(frozen=True)
class LoRA(Method):
    """Low-rank adaptation of linear layers and (ungrouped) convolutions.

    rank: r. alpha: the detour is scaled by alpha/r; None means alpha = r. targets: globs of layer names separated
    by `|`, "" for every layer that is not trained otherwise. freeze_a: train B alone (LoRA-FA, arXiv:2308.03303):
    the backward pass then keeps r values per position instead of the layer's input.
    """

    name: ClassVar[str] = "lora"
    adds: ClassVar[bool] = True
    rank: int = 4
    alpha: float | None = None
    targets: str = ""
    freeze_a: bool = False

    def apply(self, graph: Graph, start: Start) -> Graph:
        if self.rank < 1:
            raise MicrograftError(f"LoRA's rank is {self.rank}; it must be at least 1.")
        if self.alpha is not None and not math.isfinite(self.alpha):
            raise MicrograftError(f"LoRA's alpha is {self.alpha}; it must be a finite number.")
        chosen = layers_to_adapt(graph, ("linear", "conv", "quantized_linear", "quantized_conv"), self.targets)
        chosen = [node for node in chosen if _groups(node) == 1]
        _refuse_scaled(graph, chosen)
        if not chosen:
            raise MicrograftError(
                f"LoRA adapts ungrouped convolutions; targets={self.targets!r} fits grouped ones only."
            )
        builder = Builder(value.name for value in graph.values)
        adapters: dict[tuple[str, str], tuple[Param, Param]] = {}  # a layer that runs twice keeps one adapter
        for node in graph.nodes:
            if node not in chosen:
                builder.nodes.append(node)
                continue
            key = (node.origin, node.inputs[1].name)
            if key not in adapters:
                adapters[key] = self._adapter(node, graph, builder, start)
            self._adapt(node, *adapters[key], builder)
        params = [param for pair in adapters.values() for param in pair]
        return replace(graph, params=(*graph.params, *params), nodes=tuple(builder.nodes))

    def _adapter(self, node: Node, graph: Graph, builder: Builder, start: Start) -> tuple[Param, Param]:
        """A and B of a layer."""
        x, weight, *_ = node.inputs
        base = graph.param(weight.name)
        assert base is not None, "layers_to_adapt picks nodes whose weight is a parameter"
        outputs, *window = weight.shape
        variance = 1.0 / (math.prod(window) * max(start.mean_square.get(x.name, 1.0), 1e-12))
        drawn = start.generator(node.origin).standard_normal((self.rank, *window)) * math.sqrt(variance)
        a = _like(base, _param(builder, f"{node.origin}.lora_A.weight", drawn, identity(len(window) + 1)))
        b = _param(builder, f"{node.origin}.lora_B.weight", np.zeros((outputs, self.rank)), identity(2))
        a = replace(a, trainable=not self.freeze_a)
        return a, replace(b, trainable=True, user_shape=(outputs, self.rank, *(1 for _ in window[1:])))

    def _adapt(self, node: Node, a: Param, b: Param, builder: Builder) -> None:
        """Append the node with its detour: behind it, or inside it where the node computes on int8 codes."""
        x = node.inputs[0]
        (y,) = node.outputs
        if x.type.quant is not None:
            reads: Attrs = OfCodesAttrs(x.type.quant)
            if isinstance(node.attrs, QuantizedConvAttrs):
                reads = ConvOfCodesAttrs(node.attrs.conv, x.type.quant)
            op = node.op.removeprefix("quantized_")
            down = self._down(f"{op}_of_codes", node, a, reads, builder)
            builder.define(y, f"adapted_{op}", (*node.inputs, down, b.value), node.attrs, origin=node.origin)
            return
        before = Value(builder.unique(f"{y.name}_frozen"), y.type)
        builder.nodes.append(replace(node, outputs=(before,)))
        down = self._down(node.op, node, a, node.attrs, builder)
        builder.define(y, "linear_add", (down, b.value, before), origin=node.origin)

    def _down(self, op: str, node: Node, a: Param, attrs: Attrs, builder: Builder) -> Value:
        """(alpha/r)·A·x."""
        name = f"{node.outputs[0].name}_lora"
        down = builder.add(op, (node.inputs[0], a.value), attrs, origin=node.origin, name=name)
        factor = (self.rank if self.alpha is None else self.alpha) / self.rank
        if factor == 1.0:
            return down
        return builder.add("scale", (down,), ScaleAttrs(factor), origin=node.origin, name=name)


def _refuse_scaled(graph: Graph, chosen: Sequence[Node]) -> None:
    """An int8 layer rounds its sums once: scaled, or with a detour. Raises MicrograftError."""
    scaled = {node.outputs[0].name for node in graph.nodes if node.op == "scaled_factors"}
    for node in chosen:
        if any(value.name in scaled for value in node.inputs):
            fix = "give each method its own targets"
            raise MicrograftError("ia3 and lora cannot both adapt one int8 layer", where=node.origin, fix=fix)


def _like(weight: Param, a: Param) -> Param:
    """`a` with its inputs laid out for the user as those of the weight, and its rank first, as PEFT has it."""
    axes, outputs = weight.axes or weight.value.shape, 1
    while math.prod(axes[:outputs]) < weight.value.shape[0]:
        outputs += 1
    inputs = axes[outputs:]
    order = [1 + axis - outputs for axis in weight.permutation if axis >= outputs]
    rank = a.value.shape[0]
    user = (rank, math.prod(inputs)) if len(a.value.shape) == 2 else weight.user_shape
    return replace(a, permutation=(0, *order), axes=(rank, *inputs), user_shape=user and (rank, *user[1:]))


def _groups(node: Node) -> int:
    attrs = node.attrs.conv if isinstance(node.attrs, QuantizedConvAttrs) else node.attrs
    return getattr(attrs, "groups", 1)


def _param(builder: Builder, source: str, data: Array, permutation: tuple[int, ...]) -> Param:
    value = Value(builder.unique(source), TensorType(data.shape))
    return Param(value, np.ascontiguousarray(data, dtype=np.float32), source, permutation)
