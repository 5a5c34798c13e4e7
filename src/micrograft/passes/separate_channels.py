"""Makes a layer of what is affine per channel and stands behind no layer: a depthwise convolution of one place.

In int8 it then has a weight of one scale per channel and int32 biases, and takes the activation behind it as its clamp.
Pre-activation networks, ResNetV2 and DenseNet, have such batch norms.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Graph, Node, Param, param_of
from micrograft.ir.types import Quantization
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.fixed_point import HIGH
from micrograft.passes.fold_batch_norm import affine_parts
from micrograft.passes.prune import prune


def separate_channels(graph: Graph) -> Graph:
    """`graph` with depthwise convolutions for batch norms of (1, *positions, channels)."""
    params = {param.name: param for param in graph.params}
    builder = Builder(value.name for value in graph.values)
    made: list[Param] = []
    nodes = [_layer(node, params, builder, made) if _is_apart(node, params) else node for node in graph.nodes]
    if not made:
        return graph
    graph = replace(graph, nodes=tuple(nodes), params=(*graph.params, *made))
    return prune(check(graph, "separate_channels"))


def _is_apart(node: Node, params: dict[str, Param]) -> bool:
    """Whether a node is a batch norm of one or two spatial axes with nothing trained in it."""
    constants = [params.get(value.name) for value in node.inputs[1:]]
    known = all(param is not None and not param.trainable for param in constants)
    return node.op == "batch_norm" and len(node.inputs[0].shape) in (3, 4) and known


def _layer(node: Node, params: dict[str, Param], builder: Builder, made: list[Param]) -> Node:
    found = affine_parts(params, node)
    assert found is not None, "a batch norm is affine"
    factor, shift = (each.astype(np.float32) for each in found)
    spatial = len(node.inputs[0].shape) - 2
    ones = (1,) * spatial
    names = [f"{node.origin}.{role}" for role in ("weight", "bias")]
    scales = np.maximum(np.abs(factor) / HIGH, np.float32(1e-12))
    grid = Quantization(tuple(map(float, scales)), (0,) * len(scales), spatial + 1)
    arrays = (factor.reshape(1, *ones, -1), grid), (shift, None)
    for name, (data, own) in zip(names, arrays, strict=True):
        made.append(replace(param_of(builder.unique(f"{name}_per_channel"), data), source=name, grid=own))
    attrs = ConvAttrs(ones, ((0, 0),) * spatial, ones)
    inputs = (node.inputs[0], *(param.value for param in made[-2:]))
    return replace(node, op="depthwise_conv", inputs=inputs, attrs=attrs)
