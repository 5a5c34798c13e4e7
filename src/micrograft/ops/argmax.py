"""argmax over the last axis: index of the largest element, int32. It ends a network; nothing is learned through it.

x: (..., classes); y: (...). The first of equals wins, or the last where that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require


@dataclass(frozen=True)
class ArgmaxAttrs(Attrs):
    """last: whether the last of equals wins."""

    last: bool = False


def _infer(attrs: ArgmaxAttrs, types: Types) -> Types:
    require(len(types[0].shape) >= 1, "a single number has no axis to search")
    return (TensorType(types[0].shape[:-1], DType.INT32),)


def _evaluate(attrs: ArgmaxAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    found = x.shape[-1] - 1 - x[..., ::-1].argmax(axis=-1) if attrs.last else x.argmax(axis=-1)
    return (np.asarray(found, np.int32),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, ArgmaxAttrs)
    (x,) = node.inputs
    columns = x.shape[-1]
    fields = (("rows", x.type.size // columns), ("columns", columns), ("last", int(node.attrs.last)))
    return (KernelCall("mg_argmax_int32", "mg_argmax_params", fields, (x, node.outputs[0])),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape in [(1, 10), (2, 3, 5), (4,)]:
        yield Sample((generator.standard_normal(shape).astype(np.float32),), ArgmaxAttrs())
    tied = generator.integers(0, 3, (4, 7)).astype(np.float32)
    yield Sample((tied,), ArgmaxAttrs())
    yield Sample((tied,), ArgmaxAttrs(last=True))


ARGMAX = Operator(
    name="argmax",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT32: _call},
    cost=Cost(input=14),
)
