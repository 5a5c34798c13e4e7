"""Gradients of weights and biases of layers on int8 codes, in integers (`block`), the input's zero point included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from micrograft.ir.graph import Block, Node
from micrograft.ops.block import contraction, group
from micrograft.ops.conv import window_cost
from micrograft.ops.conv_of_codes import CONV_OF_CODES_WEIGHT_GRADIENT, ConvOfCodesWeightGradientAttrs, codes_call
from micrograft.ops.cost import Cost, CostRule
from micrograft.ops.depthwise_conv_of_codes import DEPTHWISE_CONV_OF_CODES_WEIGHT_GRADIENT
from micrograft.ops.down import DOWN_WEIGHT_GRADIENT
from micrograft.ops.linear import LINEAR_BIAS_GRADIENT, linear_kernel_call, rows
from micrograft.ops.linear_of_codes import LINEAR_OF_CODES_WEIGHT_GRADIENT, OfCodesAttrs, rows_call
from micrograft.ops.operator import Arrays, KernelCall, Operator


def _of_codes(base: Operator) -> Operator:
    """`base` with respect to codes: the scale of x is left to the unit."""

    def evaluate(attrs: Any, arrays: Arrays) -> Arrays:
        return base.evaluate(replace(attrs, x=replace(attrs.x, scales=(1.0,))), arrays)

    return replace(base, evaluate=evaluate)


def _conv_call(node: Node, dy: Block, dw: Block) -> Sequence[KernelCall]:
    x, attrs = node.inputs[0], node.attrs
    assert isinstance(attrs, ConvOfCodesWeightGradientAttrs)
    groups = x.shape[-1] if node.op.startswith("depthwise") else attrs.conv.groups
    return codes_call(
        f"mg_block_{node.op}_{dy.codes.dtype.value}", attrs.conv.window(attrs.kernel), x.shape, dy.codes.shape[-1],
        groups, attrs.x, x, group(dy), group(dw),
    )  # fmt: skip


def _rows_call(node: Node, dy: Block, dw: Block) -> Sequence[KernelCall]:
    assert isinstance(node.attrs, OfCodesAttrs)
    function = f"mg_block_conv_of_codes_weight_gradient_{dy.codes.dtype.value}"
    return rows_call(function, node.inputs[0], dy.codes.shape[-1], node.attrs.x, group(dy), group(dw))


def _down_call(node: Node, dy: Block, dw: Block) -> Sequence[KernelCall]:
    down, outputs = node.inputs[0], dy.codes.shape[-1]
    function = f"mg_block_down_weight_gradient_{dy.codes.dtype.value}"
    return linear_kernel_call(function, rows(down.shape), down.shape[-1], outputs, down, group(dy), group(dw))


def _bias_call(node: Node, dy: Block, db: Block) -> Sequence[KernelCall]:
    function = f"mg_block_linear_bias_gradient_{dy.codes.dtype.value}"
    shape = dy.codes.shape
    return linear_kernel_call(function, rows(shape), 0, shape[-1], group(dy), group(db))


def _rows_cost(cost: CostRule, row: float) -> CostRule:
    """row: instructions for each row of positions at each weight, whose sum is int32 and then added in int64."""

    def rule(node: Node, macs: float) -> float:
        positions = node.inputs[1].shape[1:-1]
        return cost(node, macs) + row * node.outputs[0].type.size * (positions[0] if len(positions) == 2 else 1)

    return rule


BLOCK_CONV_OF_CODES_WEIGHT_GRADIENT = contraction(
    _of_codes(CONV_OF_CODES_WEIGHT_GRADIENT),
    _conv_call,
    gradient=1,
    cost=_rows_cost(window_cost(Cost(mac=3.15, output=49)), row=15),
)
BLOCK_DEPTHWISE_CONV_OF_CODES_WEIGHT_GRADIENT = contraction(
    _of_codes(DEPTHWISE_CONV_OF_CODES_WEIGHT_GRADIENT),
    _conv_call,
    gradient=1,
    cost=window_cost(Cost(mac=8.5, output=90)),
)
BLOCK_LINEAR_OF_CODES_WEIGHT_GRADIENT = contraction(
    _of_codes(LINEAR_OF_CODES_WEIGHT_GRADIENT), _rows_call, gradient=1, cost=Cost(mac=3.9, output=90)
)
BLOCK_DOWN_WEIGHT_GRADIENT = contraction(DOWN_WEIGHT_GRADIENT, _down_call, gradient=1, cost=Cost(mac=17))
BLOCK_LINEAR_BIAS_GRADIENT = contraction(LINEAR_BIAS_GRADIENT, _bias_call, cost=Cost(output=30, input=6))
