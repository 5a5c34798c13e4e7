"""Gives every layer with a weight a name of its own.

A module that multiplies by several of its own parameters, or a file with two nodes of one name, gives its name to
several layers. Methods and adapters tell layers by name, so such layers are called after their weights.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from micrograft.ir.graph import Graph, Node, Param
from micrograft.ops import LAYERS, check


def name_layers(graph: Graph) -> Graph:
    """`graph`, in which layers with different weights have different names. A layer that is alone keeps its own."""
    weights: dict[str, dict[str, Param]] = {}  # of each layer's name, by the name of their value
    for node in graph.nodes:
        if (weight := _weight(graph, node)) is not None:
            weights.setdefault(node.origin, {})[weight.name] = weight
    taken = {node.origin for node in graph.nodes}
    names: dict[tuple[str, str], str] = {}
    for origin, several in weights.items():
        if len(several) == 1:
            continue
        taken.remove(origin)  # one of them may keep it
        for weight in several.values():
            numbered = (f"{origin}_{count}" for count in itertools.count(2))
            wishes = itertools.chain((weight.source.removesuffix(".weight"), origin), numbered)
            name = next(wish for wish in wishes if wish not in taken)
            taken.add(name)
            names[origin, weight.name] = name

    def named(node: Node) -> Node:
        weight = _weight(graph, node)
        return node if weight is None else replace(node, origin=names.get((node.origin, weight.name), node.origin))

    return check(replace(graph, nodes=tuple(map(named, graph.nodes))), "name_layers")


def _weight(graph: Graph, node: Node) -> Param | None:
    """The weight of a layer that has one of its own."""
    return graph.param(node.inputs[1].name) if node.op in LAYERS else None
