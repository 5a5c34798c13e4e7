"""div: a / b with NumPy's broadcasting. Both gradients come from one quotient: da = dy / b, db = −da · y."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import DType
from micrograft.ops.arithmetic import MUL, SHAPES, SumToAttrs, sum_back
from micrograft.ops.broadcast import broadcast_kernel
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Backward, Gradients, Operator, Sample
from micrograft.ops.scale import ScaleAttrs


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    a, b = node.inputs
    (dy,) = gradients
    assert dy is not None
    quotient = backward.emit("div", dy, b)
    da = sum_back(backward, quotient, a.shape) if backward.needs(a) else None
    if not backward.needs(b):
        return da, None
    if dy.type.size == b.type.size:
        product = sum_back(backward, backward.emit("mul", quotient, node.outputs[0]), b.shape)
    else:
        product = backward.emit("mul_sum_to", quotient, node.outputs[0], attrs=SumToAttrs(b.shape))
    return da, backward.emit("scale", product, attrs=ScaleAttrs(-1.0))


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for left, right in SHAPES:
        a = np.asarray(generator.standard_normal(left), np.float32)
        b = np.asarray(generator.uniform(0.4, 3, right) * generator.choice([-1, 1], right), np.float32)
        yield Sample((a, b))


DIV = Operator(
    name="div",
    inputs=("a", "b"),
    infer=MUL.infer,
    evaluate=lambda attrs, arrays: (np.divide(*arrays),),
    samples=_samples,
    kernels={DType.FLOAT32: broadcast_kernel("mg_div")},
    gradient=_gradient,
    inplace=((0, 0), (0, 1)),
    elementwise=True,
    cost=Cost(output=16),
)
