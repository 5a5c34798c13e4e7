"""Fuses the addition of a constant vector into the layer in front of it: it is that layer's bias."""

from __future__ import annotations

from dataclasses import replace

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Value
from micrograft.ops import LAYERS, check
from micrograft.ops.builder import Builder
from micrograft.ops.reshape import ReshapeAttrs


def fuse_bias(graph: Graph) -> Graph:
    """`graph` with `add(layer(x, weight), vector)` as `layer(x, weight, vector)`; the sum's name stays."""
    producers, readers = graph.producers, graph.readers
    outputs = {port.value.name for port in graph.outputs}
    fused: dict[str, tuple[Node, Value]] = {}  # name of the sum to the layer and its bias
    for node in graph.nodes:
        if node.op != "add":
            continue
        for x, vector in (node.inputs, node.inputs[::-1]):
            layer = producers.get(x.name)
            if layer is None or layer.op not in LAYERS or len(layer.inputs) != 2:
                continue
            alone = len(readers[x.name]) == 1 and x.name not in outputs
            own = _is_bias(graph, vector, x.shape[-1]) and _is_of(graph, layer, vector)
            if alone and node.outputs[0].shape == x.shape and own:
                fused[node.outputs[0].name] = (layer, vector)
                break
    gone = {layer.outputs[0].name for layer, _ in fused.values()}
    builder = Builder(value.name for value in graph.values)
    for node in graph.nodes:
        result = node.outputs[0]
        if result.name in fused:
            layer, bias = fused[result.name]
            if len(bias.shape) > 1:
                attrs = ReshapeAttrs(bias.shape[-1:])
                bias = builder.add("reshape", (bias,), attrs, origin=layer.origin, name=f"{bias.name}_vector")
            origin = _layer(graph, layer, fused[result.name][1])
            builder.nodes.append(replace(layer, inputs=(*layer.inputs, bias), outputs=(result,), origin=origin))
        elif result.name not in gone:
            builder.nodes.append(node)
    return check(replace(graph, nodes=tuple(builder.nodes)), "fuse_bias")


def _layer(graph: Graph, layer: Node, bias: Value) -> str:
    """The layer's name: that of its bias, where the exporter has lost the name of its weight."""
    names = [param.source if (param := graph.param(value.name)) else "" for value in (layer.inputs[1], bias)]
    if not names[0].endswith("weight") and names[1].endswith("bias"):
        return names[1].removesuffix("bias").rstrip("._") or layer.origin
    return layer.origin


def _is_bias(graph: Graph, vector: Value, channels: int) -> bool:
    """Whether it is a parameter with one element for each of the channels, which are last."""
    return graph.param(vector.name) is not None and vector.shape[-1:] == (channels,) == (vector.type.size,)


def _is_of(graph: Graph, layer: Node, vector: Value) -> bool:
    """Whether the vector may be the layer's own bias. What the user's names give to another module is not: a method
    that scales the layer's output, or trains biases, would take it along."""
    weight, bias = graph.param(layer.inputs[1].name), graph.param(vector.name)
    if weight is None or bias is None or not weight.source.endswith("weight") or bias.source.endswith("bias"):
        return True
    return weight.source.rpartition(".")[0] == bias.source.rpartition(".")[0]
