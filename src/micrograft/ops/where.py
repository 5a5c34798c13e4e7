"""where: a where the condition is true, else b, with NumPy's broadcasting. Truth is a float32, 1 or 0.

The backward pass keeps the condition: da = dy · condition, db = dy − da.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Shape, TensorType
from micrograft.ops.arithmetic import sum_back
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    Operator,
    Sample,
    ShapeError,
    Types,
    require,
)
from micrograft.ops.strides import MAX_RANK, broadcast_shape, stretched, walk


def _infer(attrs: Attrs, types: Types) -> Types:
    shape = broadcast_shape(*(each.shape for each in types))
    if shape is None or {each.dtype for each in types} != {types[0].dtype}:
        raise ShapeError(f"{', '.join(map(str, types))} do not go together")
    require(len(shape) <= MAX_RANK, f"{shape} has more than {MAX_RANK} axes")
    return (TensorType(shape, types[0].dtype),)


def _evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
    condition, a, b = arrays
    return (np.where(condition != 0, a, b),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    condition, a, b = node.inputs
    (dy,) = gradients
    assert dy is not None
    passed = backward.emit("mul", dy, condition)
    da = sum_back(backward, passed, a.shape) if backward.needs(a) else None
    if not backward.needs(b):
        return None, da, None
    return None, da, sum_back(backward, backward.emit("sub", dy, passed), b.shape)


def _call(node: Node) -> tuple[KernelCall, ...]:
    y = node.outputs[0]
    way = walk(y.shape, *(stretched(each.shape, y.shape) for each in node.inputs))
    condition, a, b = way.strides
    fields = (
        ("rows", way.rows),
        ("columns", way.columns),
        ("shape", way.shape),
        ("condition_step", condition.step),
        ("a_step", a.step),
        ("b_step", b.step),
        ("condition_jump", condition.jumps),
        ("a_jump", a.jumps),
        ("b_jump", b.jumps),
    )
    return (KernelCall("mg_where_float32", "mg_where_params", fields, (*node.inputs, y)),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    cases: list[tuple[Shape, Shape, Shape]] = [
        ((1, 7), (1, 7), (1, 7)),
        ((4, 5), (1, 3, 4, 5), ()),
        ((1, 3, 4, 5), (5,), (4, 1)),
        ((3, 1), (1, 5), (2, 1, 1)),
    ]
    for condition, a, b in cases:
        chosen = (generator.random(condition) < 0.5).astype(np.float32)
        arrays = (np.asarray(generator.standard_normal(shape), np.float32) for shape in (a, b))
        yield Sample((chosen, *arrays), differentiable=(1, 2))


WHERE = Operator(
    name="where",
    inputs=("condition", "a", "b"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    inplace=((0, 0), (0, 1), (0, 2)),
    elementwise=True,
    cost=Cost(output=21),
)
