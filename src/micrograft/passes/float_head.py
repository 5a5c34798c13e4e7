"""Gives an int8 network a float32 head: its last layer reads the real numbers that its input's codes stand for.

Weight and bias are the ones that the codes stood for, so the answers are the same but for a rounding less. The head
can then be trained or replaced as in any network, and a loss reads its logits.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Attrs, Graph, Node, Param
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.fixed_point import HIGH, LOW
from micrograft.ops.lookup import LookupAttrs
from micrograft.ops.quantize import DequantizeAttrs
from micrograft.ops.quantized_conv import QuantizedConvAttrs
from micrograft.ops.quantized_linear import QuantizedLinearAttrs
from micrograft.passes.prune import prune
from micrograft.passes.rebuild import rebuild

_BEHIND = ("dequantize", "quantized_softmax", "reshape")
"""What may stand between the head and the output, beside a table of a function of one input."""


def float_head(graph: Graph) -> Graph:
    """`graph` with its last layer in float32 where that is an int8 one; any other network as it is."""
    if len(graph.outputs) != 1:
        return graph
    behind: list[Node] = []
    head = graph.producers.get(graph.outputs[0].value.name)
    while head is not None and _stands_behind(head) and len(graph.readers.get(head.inputs[0].name, ())) == 1:
        behind.append(head)
        head = graph.producers.get(head.inputs[0].name)
    if head is None or not _is_head(head):
        return graph
    return _rewritten(graph, head, behind[::-1])


def _stands_behind(node: Node) -> bool:
    return node.op in _BEHIND or (isinstance(node.attrs, LookupAttrs) and bool(node.attrs.function))


def _is_head(node: Node) -> bool:
    """Whether a node is a dense int8 layer without an activation."""
    if not isinstance(node.attrs, (QuantizedLinearAttrs, QuantizedConvAttrs)) or node.op == "quantized_depthwise_conv":
        return False
    return math.prod(node.inputs[1].shape[1:-1]) == 1 and (node.attrs.y.low, node.attrs.y.high) == (LOW, HIGH)


def _rewritten(graph: Graph, head: Node, behind: list[Node]) -> Graph:
    builder = Builder(value.name for value in graph.values)
    weight, bias = _real_params(graph, head, builder)
    params = (*graph.params, weight, bias)
    result = graph.outputs[0].value
    for node in graph.nodes:
        if node is head:
            result = _float_layer(head, weight, bias, builder)
        elif node in behind:
            if node.op == "reshape":
                builder.nodes.append(rebuild(node, (result,)))
                result = builder.nodes[-1].outputs[0]
            elif node.op == "quantized_softmax":
                result = builder.add("softmax", (result,), origin=node.origin, name=node.outputs[0].name)
            elif isinstance(node.attrs, LookupAttrs):
                result = builder.add(node.attrs.function, (result,), origin=node.origin, name=node.outputs[0].name)
        else:
            builder.nodes.append(node)
    outputs = (replace(graph.outputs[0], value=result),)
    return check(prune(replace(graph, nodes=tuple(builder.nodes), params=params, outputs=outputs)), "float_head")


def _float_layer(head: Node, weight: Param, bias: Param, builder: Builder) -> Value:
    codes = head.inputs[0]
    assert codes.type.quant is not None, "the codes of an activation have a meaning"
    attrs = DequantizeAttrs(codes.type.quant)
    x = builder.add("dequantize", (codes,), attrs, origin=head.origin, name=f"{codes.name}_real")
    own = head.attrs.conv if isinstance(head.attrs, QuantizedConvAttrs) else Attrs()
    op = head.op.removeprefix("quantized_")
    return builder.add(op, (x, weight.value, bias.value), own, origin=head.origin, name=f"{head.origin}_logits")


def _real_params(graph: Graph, head: Node, builder: Builder) -> tuple[Param, Param]:
    """Weight and bias of the head in real numbers, learnable, under the user's names."""
    codes, biases = (graph.param(value.name) for value in head.inputs[1:3])
    x = head.inputs[0].type.quant
    assert codes is not None and biases is not None and codes.value.type.quant is not None and x is not None
    grid = codes.value.type.quant
    weight = replace(_as_real(codes, grid.real(codes.data), builder, codes.source), learnable=True)
    scales = np.asarray(grid.scales) * x.scale
    source = f"{codes.source.removesuffix('.weight')}.bias"
    bias = _as_real(biases, biases.data * scales, builder, source)
    return weight, replace(bias, learnable=True)


def _as_real(param: Param, data: Array, builder: Builder, source: str) -> Param:
    array = np.ascontiguousarray(data, np.float32)
    value = Value(builder.unique(source), TensorType(array.shape, DType.FLOAT32))
    return replace(param, value=value, data=array, source=source)
