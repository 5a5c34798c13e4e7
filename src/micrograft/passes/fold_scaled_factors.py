"""Folds what scales an int8 layer's factors, where it is not trained, into the factors: to the same bits."""

from __future__ import annotations

from dataclasses import replace

from micrograft.ir.graph import Graph, Node, Param
from micrograft.ops import check, operator_of
from micrograft.passes.prune import prune


def fold_scaled_factors(graph: Graph) -> Graph:
    """`graph` without nodes that scale frozen factors by frozen scales."""
    nodes: list[Node] = []
    folded: list[Param] = []
    for node in graph.nodes:
        params = [graph.param(value.name) for value in node.inputs]
        frozen = [param for param in params if param is not None and not param.trainable]
        if node.op != "scaled_factors" or len(frozen) < len(params):
            nodes.append(node)
            continue
        (data,) = operator_of(node).evaluate(node.attrs, [param.data for param in frozen])
        folded.append(replace(frozen[0], value=node.outputs[0], data=data))
    if not folded:
        return graph
    return prune(check(replace(graph, params=(*graph.params, *folded), nodes=tuple(nodes)), "fold_scaled_factors"))
