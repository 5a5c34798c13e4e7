"""add_bias: y = x + bias over the last axis; the second bias of a recurrent layer, which its input's layer has no
place for. x: (..., C); bias: (C,)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType
from micrograft.ops.broadcast import broadcast_kernel
from micrograft.ops.cost import Cost
from micrograft.ops.linear import bias_gradient
from micrograft.ops.operator import Backward, Gradients, Operator, Sample, Types, require


def _infer(attrs: Attrs, types: Types) -> Types:
    x, bias = types
    require(bias.shape == x.shape[-1:], f"a bias of {bias.shape} does not match {x.shape}")
    return (x,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return dy, bias_gradient(backward, node.inputs[1], dy)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape in [(1, 5), (1, 4, 6), (1, 2, 3, 4)]:
        arrays = generator.standard_normal(shape), generator.standard_normal(shape[-1:])
        yield Sample(tuple(array.astype(np.float32) for array in arrays))


ADD_BIAS = Operator(
    name="add_bias",
    inputs=("x", "bias"),
    infer=_infer,
    evaluate=lambda attrs, arrays: (arrays[0] + arrays[1],),
    samples=_samples,
    kernels={DType.FLOAT32: broadcast_kernel("mg_add")},
    gradient=_gradient,
    inplace=((0, 0),),
    cost=Cost(output=8.5),
)
