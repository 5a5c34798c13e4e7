"""Fuses a weight's gradient with its update, so that the gradient never exists as a whole (`ops/fused_update`).

It runs behind `attach_optimizer`, for the weights that it is told, whose gradients are large enough to matter: the
gradient's inputs then live until every other reader of the weight is done. Results are the same to the last bit. Where
each gradient is clipped by its own norm it is computed twice, once for the norm.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from micrograft.ir.graph import Node, TrainStep
from micrograft.ir.types import Value
from micrograft.ops import check, operator_of, operators
from micrograft.ops.codes_update import RealGradientAttrs
from micrograft.ops.fused_update import FusedAttrs
from micrograft.ops.weight_gradient_parts import WEIGHT_GRADIENTS, PartsAttrs, scales_axis


@dataclass(frozen=True)
class PartialGradient:
    """What can be computed part by part. node: computes it as a whole. real: the node behind it where it is of codes
    and becomes that of real numbers."""

    node: Node
    real: Node | None = None

    @property
    def value(self) -> Value:
        """What the update reads."""
        return (self.real or self.node).outputs[0]

    @property
    def scales(self) -> tuple[Value, ...]:
        return () if self.real is None else self.real.inputs[1:]

    def makes(self, alive: Container[str], later: Container[str]) -> bool:
        """Whether it makes the peak: it is alive there, or is put off beyond it, and keeps alive what it is computed
        from."""
        name, dy = self.value.name, self.node.inputs[1].name
        return name in alive or (name in later and dy in alive)

    @property
    def attrs(self) -> PartsAttrs:
        layout = None
        if self.real is not None:
            assert isinstance(self.real.attrs, RealGradientAttrs)
            layout = self.real.attrs.layout
        return PartsAttrs(self.node.op, self.node.attrs, layout)


def fusable(step: TrainStep) -> dict[str, PartialGradient]:
    """Name of a parameter to its gradient, where the two can be fused: plain SGD, with or without momentum, of a linear
    layer's or convolution's weight in float32 or int8 codes, not clipped or by its own norm alone."""
    readers, found = step.graph.readers, {}
    for node in step.graph.nodes:
        if f"fused_{node.op}" not in operators() or node.op == "square_sum":
            continue
        weight, read = node.inputs[:2]
        gradient = _gradient(step, read)
        if gradient is None or gradient.attrs.dtype is not weight.dtype:
            continue
        others = [reader for reader in readers[read.name] if reader is not node]
        if all(_is_own_norm(reader, readers) for reader in others):
            found[weight.name] = gradient
    return found


def _gradient(step: TrainStep, read: Value) -> PartialGradient | None:
    """The gradient that an update reads, if it can be computed part by part."""
    node, real = step.graph.producers.get(read.name), None
    if node is not None and node.op == "real_gradient":
        real, node = node, step.graph.producers.get(node.inputs[0].name)
    if node is None or node.op not in WEIGHT_GRADIENTS:
        return None
    if real is None:
        return PartialGradient(node)
    assert isinstance(real.attrs, RealGradientAttrs)
    fits = real.attrs.layout.axis in (None, scales_axis(node.op, read.type))
    alone = len(step.graph.readers[node.outputs[0].name]) == 1
    return PartialGradient(node, real) if fits and alone else None


def _is_own_norm(node: Node, readers: Mapping[str, tuple[Node, ...]]) -> bool:
    """Whether a node sums the squares of one gradient alone."""
    alone = len(node.inputs) == 1 and all(reader.op == "clip_scale" for reader in readers[node.outputs[0].name])
    return node.op == "square_sum" and alone


def fuse_updates(step: TrainStep, params: Container[str]) -> TrainStep:
    """`step` with the updates of these parameters fused, as far as `fusable` lists them."""
    chosen = {param: gradient for param, gradient in fusable(step).items() if param in params}
    gradients = {gradient.value.name: gradient for gradient in chosen.values()}
    gone = {node.outputs[0].name for each in gradients.values() for node in (each.node, each.real) if node is not None}
    nodes: list[Node] = []
    for node in step.graph.nodes:
        if node.outputs[0].name in gone:
            continue
        read = next((value.name for value in node.inputs if value.name in gradients), None)
        nodes.append(node if read is None else _fused(node, gradients[read]))
    graph = replace(step.graph, nodes=tuple(nodes))
    check(graph, "fuse_updates", [state.value for state in step.states])
    left = {param: value for param, value in step.gradients.items() if param not in chosen}
    return replace(step, graph=graph, gradients=left)


def _fused(node: Node, gradient: PartialGradient) -> Node:
    """A node that reads a gradient, computing it from what the gradient is computed from."""
    place = operator_of(node).inputs.index("gradient")
    inputs = (*node.inputs[:place], *gradient.node.inputs, *node.inputs[place + 1 :])
    if node.op == "square_sum":
        inputs += gradient.scales
    attrs = FusedAttrs(gradient.attrs, node.attrs)
    return replace(node, op=f"fused_{node.op}", inputs=inputs, attrs=attrs, phase=gradient.node.phase)
