"""greater, greater_equal and equal: truth as a float32, 1 or 0, with NumPy's broadcasting. No gradient passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType
from micrograft.ops.arithmetic import MUL, SHAPES
from micrograft.ops.broadcast import broadcast_kernel
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, Operator, Sample


def _no_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    return None, None


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for left, right in SHAPES:
        arrays = (np.asarray(generator.integers(-2, 3, shape), np.float32) for shape in (left, right))
        yield Sample(tuple(arrays), differentiable=())


def _comparison(name: str, compare: Callable[[Array, Array], Array]) -> Operator:
    def evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
        a, b = arrays
        return (compare(a, b).astype(a.dtype),)

    return Operator(
        name=name,
        inputs=("a", "b"),
        infer=MUL.infer,
        evaluate=evaluate,
        samples=_samples,
        kernels={DType.FLOAT32: broadcast_kernel(f"mg_{name}")},
        gradient=_no_gradient,
        inplace=((0, 0), (0, 1)),
        elementwise=True,
        cost=Cost(output=18),
    )


GREATER = _comparison("greater", np.greater)
GREATER_EQUAL = _comparison("greater_equal", np.greater_equal)
EQUAL = _comparison("equal", np.equal)
