"""Fuses a weight's gradient with its update, so that the gradient never exists as a whole (`ops/fused_update`).

It runs behind `attach_optimizer`, for the weights that it is told, whose gradients are large enough to matter: the
gradient's inputs then live until every other reader of the weight is done. Results are the same to the last bit. Where
each gradient is clipped by its own norm it is computed twice, once for the norm.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

from micrograft.ir.graph import Node, TrainStep
from micrograft.ir.types import Value
from micrograft.ops import check, operator_of
from micrograft.ops.fused_update import WEIGHT_GRADIENTS, FusedAttrs
from micrograft.ops.optimizers import SgdAttrs, SgdMomentumAttrs

_UPDATES = ("sgd", "sgd_momentum")


def fusable(step: TrainStep) -> dict[str, Value]:
    """Name of a parameter to its gradient, where the two can be fused: plain SGD, with or without momentum, of a linear
    layer's or convolution's float32 weight, not clipped or by its own norm alone."""
    producers, readers = step.graph.producers, step.graph.readers
    found = {}
    for node in step.graph.nodes:
        if node.op not in _UPDATES:
            continue
        weight, gradient = node.inputs[:2]
        producer = producers.get(gradient.name)
        if producer is None or producer.op not in WEIGHT_GRADIENTS or producer.outputs[0] != gradient:
            continue
        others = [reader for reader in readers[gradient.name] if reader is not node]
        if all(_is_own_norm(reader, readers) for reader in others):
            found[weight.name] = gradient
    return found


def _is_own_norm(node: Node, readers: Mapping[str, tuple[Node, ...]]) -> bool:
    """Whether a node sums the squares of one gradient alone."""
    alone = len(node.inputs) == 1 and all(reader.op == "clip_scale" for reader in readers[node.outputs[0].name])
    return node.op == "square_sum" and alone


def fuse_updates(step: TrainStep, params: Container[str]) -> TrainStep:
    """`step` with the updates of these parameters fused, as far as `fusable` lists them."""
    gradients = {gradient.name for param, gradient in fusable(step).items() if param in params}
    producers = step.graph.producers
    nodes: list[Node] = []
    for node in step.graph.nodes:
        if node.outputs[0].name in gradients:
            continue
        read = next((value.name for value in node.inputs if value.name in gradients), None)
        nodes.append(node if read is None else _fused(node, producers[read]))
    graph = replace(step.graph, nodes=tuple(nodes))
    check(graph, "fuse_updates", [state.value for state in step.states])
    left = {param: value for param, value in step.gradients.items() if value.name not in gradients}
    return replace(step, graph=graph, gradients=left)


def _fused(node: Node, gradient: Node) -> Node:
    """A node that reads a gradient, computing it from what the gradient is computed from."""
    attrs = FusedAttrs(gradient.op, gradient.attrs)
    if isinstance(node.attrs, SgdAttrs | SgdMomentumAttrs):
        momentum = node.attrs.momentum if isinstance(node.attrs, SgdMomentumAttrs) else 0.0
        attrs = replace(attrs, weight_decay=node.attrs.weight_decay, momentum=momentum)
    place = operator_of(node).inputs.index("gradient")
    inputs = (*node.inputs[:place], *gradient.inputs, *node.inputs[place + 1 :])
    return replace(node, op=f"fused_{node.op}", inputs=inputs, attrs=attrs, phase=gradient.phase)
