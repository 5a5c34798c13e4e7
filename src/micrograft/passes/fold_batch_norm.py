"""Folds what is affine per channel behind a layer into the layer's weight and bias, where none of it is trained.

That is a batch norm, a product with a constant per channel, a sum with one, or a scale. y = s·(W·x + b) + t is
(s·W)·x + (s·b + t). It runs after a method has marked what is trainable.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Graph, Node, Param, param_of
from micrograft.ir.types import Array
from micrograft.ops import check
from micrograft.ops.batch_norm import BatchNormAttrs
from micrograft.ops.builder import Builder
from micrograft.ops.conv_transpose import ConvTransposeAttrs
from micrograft.ops.scale import ScaleAttrs
from micrograft.passes.prune import prune

_CHANNEL_AXIS = {"linear": 0, "conv": 0, "depthwise_conv": -1, "conv_transpose": -1}
"""Where the outputs stand in the weight of a layer."""


def fold_batch_norm(graph: Graph, keep: Container[str] = ()) -> Graph:
    """`graph` with frozen affine nodes folded into the frozen layers in front of them.

    keep: names of parameters that stay as they are (a frozen LoRA A is saved with its adapter). A weight keeps its
    name and a bias too; a layer without one gets `<layer>.bias`. A folded parameter is not learnable any more: it
    is no longer the user's tensor.
    """
    folding = _Folding(graph, keep)
    for node in graph.nodes:
        folding.visit(node)
    return prune(check(folding.result(), "fold_batch_norm"))


class _Folding:
    """The state of one walk over the nodes: each is folded into the one in front of it, or stays."""

    def __init__(self, graph: Graph, keep: Container[str]) -> None:
        self._graph = graph
        self._keep = keep
        self._params = {param.name: param for param in graph.params}
        self._nodes: dict[str, Node] = {}  # name of a first output to the node that gives it by now
        self._readers = {name: len(nodes) for name, nodes in graph.readers.items()}
        self._results = {port.value.name for port in graph.outputs}
        self._names = Builder(value.name for value in graph.values)

    def visit(self, node: Node) -> None:
        """Fold a node into the layer in front of it, if that may be."""
        layer = self._nodes.get(node.inputs[0].name) if node.inputs else None
        affine = None
        if layer is not None and layer.op in _CHANNEL_AXIS and self._may_fold(layer, node):
            affine = affine_parts(self._params, node)
        if layer is not None and affine is not None:
            del self._nodes[layer.outputs[0].name]
            for name in {value.name for value in node.inputs}:
                self._readers[name] -= 1
            node = self._folded(layer, node, *affine)
        self._nodes[node.outputs[0].name] = node

    def result(self) -> Graph:
        return replace(self._graph, params=tuple(self._params.values()), nodes=tuple(self._nodes.values()))

    def _may_fold(self, layer: Node, node: Node) -> bool:
        """Whether all that is read is frozen and nothing else reads the layer's output or its parameters."""
        inner = layer.outputs[0].name
        constants = [self._params.get(value.name) for value in (*layer.inputs[1:], *node.inputs[1:])]
        if self._readers[inner] > 1 or inner in self._results:
            return False
        if isinstance(layer.attrs, ConvTransposeAttrs) and layer.attrs.conv.groups > 1:
            return False  # its weight has the outputs of one group alone
        if any(param is None or param.trainable or param.name in self._keep for param in constants):
            return False
        return all(self._readers[value.name] == 1 for value in layer.inputs[1:])

    def _folded(self, layer: Node, node: Node, factor: Array, shift: Array) -> Node:
        weight = self._params[layer.inputs[1].name]
        along = [1] * weight.data.ndim
        along[_CHANNEL_AXIS[layer.op]] = -1
        weight = _replaced(weight, weight.data * factor.reshape(along))
        if len(layer.inputs) > 2:
            old = self._params[layer.inputs[2].name]
            bias = _replaced(old, old.data * factor + shift)
        else:
            name = self._names.unique(f"{layer.origin}.bias")
            bias = param_of(name, shift.astype(np.float32), learnable=False)
            bias = replace(bias, source=f"{layer.origin}.bias")
            self._readers[name] = 1
        self._params |= {weight.name: weight, bias.name: bias}
        return replace(layer, inputs=(layer.inputs[0], weight.value, bias.value), outputs=node.outputs)


def affine_parts(params: Mapping[str, Param], node: Node) -> tuple[Array, Array] | None:
    """Factor and shift per channel, if that is all that `node` does to its first input."""
    channels = node.inputs[0].shape[-1]
    ones, zeros = np.ones(channels), np.zeros(channels)
    if isinstance(node.attrs, ScaleAttrs):
        return ones * node.attrs.factor, zeros
    arrays = [params[value.name].data.astype(np.float64) for value in node.inputs[1:]]
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


def _replaced(param: Param, data: Array) -> Param:
    return replace(param, data=data.astype(np.float32), learnable=False)
