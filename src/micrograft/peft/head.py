"""head: train the last layer alone, on the features that the rest computes. Transfer learning's default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node
from micrograft.ops import operator_of
from micrograft.peft.method import Method, Start, mark


@dataclass(frozen=True)
class Head(Method):
    """Train weight and bias of the last layer that has a weight of its own."""

    name: ClassVar[str] = "head"

    def apply(self, graph: Graph, start: Start) -> Graph:
        inputs = {value.name for value in last_layer(graph).inputs[1:]}
        return mark(graph, lambda param: param.name in inputs, "The last layer has nothing that could be trained.")


def last_layer(graph: Graph) -> Node:
    """The last node with a learnable weight. Raises MicrograftError where there is none."""
    learnable = {param.name for param in graph.params if param.learnable}
    for node in reversed(graph.nodes):
        roles = {operator_of(node).role(index): value for index, value in enumerate(node.inputs)}
        if "weight" in roles and roles["weight"].name in learnable:
            return node
    raise MicrograftError("The network has no layer with a weight that could serve as its head.")
