"""bias: train the biases alone. The backward pass then keeps one bit per activation (TinyTL, arXiv:2007.11622)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from micrograft.ir.graph import Graph
from micrograft.ops import operator_of
from micrograft.peft.method import Method, Start, mark

_PARTS = ("slice", "reshape")
"""What takes a layer's bias out of a parameter that holds several, as ONNX's recurrent layers do."""


def _whole(name: str, made: Mapping[str, str]) -> str:
    """The value that this one is a part of."""
    while name in made:
        name = made[name]
    return name


@dataclass(frozen=True)
class Bias(Method):
    """Train the bias of every layer that has one, those of normalisations included."""

    name: ClassVar[str] = "bias"

    def apply(self, graph: Graph, start: Start) -> Graph:
        made = {node.outputs[0].name: node.inputs[0].name for node in graph.nodes if node.op in _PARTS}
        biases = {
            _whole(value.name, made)
            for node in graph.nodes
            for index, value in enumerate(node.inputs)
            if operator_of(node).role(index) == "bias"
        }
        return mark(graph, lambda param: param.name in biases, "No layer of the network has a bias to train.")
