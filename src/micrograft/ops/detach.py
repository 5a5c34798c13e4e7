"""detach: the output is the input, and no gradient goes back. Not a function of its elements that others may fuse."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ops.operator import Arrays, Backward, Gradients, Operator, Sample, Types


def _infer(attrs: Attrs, types: Types) -> Types:
    return types


def _evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
    return tuple(arrays)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    return (None,)


def _samples() -> Iterator[Sample]:
    yield Sample((np.arange(6, dtype=np.float32).reshape(1, 6),), differentiable=())


DETACH = Operator(
    name="detach",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={},
    gradient=_gradient,
    view=True,
)
