"""ia3: one trainable factor per output channel, starting at one (arXiv:2205.05638). The smallest adapter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from micrograft.ir.graph import Graph, Node, Param, identity
from micrograft.ir.types import TensorType, Value
from micrograft.ops import LAYERS
from micrograft.ops.builder import Builder
from micrograft.ops.scaled_factors import FACTORS
from micrograft.peft.method import Method, Start, layers_to_adapt


@dataclass(frozen=True)
class IA3(Method):
    """Scale the output channels of linear layers and convolutions (depthwise ones too).

    targets: globs of layer names separated by `|`, "" for every layer that is not trained otherwise.
    """

    name: ClassVar[str] = "ia3"
    adds: ClassVar[bool] = True
    targets: str = ""

    def apply(self, graph: Graph, start: Start) -> Graph:
        chosen = layers_to_adapt(graph, (*LAYERS, *(f"quantized_{op}" for op in LAYERS)), self.targets)
        builder = Builder(value.name for value in graph.values)
        factors: dict[tuple[str, str], Param] = {}  # a layer that runs twice keeps one set of factors
        for node in graph.nodes:
            if node not in chosen:
                builder.nodes.append(node)
                continue
            key = (node.origin, node.inputs[1].name)
            if key not in factors:
                factors[key] = _factors(node, builder.unique(f"{node.origin}.ia3_l"))
            _scale(node, factors[key].value, builder)
        return replace(graph, params=(*graph.params, *factors.values()), nodes=tuple(builder.nodes))


def _scale(node: Node, factors: Value, builder: Builder) -> None:
    """Append the node scaled: behind it or, where it computes on codes, before it rounds its sums to them."""
    (y,) = node.outputs
    if node.op.startswith("quantized_"):
        own = node.inputs[FACTORS]
        scaled = builder.add("scaled_factors", (own, factors), origin=node.origin, name=f"{own.name}_scaled")
        builder.nodes.append(replace(node, inputs=(*node.inputs[:FACTORS], scaled)))
        return
    before = Value(builder.unique(f"{y.name}_frozen"), y.type)
    builder.nodes.append(replace(node, outputs=(before,)))
    builder.define(y, "mul", (before, factors), origin=node.origin)


def _factors(node: Node, name: str) -> Param:
    """One factor per output channel, in the shape that Hugging Face PEFT gives it."""
    channels = node.outputs[0].shape[-1]
    value = Value(name, TensorType((channels,)))
    kernel = [1 for _ in node.inputs[1].shape[2:]]
    user_shape = (1, channels, *kernel) if kernel else (channels, 1)
    data = np.ones(channels, np.float32)
    return Param(value, data, f"{node.origin}.ia3_l", identity(1), trainable=True, user_shape=user_shape)
