"""bias: train the biases alone. The backward pass then keeps one bit per activation (TinyTL, arXiv:2007.11622)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from micrograft.ir.graph import Graph
from micrograft.ops import operator_of
from micrograft.peft.method import Method, Start, mark


@dataclass(frozen=True)
class Bias(Method):
    """Train the bias of every layer that has one, those of normalisations included."""

    name: ClassVar[str] = "bias"

    def apply(self, graph: Graph, start: Start) -> Graph:
        biases = {
            value.name
            for node in graph.nodes
            for index, value in enumerate(node.inputs)
            if operator_of(node).role(index) == "bias"
        }
        return mark(graph, lambda param: param.name in biases, "No layer of the network has a bias to train.")
