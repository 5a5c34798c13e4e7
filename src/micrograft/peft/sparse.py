"""sparse: train chosen layers, of them chosen tensors, and of a weight chosen channels (arXiv:2206.15472).

What is trained is written down in a scheme (`scheme`). Gradients, optimizer state and what the backward pass keeps
shrink with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node
from micrograft.ops import operator_of
from micrograft.peft.method import Method, Start, mark
from micrograft.peft.scheme import LayerScheme, Scheme

_NOTHING = Scheme()


@dataclass(frozen=True)
class Sparse(Method):
    """Train what a scheme names.

    scheme: what is trained. file: a TOML file to read the scheme from instead; it is read at once.
    """

    name: ClassVar[str] = "sparse"
    first: ClassVar[str] = "file"
    scheme: Scheme = _NOTHING
    file: str = ""

    def __post_init__(self) -> None:
        if self.file and not self.scheme.layers:
            object.__setattr__(self, "scheme", Scheme.read(self.file))

    def apply(self, graph: Graph, start: Start) -> Graph:
        if not self.scheme.layers:
            raise MicrograftError("the sparse scheme names no layer", fix="write sparse:FILE.toml")
        layers = _layers(graph)
        wanted: set[str] = set()
        for each in self.scheme.layers:
            wanted |= set(_tensors(each, layers))
        return mark(graph, lambda param: param.name in wanted, "The sparse scheme names nothing that could be trained.")


def _layers(graph: Graph) -> dict[str, list[Node]]:
    """Layers with something that could be trained, by the user's name, and their nodes."""
    learnable = {param.name for param in graph.params if param.learnable}
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if any(value.name in learnable for value in node.inputs):
            found.setdefault(node.origin, []).append(node)
    return found


def _tensors(scheme: LayerScheme, layers: Mapping[str, list[Node]]) -> list[str]:
    """Names of the parameters that are trained as a whole. Raises MicrograftError where they are not there."""
    nodes = layers.get(scheme.layer)
    if nodes is None:
        close = difflib.get_close_matches(scheme.layer, list(layers), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise scheme.mistake("the network has no such layer", f"{hint}its layers are {', '.join(layers)}")
    if scheme.channels or 0 < scheme.weight < 1:
        raise scheme.mistake("channels of a weight cannot be trained alone yet", "set weight = 1")
    roles = [role for role, chosen in (("bias", scheme.bias), ("weight", scheme.weight)) if chosen]
    found = []
    for role in roles:
        names = [
            value.name
            for node in nodes
            for index, value in enumerate(node.inputs)
            if operator_of(node).role(index) == role
        ]
        if not names:
            raise scheme.mistake(f"it has no {role}")
        found += names
    return found
