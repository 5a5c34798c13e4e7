"""Truncates backpropagation through time: gradients of recurrent layers flow back over so many steps at most."""

from __future__ import annotations

from dataclasses import replace

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node
from micrograft.ops import check
from micrograft.ops.carry import CarryAttrs
from micrograft.ops.recurrent import RecurrentAttrs


def truncate(graph: Graph, steps: int) -> Graph:
    """`graph`, whose recurrent layers pass no gradient back across every `steps`-th step; 0 lets all through.

    Where PyTorch would detach the state. Raises MicrograftError where there is no recurrent layer.
    """
    if steps < 0:
        raise MicrograftError(f"gradients cannot flow back over {steps} steps", fix="give 1 or more, or 0 for all")
    nodes = tuple(
        replace(node, attrs=replace(node.attrs, truncate=steps))
        if isinstance(node.attrs, (RecurrentAttrs, CarryAttrs))
        else node
        for node in graph.nodes
    )
    single = next((node for node in nodes if isinstance(node.attrs, RecurrentAttrs) and _runs_once(node)), None)
    if single is not None:
        raise MicrograftError(
            "its steps are layers of their own, and only a layer over a whole sequence is truncated",
            where=f"layer {single.origin!r}", fix="use a GRU or LSTM module instead of a loop of cells",
        )  # fmt: skip
    if nodes == graph.nodes:
        raise MicrograftError("the network has no recurrent layer whose gradients could be truncated")
    return check(replace(graph, nodes=nodes), "truncate")


def _runs_once(node: Node) -> bool:
    """Whether it is one step, with a state that goes in."""
    assert isinstance(node.attrs, RecurrentAttrs)
    return node.attrs.framed and node.inputs[0].shape[1] == 1
