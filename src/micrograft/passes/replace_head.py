"""Replaces the head: the last linear layer, or 1×1 convolution, gets as many outputs as there are new classes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node, Param
from micrograft.ir.types import Array, Shape, Value
from micrograft.ops import check, operator_of
from micrograft.ops.operator import ShapeError
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.passes.rebuild import rebuild

_START = 0.1
"""Standard deviation of the new head's outputs: every class starts about equally likely."""

_POOLS = ("average_pool", "max_pool", "global_average_pool")
_TRANSPARENT = (*_POOLS, "softmax", "log_softmax", "argmax", "reshape", "transpose")
"""What may stand between the head and the output, beside anything elementwise."""


def replace_head(graph: Graph, classes: int, seed: int, mean_square: float = 1.0) -> Graph:
    """`graph` with `classes` outputs of its last linear layer, drawn anew under the same names.

    mean_square: of the head's input, so that the outputs start with a standard deviation of 0.1 whatever its
    scale. The bias starts at zero. A last softmax or sigmoid stays. Raises MicrograftError.
    """
    if classes < 1:
        raise MicrograftError(f"a head of {classes} classes makes no sense", fix="ask for at least 1")
    head = _head(graph)
    weight, *bias = (_own_param(graph, head, value) for value in head.inputs[1:])
    fan_in = math.prod(weight.value.shape[1:])
    drawn = np.random.default_rng(seed).standard_normal((classes, *weight.value.shape[1:]))
    drawn *= _START / math.sqrt(fan_in * max(mean_square, 1e-12))
    new = {weight.name: _resized(weight, drawn)}
    new |= {param.name: _resized(param, np.zeros(classes)) for param in bias}
    values = {name: param.value for name, param in new.items()}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = [values.get(value.name, value) for value in node.inputs]
        if tuple(inputs) != node.inputs:
            node = _rebuilt(node, inputs, head.outputs[0].shape[-1], classes)
            values |= {value.name: value for value in node.outputs}
        nodes.append(node)
    outputs = tuple(replace(port, value=values.get(port.value.name, port.value)) for port in graph.outputs)
    params = tuple(new.get(param.name, param) for param in graph.params)
    return check(replace(graph, params=params, nodes=tuple(nodes), outputs=outputs), "replace_head")


def _head(graph: Graph) -> Node:
    """The last layer before the output."""
    if len(graph.outputs) != 1:
        raise MicrograftError(f"a network with {len(graph.outputs)} outputs has no one head to replace")
    name = graph.outputs[0].value.name
    producers = graph.producers
    while (node := producers.get(name)) is not None:
        if node.op == "linear" or (node.op == "conv" and math.prod(node.inputs[1].shape[1:-1]) == 1):
            if getattr(node.attrs, "groups", 1) == 1:
                return node
            break
        if len(node.inputs) != 1 or not (node.op in _TRANSPARENT or operator_of(node).elementwise):
            break
        name = node.inputs[0].name
    stopped = f"layer {node.origin!r} ({node.op}) stands there" if node is not None else "nothing stands there"
    raise MicrograftError(
        f"the network does not end in a linear layer or 1×1 convolution that could be replaced: {stopped}",
        fix="leave out the number of classes",
    )


def _own_param(graph: Graph, head: Node, value: Value) -> Param:
    """A parameter that only the head reads."""
    param = graph.param(value.name)
    if param is None or len(graph.readers[value.name]) > 1:
        raise MicrograftError(
            f"{value.name} is used elsewhere too, so the head cannot be replaced", where=f"layer {head.origin!r}",
            fix="leave out the number of classes",
        )  # fmt: skip
    return param


def _resized(param: Param, data: Array) -> Param:
    """`param` with other outputs, which are the first axis of ours and of the user's; only the old one was frozen."""

    def outputs(shape: Shape | None) -> Shape | None:
        return None if shape is None else (data.shape[0], *shape[1:])

    old = param.value.shape[0]
    axis = param.permutation.index(0)
    user_shape = param.user_shape
    if user_shape is not None and user_shape[axis : axis + 1] == (old,):
        user_shape = (*user_shape[:axis], data.shape[0], *user_shape[axis + 1 :])
    return replace(
        param,
        value=replace(param.value, type=replace(param.value.type, shape=data.shape)),
        data=data.astype(np.float32),
        axes=outputs(param.axes),
        user_shape=user_shape,
        frozen=False,
    )


def _rebuilt(node: Node, inputs: list[Value], old: int, classes: int) -> Node:
    """A node behind the head, over the new classes."""
    attrs = node.attrs
    if isinstance(attrs, ReshapeAttrs) and attrs.shape[-1:] == (old,):
        attrs = ReshapeAttrs((*attrs.shape[:-1], classes))
    try:
        return rebuild(node, inputs, attrs)
    except ShapeError as error:
        raise MicrograftError(
            f"it cannot follow a head of {classes} classes: {error}", where=f"layer {node.origin!r}",
            fix="leave out the number of classes",
        ) from error  # fmt: skip
