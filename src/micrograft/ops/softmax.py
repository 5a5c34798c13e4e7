"""softmax over the last axis. Its gradient is computed from the output: dx = y · (dy − Σ dy·y)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    KernelRule,
    Operator,
    Sample,
    Types,
    require,
)
from micrograft.ops.sigmoid import infer_from_output


def softmax(x: Array) -> Array:
    """eˣ / Σ eˣ over the last axis, without an overflow."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _infer(attrs: Attrs, types: Types) -> Types:
    require(len(types[0].shape) >= 1, "a single number has no axis to normalise over")
    return types


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("softmax_gradient", dy, node.outputs[0]),)


def _evaluate_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    dy, y = arrays
    return (y * (dy - (dy * y).sum(axis=-1, keepdims=True)),)


def _kernel(function: str) -> KernelRule:
    def call(node: Node) -> tuple[KernelCall, ...]:
        y = node.outputs[0]
        columns = y.shape[-1]
        fields = (("rows", y.type.size // columns), ("columns", columns))
        return (KernelCall(function, "mg_softmax_params", fields, (*node.inputs, *node.outputs)),)

    return call


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, size in [((1, 10), 3.0), ((2, 3, 5), 3.0), ((1, 4), 60.0), ((3, 1), 1.0)]:
        yield Sample((generator.uniform(-size, size, shape).astype(np.float32),))


SOFTMAX = Operator(
    name="softmax",
    inputs=("x",),
    infer=_infer,
    evaluate=lambda attrs, arrays: (softmax(arrays[0]),),
    samples=_samples,
    kernels={DType.FLOAT32: _kernel("mg_softmax_float32")},
    gradient=_gradient,
    inplace=((0, 0),),
    cost=Cost(output=75),
)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape in [(1, 10), (2, 3, 5)]:
        y = softmax(generator.standard_normal(shape))
        yield Sample((generator.standard_normal(shape).astype(np.float32), y.astype(np.float32)))


SOFTMAX_GRADIENT = Operator(
    name="softmax_gradient",
    inputs=("dy", "y"),
    infer=infer_from_output,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _kernel("mg_softmax_gradient_float32")},
    inplace=((0, 0), (0, 1)),
    cost=Cost(output=22),
)
