"""Truncates backpropagation through time: gradients of recurrent layers flow back over so many steps at most."""

from __future__ import annotations

from dataclasses import replace

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ops import check
from micrograft.ops.recurrent import RecurrentAttrs


def truncate(graph: Graph, steps: int) -> Graph:
    """`graph`, whose recurrent layers pass no gradient back across every `steps`-th step; 0 lets all through.

    Where PyTorch would detach the state. Raises MicrograftError where there is no recurrent layer.
    """
    if steps < 0:
        raise MicrograftError(f"gradients cannot flow back over {steps} steps", fix="give 1 or more, or 0 for all")
    nodes = tuple(
        replace(node, attrs=replace(node.attrs, truncate=steps)) if isinstance(node.attrs, RecurrentAttrs) else node
        for node in graph.nodes
    )
    if not any(isinstance(node.attrs, RecurrentAttrs) for node in nodes):
        raise MicrograftError("the network has no recurrent layer whose gradients could be truncated")
    return check(replace(graph, nodes=nodes), "truncate")
