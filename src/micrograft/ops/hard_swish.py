"""hard_swish: y = x · min(max(x + 3, 0), 6) / 6. The backward pass keeps x: y does not tell it apart below −3/2."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, Operator, Sample
from micrograft.ops.pointwise import elements_kernel
from micrograft.ops.sigmoid import infer_from_output


def _evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    return (x * np.clip(x + 3, 0, 6) / 6,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("hard_swish_gradient", dy, node.inputs[0]),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape in [(1, 13), (2, 3, 5)]:
        x = generator.uniform(-5, 5, shape)
        x[np.abs(np.abs(x) - 3) < 0.05] = 1.0  # finite differences are meaningless at a corner
        yield Sample((x.astype(np.float32),))


HARD_SWISH = Operator(
    name="hard_swish",
    inputs=("x",),
    infer=lambda attrs, types: types,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: elements_kernel("mg_hard_swish_float32")},
    gradient=_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=16),
)


def _evaluate_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    dy, x = arrays
    return (dy * np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)).astype(dy.dtype),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for sample in _samples():
        (x,) = sample.inputs
        yield Sample((generator.standard_normal(x.shape).astype(np.float32), x))


HARD_SWISH_GRADIENT = Operator(
    name="hard_swish_gradient",
    inputs=("dy", "x"),
    infer=infer_from_output,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: elements_kernel("mg_hard_swish_gradient_float32")},
    inplace=((0, 0), (0, 1)),
    cost=Cost(output=18),
)
