"""erf: the error function; its derivative is (2/√π)·e^(−x²), so the backward pass keeps the input."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import Array, DType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Backward, Gradients, KernelCall, KernelRule, Operator, Sample
from micrograft.ops.sigmoid import infer_from_output

_SLOPE = 2 / math.sqrt(math.pi)
_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(x: Array) -> Array:
    """erf(x) in the precision of x."""
    return np.asarray(_erf(x.astype(np.float64)), x.dtype)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("erf_gradient", dy, node.inputs[0]),)


def _kernel(function: str) -> KernelRule:
    def call(node: Node) -> tuple[KernelCall, ...]:
        pointers = (*node.inputs, *node.outputs)
        return (KernelCall(function, "mg_elements_params", (("size", node.outputs[0].type.size),), pointers),)

    return call


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    yield Sample((generator.uniform(-4.5, 4.5, (1, 41)).astype(np.float32),))
    yield Sample((generator.uniform(-0.5, 0.5, (1, 2, 3, 4)).astype(np.float32),))


ERF = Operator(
    name="erf",
    inputs=("x",),
    infer=lambda attrs, types: types,
    evaluate=lambda attrs, arrays: (erf(arrays[0]),),
    samples=_samples,
    kernels={DType.FLOAT32: _kernel("mg_erf_float32")},
    gradient=_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=51),
)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for sample in _samples():
        (x,) = sample.inputs
        yield Sample((generator.standard_normal(x.shape).astype(np.float32), x))


ERF_GRADIENT = Operator(
    name="erf_gradient",
    inputs=("dy", "x"),
    infer=infer_from_output,
    evaluate=lambda attrs, arrays: (np.asarray(arrays[0] * _SLOPE * np.exp(-(arrays[1] ** 2)), arrays[0].dtype),),
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _kernel("mg_erf_gradient_float32")},
    inplace=((0, 0), (0, 1)),
    cost=Cost(output=64),
)
