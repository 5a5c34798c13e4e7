"""Removes what nothing reads: nodes, and the parameters that were theirs. Inputs always stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from micrograft.ir.graph import Graph, Node, Port
from micrograft.ir.types import Value
from micrograft.ops import operator_of


def prune(graph: Graph, keep: Sequence[Value] = (), outputs: Sequence[Port] | None = None) -> Graph:
    """`graph` with what its outputs and `keep` depend on, and the nodes that update something.

    outputs: instead of the graph's own.
    """
    ports = graph.outputs if outputs is None else tuple(outputs)
    wanted = {port.value.name for port in ports} | {value.name for value in keep}
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if operator_of(node).mutates or any(value.name in wanted for value in node.outputs):
            nodes.append(node)
            wanted |= {value.name for value in node.inputs}
    params = tuple(param for param in graph.params if param.name in wanted)
    return replace(graph, outputs=ports, params=params, nodes=tuple(reversed(nodes)))
