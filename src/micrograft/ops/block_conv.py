"""Gradients of convolutions and linear layers on int8 codes, in integers (`block`)."""

from __future__ import annotations

from collections.abc import Sequence

from micrograft.ir.graph import Block, Node
from micrograft.ops.block import contraction, group
from micrograft.ops.conv import CONV_INPUT_GRADIENT, ConvInputGradientAttrs, conv_kernel_call, window_cost
from micrograft.ops.cost import Cost
from micrograft.ops.depthwise_conv import DEPTHWISE_CONV_INPUT_GRADIENT
from micrograft.ops.linear import LINEAR_INPUT_GRADIENT, linear_kernel_call
from micrograft.ops.operator import KernelCall


def _conv_call(node: Node, dy: Block, dx: Block) -> Sequence[KernelCall]:
    attrs, weight = node.attrs, node.inputs[1]
    assert isinstance(attrs, ConvInputGradientAttrs)
    if node.op == "conv_input_gradient" and attrs.conv.is_linear(weight.shape[1:-1]):
        return _linear_call(node, dy, dx)
    depthwise = node.op == "depthwise_conv_input_gradient"
    outputs, groups = (weight.shape[-1], attrs.input_shape[-1]) if depthwise else (weight.shape[0], attrs.conv.groups)
    function = f"mg_block_{node.op}_{dy.codes.dtype.value}"
    window = attrs.conv.window(weight.shape[1:-1])
    return conv_kernel_call(function, window, attrs.input_shape, outputs, groups, group(dy), weight, group(dx))


def _linear_call(node: Node, dy: Block, dx: Block) -> Sequence[KernelCall]:
    weight = node.inputs[1]
    function = f"mg_block_linear_input_gradient_{dy.codes.dtype.value}"
    rows = dy.codes.type.size // weight.shape[0]
    return linear_kernel_call(function, rows, weight.shape[-1], weight.shape[0], group(dy), weight, group(dx))


BLOCK_CONV_INPUT_GRADIENT = contraction(
    CONV_INPUT_GRADIENT,
    _conv_call,
    cost=window_cost(Cost(mac=3.5, output=39), Cost(mac=2.22, output=18)),
)
BLOCK_DEPTHWISE_CONV_INPUT_GRADIENT = contraction(
    DEPTHWISE_CONV_INPUT_GRADIENT, _conv_call, cost=window_cost(Cost(mac=7.3, output=49))
)
BLOCK_LINEAR_INPUT_GRADIENT = contraction(
    LINEAR_INPUT_GRADIENT,
    _linear_call,
    cost=Cost(mac=2.22, output=18),
)
