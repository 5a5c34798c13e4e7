"""maximum and minimum of two tensors, with NumPy's broadcasting. Where both are equal each gets half the gradient.

The backward pass keeps two bits per element: whether a, and whether b, is the one chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, TensorType
from micrograft.ops.arithmetic import MUL, SHAPES, sum_back
from micrograft.ops.broadcast import broadcast_kernel
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require


def _infer(attrs: Attrs, types: Types) -> Types:
    (y,) = MUL.infer(attrs, types)
    require(types[0].quant == types[1].quant, f"the codes of {types[0]} and {types[1]} mean different numbers")
    y = replace(y, quant=types[0].quant)
    bits = TensorType(y.shape, DType.BIT)
    return y, bits, bits


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    a, b = node.inputs
    dy = gradients[0]
    assert dy is not None
    left, right = backward.keep(node, "left"), backward.keep(node, "right")
    da = backward.emit("share_gradient", dy, left, right) if backward.needs(a) else None
    db = backward.emit("share_gradient", dy, right, left) if backward.needs(b) else None
    return (
        da and sum_back(backward, da, a.shape),
        db and sum_back(backward, db, b.shape),
    )


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for left, right in SHAPES:
        a = np.asarray(generator.standard_normal(left), np.float32)
        yield Sample((a, np.asarray(generator.standard_normal(right), np.float32)))
        yield Sample(tuple(np.asarray(generator.integers(-128, 128, each), np.int8) for each in (left, right)))
    tied = generator.integers(0, 3, (2, 4, 5)).astype(np.float32)
    yield Sample((tied[0], tied[1]), differentiable=())


def _choice(name: str, choose: Callable[[Array, Array], Array], wins: Callable[[Array, Array], Array]) -> Operator:
    def evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
        a, b = arrays
        return choose(a, b), wins(a, b), wins(b, a)

    return Operator(
        name=name,
        inputs=("a", "b"),
        outputs=("y", "left", "right"),
        infer=_infer,
        evaluate=evaluate,
        samples=_samples,
        kernels=dict.fromkeys((DType.FLOAT32, DType.INT8), broadcast_kernel(f"mg_{name}", optional=2)),
        gradient=_gradient,
        inplace=((0, 0), (0, 1)),
        elementwise=True,
        cost=Cost(output=28, optional=8),
    )


MAXIMUM = _choice("maximum", np.maximum, np.greater_equal)
MINIMUM = _choice("minimum", np.minimum, np.less_equal)


def _infer_share(attrs: Attrs, types: Types) -> Types:
    dy, own, other = types
    require(dy.size == own.size == other.size, "the bits do not match the gradient")
    return (dy,)


def _evaluate_share(attrs: Attrs, arrays: Arrays) -> Arrays:
    dy, own, other = arrays
    return (np.where(own, np.where(other, dy / 2, dy), 0).astype(dy.dtype),)


def _share_call(node: Node) -> tuple[KernelCall, ...]:
    fields = (("size", node.outputs[0].type.size),)
    return (KernelCall("mg_share_gradient_float32", "mg_elements_params", fields, (*node.inputs, *node.outputs)),)


def _share_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape in [(1, 7), (2, 3, 11)]:
        own, other = generator.random((2, *shape)) < 0.6
        yield Sample((generator.standard_normal(shape).astype(np.float32), own, other))


SHARE_GRADIENT = Operator(
    name="share_gradient",
    inputs=("dy", "own", "other"),
    infer=_infer_share,
    evaluate=_evaluate_share,
    samples=_share_samples,
    kernels={DType.FLOAT32: _share_call},
    inplace=((0, 0),),
    cost=Cost(output=15),
)
