"""full: train every parameter, as ordinary fine-tuning does. The baseline that seldom fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from micrograft.ir.graph import Graph
from micrograft.peft.method import Method, Start, mark


@dataclass(frozen=True)
class Full(Method):
    """Train everything that the network's own framework would train: in PyTorch, what requires a gradient."""

    name: ClassVar[str] = "full"

    def apply(self, graph: Graph, start: Start) -> Graph:
        return mark(
            graph, lambda param: not param.frozen, "The network has no parameter that its framework would train."
        )
