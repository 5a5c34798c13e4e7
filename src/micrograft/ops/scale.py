"""scale: y = factor · x with a factor that is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import DType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Blocks, Gradients, KernelCall, Operator, Sample


@dataclass(frozen=True)
class ScaleAttrs(Attrs):
    """factor: what each element is multiplied by."""

    factor: float


def _evaluate(attrs: ScaleAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    return (x * x.dtype.type(attrs.factor),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("scale", dy, attrs=node.attrs),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, ScaleAttrs)
    fields = (("size", node.outputs[0].type.size), ("factor", float(node.attrs.factor)))
    return (KernelCall("mg_scale_float32", "mg_scale_params", fields, (node.inputs[0], node.outputs[0])),)


def _samples() -> Iterator[Sample]:
    x = np.random.default_rng(1).standard_normal((1, 3, 5)).astype(np.float32)
    yield Sample((x,), ScaleAttrs(0.3))
    yield Sample((x,), ScaleAttrs(-1.0))


def _in_blocks(blocks: Blocks, node: Node) -> Block | None:
    """The unit takes the factor: it costs nothing."""
    dy = blocks.known(node.inputs[0])
    assert isinstance(node.attrs, ScaleAttrs)
    return None if dy is None else replace(dy, unit=dy.unit * node.attrs.factor)


SCALE = Operator(
    name="scale",
    inputs=("x",),
    infer=lambda attrs, types: types,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    in_blocks=_in_blocks,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=8),
)
