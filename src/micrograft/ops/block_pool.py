"""Gradients of pools, in integers (`block`). What a mean divides by is left to the unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ops.average_pool import AVERAGE_POOL_GRADIENT, AveragePoolGradientAttrs, average_pool_call, divisor
from micrograft.ops.block import contraction, group
from micrograft.ops.cost import Cost
from micrograft.ops.global_average_pool import GLOBAL_AVERAGE_POOL_GRADIENT, GlobalAveragePoolGradientAttrs, whole
from micrograft.ops.max_pool import MAX_POOL_GRADIENT, max_pool_gradient_call
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample
from micrograft.ops.window import pool_cost


def _divisor(attrs: Attrs) -> int | None:
    if isinstance(attrs, GlobalAveragePoolGradientAttrs):
        return attrs.divisor
    assert isinstance(attrs, AveragePoolGradientAttrs)
    return divisor(attrs)


def _sums(base: Operator) -> Operator:
    """The gradient of the pool that sums instead, where all windows are divided alike."""

    def evaluate(attrs: Any, arrays: Arrays) -> Arrays:
        (dx,) = base.evaluate(attrs, arrays)
        return (dx * _divisor(attrs),)

    def samples() -> list[Sample]:
        return [sample for sample in base.samples() if _divisor(sample.attrs) is not None]

    return replace(base, evaluate=evaluate, samples=samples)


def _average_call(node: Node, dy: Block, dx: Block) -> Sequence[KernelCall]:
    attrs = node.attrs
    assert isinstance(attrs, (AveragePoolGradientAttrs, GlobalAveragePoolGradientAttrs))
    pool = attrs.pool if isinstance(attrs, AveragePoolGradientAttrs) else whole(attrs.input_shape)
    function = f"mg_block_average_pool_gradient_{dy.codes.dtype.value}"
    return average_pool_call(function, pool, attrs.input_shape, group(dy), group(dx))


def _max_call(node: Node, dy: Block, dx: Block) -> Sequence[KernelCall]:
    function = f"mg_block_max_pool_gradient_{dy.codes.dtype.value}"
    return max_pool_gradient_call(function, node.attrs, group(dy), node.inputs[1], group(dx))


BLOCK_AVERAGE_POOL_GRADIENT = contraction(
    _sums(AVERAGE_POOL_GRADIENT), _average_call, cost=pool_cost(Cost(mac=43, output=9))
)
BLOCK_GLOBAL_AVERAGE_POOL_GRADIENT = contraction(
    _sums(GLOBAL_AVERAGE_POOL_GRADIENT), _average_call, cost=Cost(output=60)
)
BLOCK_MAX_POOL_GRADIENT = contraction(MAX_POOL_GRADIENT, _max_call, cost=pool_cost(Cost(mac=123, output=21)))
