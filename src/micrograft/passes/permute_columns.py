"""Permutes a linear layer's columns instead of the data, where a flatten follows a transposition.

PyTorch flattens channels first. The weight behind that flatten can as well be laid out for channels last, once,
if nothing else reads it; `absorb_layouts` then does so and remembers the way back to the user's columns.
"""

from __future__ import annotations

import math
from dataclasses import replace

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Shape, Value
from micrograft.ops import check, operator_of
from micrograft.ops.builder import Builder
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.transpose import TransposeAttrs
from micrograft.passes.rebuild import rebuild


def permute_columns(graph: Graph) -> Graph:
    """`graph` without transpositions whose only reader, past a flatten, is a linear layer."""
    for node in graph.nodes:
        if isinstance(node.attrs, TransposeAttrs):
            graph = _without(graph, node, node.attrs.permutation)
    return check(graph, "permute_columns")


def _without(graph: Graph, transpose: Node, permutation: tuple[int, ...]) -> Graph:
    chain = _chain(graph, transpose)
    if chain is None:
        return graph
    *between, linear = chain
    x, seen = transpose.inputs[0], transpose.outputs[0]
    builder = Builder(value.name for value in graph.values)
    replaced = {seen.name: x}
    for node in graph.nodes:
        if node is linear:
            weight = _columns(builder, node, seen.shape, permutation)
            builder.nodes.append(rebuild(node, (replaced[node.inputs[0].name], weight, *node.inputs[2:])))
        elif node in between:
            again = rebuild(node, [replaced[node.inputs[0].name]])
            replaced[again.outputs[0].name] = again.outputs[0]
            builder.nodes.append(again)
        elif node is not transpose:
            builder.nodes.append(node)
    return replace(graph, nodes=tuple(builder.nodes))


def _chain(graph: Graph, transpose: Node) -> list[Node] | None:
    """The nodes from behind `transpose` to a linear layer whose weight is free to change; None if there is no such."""
    readers, outputs = graph.readers, {port.value.name for port in graph.outputs}
    shape = transpose.outputs[0].shape
    chain: list[Node] = []
    value, flat = transpose.outputs[0], False
    while True:
        nodes = readers.get(value.name, ())
        if len(nodes) != 1 or value.name in outputs:
            return None
        (node,) = nodes
        chain.append(node)
        if node.op == "linear" and flat and node.inputs[0] == value:
            weight = node.inputs[1]
            free = graph.param(weight.name) is not None and len(readers[weight.name]) == 1
            return chain if free and weight.name not in outputs else None
        if isinstance(node.attrs, ReshapeAttrs) and not flat and node.outputs[0].shape == (1, math.prod(shape)):
            flat = True
        elif not (operator_of(node).elementwise and len(node.inputs) == 1):
            return None
        value = node.outputs[0]


def _columns(builder: Builder, linear: Node, shape: Shape, permutation: tuple[int, ...]) -> Value:
    """The weight with its columns, which stand for `shape`, in the order from before the transposition."""
    weight = linear.inputs[1]
    back = sorted(range(len(permutation)), key=permutation.__getitem__)
    steps = (
        ("reshape", ReshapeAttrs((weight.shape[0], *shape))),
        ("transpose", TransposeAttrs((0, *(axis + 1 for axis in back)))),
        ("reshape", ReshapeAttrs(weight.shape)),
    )
    for op, attrs in steps:
        weight = builder.add(op, (weight,), attrs, origin=linear.origin, name=f"{linear.inputs[1].name}_columns")
    return weight
