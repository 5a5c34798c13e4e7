"""sigmoid and tanh: their derivatives are functions of the output, so the backward pass keeps that alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def logistic(x: Array) -> Array:
    """1 / (1 + e⁻ˣ) without an overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, small, 1) / (1 + small), x.dtype)


def _kernel(function: str) -> KernelRule:
    def call(node: Node) -> tuple[KernelCall, ...]:
        pointers = (*node.inputs, *node.outputs)
        return (KernelCall(function, "mg_elements_params", (("size", node.outputs[0].type.size),), pointers),)

    return call


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    yield Sample((generator.uniform(-6, 6, (1, 41)).astype(np.float32),))
    yield Sample((generator.uniform(-0.5, 0.5, (1, 2, 3, 4)).astype(np.float32),))
    yield Sample((np.array([[-120, -30, 0, 30, 120]], np.float32),))


def _smooth(name: str, kernel: str, evaluate: Callable[[Array], Array], output: float) -> Operator:
    def gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
        (dy,) = gradients
        assert dy is not None
        return (backward.emit(f"{name}_gradient", dy, node.outputs[0]),)

    return Operator(
        name=name,
        inputs=("x",),
        infer=lambda attrs, types: types,
        evaluate=lambda attrs, arrays: (evaluate(arrays[0]),),
        samples=_samples,
        kernels={DType.FLOAT32: _kernel(kernel)},
        gradient=gradient,
        inplace=((0, 0),),
        elementwise=True,
        cost=Cost(output=output),
    )


SIGMOID = _smooth("sigmoid", "mg_sigmoid_float32", logistic, 61)
TANH = _smooth("tanh", "mg_tanh_float32", np.tanh, 62)


def infer_from_output(attrs: Attrs, types: Types) -> Types:
    """Shape rule of a gradient node that reads dy and y."""
    dy, y = types
    require(dy == y, "the gradient does not match the output")
    return (dy,)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape in [(1, 7), (2, 3, 5)]:
        arrays = (generator.standard_normal(shape), generator.uniform(0, 1, shape))
        yield Sample(tuple(array.astype(np.float32) for array in arrays))


def _from_output(name: str, evaluate: Callable[[Arrays], Array]) -> Operator:
    return Operator(
        name=name,
        inputs=("dy", "y"),
        infer=infer_from_output,
        evaluate=lambda attrs, arrays: (evaluate(arrays),),
        samples=_gradient_samples,
        kernels={DType.FLOAT32: _kernel(f"mg_{name}_float32")},
        inplace=((0, 0), (0, 1)),
        cost=Cost(output=11.5),
    )


SIGMOID_GRADIENT = _from_output("sigmoid_gradient", lambda arrays: arrays[0] * arrays[1] * (1 - arrays[1]))
TANH_GRADIENT = _from_output("tanh_gradient", lambda arrays: arrays[0] * (1 - arrays[1] ** 2))
