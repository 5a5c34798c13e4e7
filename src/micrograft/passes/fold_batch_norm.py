"""Folds what is affine per channel behind a layer into the layer's weight and bias, where none of it is trained.

That is a batch norm, a product with a constant per channel, a sum with one, or a scale. y = s·(W·x + b) + t is
(s·W)·x + (s·b + t). It runs after a method has marked what is trainable.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Graph, Node, Param, param_of
from micrograft.ir.types import Array
from micrograft.ops import check
from micrograft.ops.batch_norm import BatchNormAttrs
from micrograft.ops.builder import Builder
from micrograft.ops.scale import ScaleAttrs
from micrograft.passes.prune import prune

_CHANNEL_AXIS = {"linear": 0, "conv": 0, "depthwise_conv": -1}
"""Where the outputs stand in the weight of a layer."""


def fold_batch_norm(graph: Graph, keep: Container[str] = ()) -> Graph:
    """`graph` with frozen affine nodes folded into the frozen layers in front of them.

    keep: names of parameters that stay as they are (a frozen LoRA A is saved with its adapter). A weight keeps its
    name and a bias too; a layer without one gets `<layer>.bias`. A folded parameter is not learnable any more: it
    is no longer the user's tensor.
    """
    for node in graph.nodes:
        layer = graph.producers.get(node.inputs[0].name) if node.inputs else None
        if layer is not None and layer.op in _CHANNEL_AXIS and _may_fold(graph, layer, node, keep):
            affine = _affine(graph, node)
            if affine is not None:
                graph = _folded(graph, layer, node, *affine)
    return prune(check(graph, "fold_batch_norm"))


def _may_fold(graph: Graph, layer: Node, node: Node, keep: Container[str]) -> bool:
    """Whether all that is read is frozen and nothing else reads the layer's output or its parameters."""
    inner = layer.outputs[0].name
    constants = [graph.param(value.name) for value in (*layer.inputs[1:], *node.inputs[1:])]
    if len(graph.readers[inner]) > 1 or any(port.value.name == inner for port in graph.outputs):
        return False
    if any(param is None or param.trainable or param.name in keep for param in constants):
        return False
    return all(len(graph.readers[value.name]) == 1 for value in layer.inputs[1:])


def _affine(graph: Graph, node: Node) -> tuple[Array, Array] | None:
    """Factor and shift per channel, if that is all that `node` does to its first input."""
    channels = node.inputs[0].shape[-1]
    ones, zeros = np.ones(channels), np.zeros(channels)
    if isinstance(node.attrs, ScaleAttrs):
        return ones * node.attrs.factor, zeros
    arrays = [_data(graph, value.name) for value in node.inputs[1:]]
    if isinstance(node.attrs, BatchNormAttrs):
        weight, bias, mean, variance = arrays
        factor = weight / np.sqrt(variance + node.attrs.epsilon)
        return factor, bias - mean * factor
    if node.op not in ("add", "sub", "mul") or node.outputs[0].shape != node.inputs[0].shape:
        return None
    (constant,) = arrays
    if constant.size not in (1, channels) or constant.shape[-1:] != (constant.size,):
        return None
    vector = ones * constant.reshape(-1)
    return {"add": (ones, vector), "sub": (ones, -vector), "mul": (vector, zeros)}[node.op]


def _data(graph: Graph, name: str) -> Array:
    param = graph.param(name)
    assert param is not None, f"{name} is no parameter"
    return param.data.astype(np.float64)


def _folded(graph: Graph, layer: Node, node: Node, factor: Array, shift: Array) -> Graph:
    weight = graph.param(layer.inputs[1].name)
    assert weight is not None, "only layers with a constant weight are folded"
    along = [1] * weight.data.ndim
    along[_CHANNEL_AXIS[layer.op]] = -1
    weight = _replaced(weight, weight.data * factor.reshape(along))
    if len(layer.inputs) > 2:
        old = graph.param(layer.inputs[2].name)
        assert old is not None, "only layers with a constant bias are folded"
        bias = _replaced(old, old.data * factor + shift)
    else:
        name = Builder(value.name for value in graph.values).unique(f"{layer.origin}.bias")
        bias = param_of(name, shift.astype(np.float32), learnable=False)
        bias = replace(bias, source=f"{layer.origin}.bias")
    params = {param.name: param for param in graph.params} | {weight.name: weight, bias.name: bias}
    fused = replace(layer, inputs=(layer.inputs[0], weight.value, bias.value), outputs=node.outputs)
    nodes = tuple(fused if each is node else each for each in graph.nodes if each is not layer)
    return replace(graph, params=tuple(params.values()), nodes=nodes)


def _replaced(param: Param, data: Array) -> Param:
    return replace(param, data=data.astype(np.float32), learnable=False)
