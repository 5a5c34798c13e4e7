"""Computes again, in the backward pass, what follows from parameters alone, instead of keeping it all the way.

An int8 layer's scaled factors are such: a few multiplications, but bytes that would lie in the arena from the forward
pass on. Only nodes without multiply-accumulates are run twice.
"""

from __future__ import annotations

from dataclasses import replace

from micrograft.ir.graph import Node, Phase, TrainStep
from micrograft.ir.types import Value
from micrograft.ops import check, operator_of
from micrograft.ops.builder import Builder


def recompute_parameters(step: TrainStep) -> TrainStep:
    """`step`, before its optimizer is attached, with such nodes in front of the backward nodes that read them."""
    params = {param.name for param in step.graph.params}
    cheap = {node.outputs[0].name: node for node in step.graph.nodes if _is_cheap(node, params)}
    builder = Builder(value.name for value in step.graph.values)
    for node in step.graph.nodes:
        if node.phase is Phase.BACKWARD:
            again = {value.name: _again(cheap[value.name], builder) for value in node.inputs if value.name in cheap}
            node = replace(node, inputs=tuple(again.get(value.name, value) for value in node.inputs))
        builder.nodes.append(node)
    states = [state.value for state in step.states]
    graph = check(replace(step.graph, nodes=tuple(builder.nodes)), "recompute_parameters", states)
    return replace(step, graph=graph)


def _is_cheap(node: Node, params: set[str]) -> bool:
    operator = operator_of(node)
    own = node.phase is Phase.FORWARD and len(node.outputs) == 1 and not operator.view
    return own and not operator.macs(node) and all(value.name in params for value in node.inputs)


def _again(node: Node, builder: Builder) -> Value:
    name = f"{node.outputs[0].name}_again"
    return builder.add(node.op, node.inputs, node.attrs, origin=node.origin, name=name, phase=Phase.BACKWARD)
