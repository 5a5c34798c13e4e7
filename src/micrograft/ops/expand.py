"""expand: a tensor stretched along axes of one, as NumPy broadcasts. Its gradient is the sum back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ops.arithmetic import ExpandAttrs, SumToAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.moving import each_type, for_all_moved, moved_in_blocks, moving
from micrograft.ops.operator import Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.strides import MAX_RANK, broadcast_shape, stretched, walk


def _infer(attrs: ExpandAttrs, types: Types) -> Types:
    (x,) = types
    require(broadcast_shape(x.shape, attrs.shape) == attrs.shape, f"{x.shape} does not stretch to {attrs.shape}")
    require(len(attrs.shape) <= MAX_RANK, f"{attrs.shape} has more than {MAX_RANK} axes")
    return (replace(x, shape=attrs.shape),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("sum_to", dy, attrs=SumToAttrs(node.inputs[0].shape)),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    """A stretched axis is one whose stride is zero."""
    x, y = node.inputs[0], node.outputs[0]
    way = walk(y.shape, stretched(x.shape, y.shape))
    (stride,) = way.strides
    fields = (
        ("rows", way.rows),
        ("columns", way.columns),
        ("shape", way.shape),
        ("x_step", stride.step),
        ("x_jump", stride.jumps),
    )
    return (KernelCall(moving("transpose", x), "mg_transpose_params", fields, (x, y)),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, to in [
        ((5,), (2, 3, 5)), ((1, 4, 1, 6), (1, 4, 3, 6)), ((2, 1, 1), (2, 3, 5)), ((1,), (2, 9)), ((), (3, 2)),
        ((1, 3, 1, 2, 1), (2, 3, 4, 2, 3)), ((2, 3), (2, 3)),
    ]:  # fmt: skip
        yield Sample((generator.standard_normal(shape).astype(np.float32),), ExpandAttrs(to))


EXPAND = Operator(
    name="expand",
    inputs=("x",),
    infer=_infer,
    evaluate=lambda attrs, arrays: (np.broadcast_to(arrays[0], attrs.shape),),
    samples=each_type(_samples),
    kernels=for_all_moved(_call),
    gradient=_gradient,
    in_blocks=moved_in_blocks,
    cost=Cost(output=11),
)
