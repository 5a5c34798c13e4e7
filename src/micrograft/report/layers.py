"""A network layer by layer, for people who look at it before they adapt it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from micrograft.ir.graph import Graph, Port
from micrograft.ir.types import Shape
from micrograft.ops import operator_of


@dataclass(frozen=True)
class Layer:
    """One node of an imported network. name: the user's own. shape: of its output, channels last."""

    name: str
    op: str
    shape: Shape
    parameters: int
    macs: int


def layers(graph: Graph) -> tuple[Layer, ...]:
    """The layers in the order in which they run. A parameter counts where it is read first."""
    sizes = {param.name: param.value.type.size for param in graph.params if param.learnable}
    found = []
    for node in graph.nodes:
        count = sum(sizes.pop(value.name, 0) for value in node.inputs)
        found.append(Layer(node.origin, node.op, node.outputs[0].shape, count, operator_of(node).macs(node)))
    return tuple(found)


def network_json(graph: Graph) -> dict[str, Any]:
    """What `micrograft inspect --json` prints; shapes of inputs and outputs are the user's own."""
    found = layers(graph)
    return {
        "inputs": [_port(port) for port in graph.inputs],
        "outputs": [_port(port) for port in graph.outputs],
        "parameters": sum(layer.parameters for layer in found),
        "macs": sum(layer.macs for layer in found),
        "layers": [asdict(layer) for layer in found],
    }


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.label or port.value.name, "shape": list(port.user_shape)}
