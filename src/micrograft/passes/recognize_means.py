"""A sum over all positions, and a scale behind it that divides by their number, are one operator: a mean."""

from __future__ import annotations

import math
from dataclasses import replace

from micrograft.ir.graph import Graph, Node
from micrograft.ops import check
from micrograft.ops.scale import ScaleAttrs
from micrograft.passes.prune import prune


def recognize_means(graph: Graph) -> Graph:
    """`graph` with `global_average_pool` for what is one, written as a sum and a scale."""
    nodes = tuple(_mean(node, graph) or node for node in graph.nodes)
    return graph if nodes == graph.nodes else prune(check(replace(graph, nodes=nodes), "recognize_means"))


def _mean(node: Node, graph: Graph) -> Node | None:
    total = graph.producers.get(node.inputs[0].name) if isinstance(node.attrs, ScaleAttrs) else None
    if total is None or total.op != "sum_to" or not isinstance(node.attrs, ScaleAttrs):
        return None
    (x,) = total.inputs
    positions = math.prod(x.shape[1:-1])
    means = len(x.shape) in (3, 4) and total.outputs[0].shape == (1, *(1 for _ in x.shape[1:-1]), x.shape[-1])
    if not means or abs(node.attrs.factor * positions - 1.0) > 1e-6:
        return None
    return Node("global_average_pool", (x,), node.outputs, origin=node.origin, phase=node.phase)
