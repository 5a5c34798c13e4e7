"""transpose: the same elements with the axes in another order; its gradient is the transpose back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ops.cost import Cost
from micrograft.ops.moving import each_type, for_all_moved, moved_in_blocks, moving
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.strides import MAX_RANK, contiguous, merged, walk


@dataclass(frozen=True)
class TransposeAttrs(Attrs):
    """permutation: axis `permutation[i]` of the input becomes axis i of the output, as in NumPy."""

    permutation: tuple[int, ...]


def _infer(attrs: TransposeAttrs, types: Types) -> Types:
    (x,) = types
    rank = len(x.shape)
    require(
        sorted(attrs.permutation) == list(range(rank)),
        f"{attrs.permutation} is no order of the axes of {x.shape}",
    )
    shape, strides = tuple(x.shape[axis] for axis in attrs.permutation), contiguous(x.shape)
    axes = merged(shape, [strides[axis] for axis in attrs.permutation])
    require(len(axes) <= MAX_RANK, f"{x.shape} has more than {MAX_RANK} axes that move")
    return (replace(x, shape=shape),)


def _evaluate(attrs: TransposeAttrs, arrays: Arrays) -> Arrays:
    return (np.ascontiguousarray(arrays[0].transpose(attrs.permutation)),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, TransposeAttrs)
    back = tuple(int(axis) for axis in np.argsort(node.attrs.permutation))
    return (backward.emit("transpose", dy, attrs=TransposeAttrs(back)),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, TransposeAttrs)
    x, y = node.inputs[0], node.outputs[0]
    strides = contiguous(x.shape)
    way = walk(y.shape, [strides[axis] for axis in node.attrs.permutation])
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
    for shape, permutation in [
        ((3, 5), (1, 0)),
        ((1, 4, 5, 3), (0, 3, 1, 2)),
        ((1, 3, 4, 5), (0, 2, 3, 1)),
        ((2, 3, 4, 2, 3), (4, 2, 0, 3, 1)),
        ((2, 1, 3), (1, 0, 2)),
        ((1, 1), (1, 0)),
        ((1, 2, 2, 3, 2, 4), (0, 1, 4, 2, 5, 3)),
    ]:
        yield Sample((generator.standard_normal(shape).astype(np.float32),), TransposeAttrs(permutation))


TRANSPOSE = Operator(
    name="transpose",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=each_type(_samples),
    kernels=for_all_moved(_call),
    gradient=_gradient,
    in_blocks=moved_in_blocks,
    cost=Cost(output=8),
)
