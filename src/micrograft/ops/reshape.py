"""reshape: the same elements in the same order under another shape. It is a view and costs nothing.

Flatten, squeeze, unsqueeze and transposes that move only axes of length one all become this.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Shape
from micrograft.ops.operator import Arrays, Backward, Blocks, Gradients, Operator, Sample, Types, require


@dataclass(frozen=True)
class ReshapeAttrs(Attrs):
    """shape: of the output."""

    shape: Shape


def _infer(attrs: ReshapeAttrs, types: Types) -> Types:
    require(
        math.prod(attrs.shape) == types[0].size,
        f"{types[0].shape} does not have as many elements as {attrs.shape}",
    )
    return (replace(types[0], shape=attrs.shape),)


def _evaluate(attrs: ReshapeAttrs, arrays: Arrays) -> Arrays:
    return (arrays[0].reshape(attrs.shape),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("reshape", dy, attrs=ReshapeAttrs(node.inputs[0].shape)),)


def _in_blocks(blocks: Blocks, node: Node) -> Block | None:
    dy = blocks.known(node.inputs[0])
    return None if dy is None else replace(dy, codes=blocks.emit("reshape", dy.codes, attrs=node.attrs))


def _samples() -> Iterator[Sample]:
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    yield Sample((x,), ReshapeAttrs((1, 24)))
    yield Sample((x,), ReshapeAttrs((6, 4)))


RESHAPE = Operator(
    name="reshape",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={},
    gradient=_gradient,
    in_blocks=_in_blocks,
    view=True,
)
