"""carry: the state that goes from one step of a recurrent layer to the next where its steps are nodes of their own.

The output is the input. The gradient goes the other way unless `truncate` cuts it there, as in `ops/recurrent.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ops.operator import Backward, Gradients, Operator, Sample, Types


@dataclass(frozen=True)
class CarryAttrs(Attrs):
    """step: that the state goes into, from 1 on. truncate: as in `RecurrentAttrs`."""

    step: int
    truncate: int = 0


def _infer(attrs: CarryAttrs, types: Types) -> Types:
    return types


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    assert isinstance(node.attrs, CarryAttrs)
    cut = node.attrs.truncate and node.attrs.step % node.attrs.truncate == 0
    return (None if cut else gradients[0],)


def _samples() -> Iterator[Sample]:
    x = np.arange(6, dtype=np.float32).reshape(1, 6)
    yield Sample((x,), CarryAttrs(3))
    yield Sample((x,), CarryAttrs(3, truncate=2))
    yield Sample((x,), CarryAttrs(4, truncate=2), differentiable=())


CARRY = Operator(
    name="carry",
    inputs=("x",),
    infer=_infer,
    evaluate=lambda attrs, arrays: tuple(arrays),
    samples=_samples,
    kernels={},
    gradient=_gradient,
    view=True,
)
