"""Fuses a weight's gradient with its update, so that the gradient never exists as a whole (`ops/fused_update`, in
integers `ops/fused_block_update`).

It runs behind `attach_optimizer`, for the weights that it is told, whose gradients are large enough to matter: the
gradient's inputs then live until every other reader of the weight is done. Results are the same to the last bit. Where
each gradient is clipped by its own norm it is computed twice, once for the norm; in integers it is in any case.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace

from micrograft.ir.graph import Node, TrainStep
from micrograft.ir.types import Value
from micrograft.ops import check, operator_of, operators
from micrograft.ops.block_update import BlockSgdAttrs
from micrograft.ops.codes_update import Layout, RealGradientAttrs
from micrograft.ops.fused_block_update import BLOCK_WEIGHT_GRADIENTS, BlockScaleAttrs
from micrograft.ops.fused_update import FusedAttrs
from micrograft.ops.weight_gradient_parts import WEIGHT_GRADIENTS, PartsAttrs, scales_axis


@dataclass(frozen=True)
class PartialGradient:
    """What can be computed part by part. node: computes it as a whole. real: the node behind it where it is of codes
    and becomes that of real numbers. layout: where the scales of the weight apply. readers: the update, and what sums
    the squares."""

    node: Node
    real: Node | None
    layout: Layout | None
    readers: tuple[Node, ...]

    @property
    def value(self) -> Value:
        """What the update reads."""
        return (self.real or self.node).outputs[0]

    @property
    def attrs(self) -> PartsAttrs:
        return PartsAttrs(self.node.op.removeprefix("block_"), self.node.attrs, self.layout)

    def makes(self, alive: Container[str], later: Container[str]) -> bool:
        """Whether it makes the peak: it is alive there, or is put off beyond it, and keeps alive what it is computed
        from."""
        name, dy = self.value.name, self.node.inputs[1].name
        return name in alive or (name in later and dy in alive)

    def replaced(self) -> dict[str, tuple[Node, ...]]:
        """Nodes by their first outputs, and what stands for each."""
        found = {self.node.outputs[0].name: tuple(self._instead())}
        if self.real is not None:
            found[self.real.outputs[0].name] = ()
        return found | {reader.outputs[0].name: (self._fused(reader),) for reader in self.readers}

    def _instead(self) -> Iterator[Node]:
        """What finds the scale of a gradient in integers, where no sum of squares does so."""
        if self.node.op in BLOCK_WEIGHT_GRADIENTS and len(self.readers) == 1:
            attrs = BlockScaleAttrs(self.attrs)
            yield replace(self.node, op="block_gradient_scale", outputs=self.node.outputs[1:], attrs=attrs)

    def _fused(self, reader: Node) -> Node:
        """A node that reads the gradient, computing it from what it is computed from."""
        place = operator_of(reader).inputs.index("gradient")
        read, outputs = self.node.inputs, reader.outputs
        before, behind = reader.inputs[:place], reader.inputs[place + 1 :]
        if reader.op == "square_sum" and self.real is not None:
            behind += self.real.inputs[1:]
        if reader.op == "block_square_sum":  # finds the scale
            outputs, behind = (*outputs, self.node.outputs[1]), behind[1:]
        elif self.node.op in BLOCK_WEIGHT_GRADIENTS:
            read = read[:-1]
        attrs, inputs = FusedAttrs(self.attrs, reader.attrs), (*before, *read, *behind)
        phase = self.node.phase
        return replace(reader, op=f"fused_{reader.op}", inputs=inputs, outputs=outputs, attrs=attrs, phase=phase)


def fusable(step: TrainStep) -> dict[str, PartialGradient]:
    """Name of a parameter to its gradient, where the two can be fused: plain SGD, with or without momentum, of a linear
    layer's or convolution's weight in float32 or int8 codes, not clipped or by its own norm alone. Of gradients in
    integers plain SGD alone."""
    found = {}
    for node in step.graph.nodes:
        if f"fused_{node.op}" in operators() and not node.op.endswith("square_sum"):
            gradient = _gradient(step, node)
            if gradient is not None:
                found[node.inputs[0].name] = gradient
    return found


def _gradient(step: TrainStep, update: Node) -> PartialGradient | None:
    """The gradient that an update reads, if it can be computed part by part."""
    weight, read = update.inputs[:2]
    readers, producers = step.graph.readers, step.graph.producers
    if not all(each is update or _is_own_norm(each, readers) for each in readers[read.name]):
        return None
    node, real, layout = producers.get(read.name), None, None
    if node is not None and node.op == "real_gradient":
        real, node = node, producers.get(node.inputs[0].name)
        assert isinstance(real.attrs, RealGradientAttrs)
        layout = real.attrs.layout
    if node is None or node.op not in (WEIGHT_GRADIENTS | BLOCK_WEIGHT_GRADIENTS):
        return None
    if isinstance(update.attrs, BlockSgdAttrs):
        layout = update.attrs.layout
    gradient = PartialGradient(node, real, layout, readers[read.name])
    fits = layout is None or layout.axis in (None, scales_axis(gradient.attrs.gradient, read.type))
    alone = real is None or len(readers[node.outputs[0].name]) == 1
    return gradient if fits and alone and gradient.attrs.dtype is weight.dtype else None


def _is_own_norm(node: Node, readers: Mapping[str, tuple[Node, ...]]) -> bool:
    """Whether a node sums the squares of one gradient alone."""
    sums = node.op == "block_square_sum" or (node.op == "square_sum" and len(node.inputs) == 1)
    return sums and all(reader.op == "clip_scale" for reader in readers[node.outputs[0].name])


def fuse_updates(step: TrainStep, params: Container[str]) -> TrainStep:
    """`step` with the updates of these parameters fused, as far as `fusable` lists them."""
    chosen = {param: gradient for param, gradient in fusable(step).items() if param in params}
    instead: dict[str, tuple[Node, ...]] = {}
    for gradient in chosen.values():
        instead |= gradient.replaced()
    nodes = [new for node in step.graph.nodes for new in instead.get(node.outputs[0].name, (node,))]
    graph = replace(step.graph, nodes=tuple(nodes))
    check(graph, "fuse_updates", [state.value for state in step.states])
    gradients = {param: value for param, value in step.gradients.items() if param not in chosen}
    blocks = {param: block for param, block in step.blocks.items() if param not in chosen}
    return replace(step, graph=graph, gradients=gradients, blocks=blocks)
