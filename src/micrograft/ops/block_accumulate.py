"""block_accumulate: total ← a·total + b·factor·added, of gradients in integers over steps: momentum, and accumulation.

total: int16 codes and their scale, states that outlive the step; added: a gradient as a block, int16 or int8, in the
same unit; factor: float32 of shape (), that of clipping, of which 16 bits of the significand are read and with which
no float is computed. a and b are `short_factor`s.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Block, Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.block import EXPONENT, BlockAddAttrs, check_block, group, scanned, short_factor
from micrograft.ops.block_elements import sum_of_blocks
from micrograft.ops.block_update import pace
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require


def _infer(attrs: BlockAddAttrs, types: Types) -> Types:
    total, total_scale, added, added_scale, *factor = types
    check_block(total, total_scale)
    check_block(added, added_scale)
    require(total == TensorType(added.shape, DType.INT16), f"{added} cannot be added to {total}")
    require(all(each == TensorType(()) for each in factor), "the factor is not float32()")
    return total, total_scale


def _evaluate(attrs: BlockAddAttrs, arrays: Arrays) -> Arrays:
    total, total_scale, added, added_scale, *factor = arrays
    multiplier, shift = attrs.b
    for each in factor:
        significand, exponent = pace(each)
        multiplier, shift = multiplier * significand >> 16, shift + exponent + 16
    parts = (total, int(total_scale[EXPONENT]), attrs.a), (added, int(added_scale[EXPONENT]), (multiplier, shift))
    return scanned(*sum_of_blocks(*parts), DType.INT16)


def _call(node: Node) -> tuple[KernelCall, ...]:
    total, total_scale, added, added_scale, *factor = node.inputs
    assert isinstance(node.attrs, BlockAddAttrs)
    fields = (("size", total.type.size), ("a", node.attrs.a), ("b", node.attrs.b))
    blocks = group(Block(total, total_scale, 1.0)), group(Block(added, added_scale, 1.0))
    pointers = (*blocks, factor[0] if factor else None)
    return (KernelCall(f"mg_block_accumulate_{added.dtype.value}", "mg_block_add_params", fields, pointers),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(8)
    for index in range(10):
        total = (generator.standard_normal((3, 7)) * 9000).clip(-32767, 32767).astype(np.int16)
        wide = (generator.standard_normal((3, 7)) * 9000).clip(-32767, 32767).astype(np.int16)
        added = wide if index % 2 else (wide >> 8).astype(np.int8)
        total = total * np.int16(index % 5 != 3)
        added = added * added.dtype.type(index % 5 != 4)
        scales = [np.array([3, exponent], np.int32) for exponent in ((-9, -12, 40, -60, 0)[index % 5], -10 + index)]
        factor = (np.array(0.37 / (index + 1), np.float32),) if index > 4 else ()
        attrs = BlockAddAttrs(short_factor((0.9, 1.0)[index % 2]), short_factor((1.0, 0.25)[index % 2]))
        yield Sample((total, scales[0], added, scales[1], *factor), attrs, differentiable=())


BLOCK_ACCUMULATE = Operator(
    name="block_accumulate",
    inputs=("total", "total_scale", "added", "added_scale", "factor?"),
    outputs=("total", "total_scale"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT16: _call},
    mutates=((0, 0), (1, 1)),
    macs=lambda node: 2 * node.inputs[0].type.size,
    cost=Cost(output=67),
)
