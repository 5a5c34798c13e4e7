"""exp, log, sqrt, abs, reciprocal and softplus: functions of one element, differentiated from the output where it does.

abs keeps its input, since its derivative at zero is zero, as in PyTorch; softplus' derivative is 1 − e⁻ʸ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Value
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    Backward,
    GradientRule,
    Gradients,
    KernelCall,
    KernelRule,
    Operator,
    Sample,
)
from micrograft.ops.scale import ScaleAttrs
from micrograft.ops.sigmoid import infer_from_output


def elements_kernel(function: str) -> KernelRule:
    """Calls a kernel over elements with all inputs and outputs."""

    def call(node: Node) -> tuple[KernelCall, ...]:
        fields = (("size", node.outputs[0].type.size),)
        return (KernelCall(function, "mg_elements_params", fields, (*node.inputs, *node.outputs)),)

    return call


def _rule(derive: Callable[[Backward, Value, Value, Value], Value]) -> GradientRule:
    """A gradient rule from what makes dx of dy, x and y."""

    def gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
        (dy,) = gradients
        assert dy is not None
        return (derive(backward, dy, node.inputs[0], node.outputs[0]),)

    return gradient


def _samples_between(low: float, high: float) -> Callable[[], Iterator[Sample]]:
    def samples() -> Iterator[Sample]:
        generator = np.random.default_rng(1)
        for shape in [(1, 9), (2, 3, 5)]:
            yield Sample((generator.uniform(low, high, shape).astype(np.float32),))

    return samples


def _function(
    name: str,
    evaluate: Callable[[Array], Array],
    derive: Callable[[Backward, Value, Value, Value], Value],
    low: float,
    high: float,
    output: float,
) -> Operator:
    """y = evaluate(x), with samples between low and high."""
    return Operator(
        name=name,
        inputs=("x",),
        infer=lambda attrs, types: types,
        evaluate=lambda attrs, arrays: (np.asarray(evaluate(arrays[0]), arrays[0].dtype),),
        samples=_samples_between(low, high),
        kernels={DType.FLOAT32: elements_kernel(f"mg_{name}_float32")},
        gradient=_rule(derive),
        inplace=((0, 0),),
        elementwise=True,
        cost=Cost(output=output),
    )


def _sqrt_gradient(backward: Backward, dy: Value, x: Value, y: Value) -> Value:
    return backward.emit("div", backward.emit("scale", dy, attrs=ScaleAttrs(0.5)), y)


def _reciprocal_gradient(backward: Backward, dy: Value, x: Value, y: Value) -> Value:
    product = backward.emit("mul", backward.emit("mul", dy, y), y)
    return backward.emit("scale", product, attrs=ScaleAttrs(-1.0))


EXP = _function("exp", np.exp, lambda backward, dy, x, y: backward.emit("mul", dy, y), -5, 5, 58)
LOG = _function("log", np.log, lambda backward, dy, x, y: backward.emit("div", dy, x), 0.05, 9, 56)
SQRT = _function("sqrt", np.sqrt, _sqrt_gradient, 0.05, 9, 8)
RECIPROCAL = _function("reciprocal", lambda x: 1 / x, _reciprocal_gradient, 0.2, 9, 8)
ABS = _function("abs", np.abs, lambda backward, dy, x, y: backward.emit("abs_gradient", dy, x), -3, 3, 5)
SOFTPLUS = _function(
    "softplus",
    lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    lambda backward, dy, x, y: backward.emit("softplus_gradient", dy, y),
    -9,
    9,
    113,
)


def _from_two(name: str, evaluate: Callable[[Array, Array], Array], low: float, output: float) -> Operator:
    """A gradient of dy and what was kept."""

    def samples() -> Iterator[Sample]:
        generator = np.random.default_rng(2)
        for shape in [(1, 7), (2, 3, 5)]:
            kept = generator.uniform(low, 4, shape)
            kept.flat[0] = 0
            yield Sample((generator.standard_normal(shape).astype(np.float32), kept.astype(np.float32)))

    def meaning(attrs: Attrs, arrays: Arrays) -> Arrays:
        return (evaluate(*arrays),)

    return Operator(
        name=name,
        inputs=("dy", "kept"),
        infer=infer_from_output,
        evaluate=meaning,
        samples=samples,
        kernels={DType.FLOAT32: elements_kernel(f"mg_{name}_float32")},
        inplace=((0, 0), (0, 1)),
        cost=Cost(output=output),
    )


ABS_GRADIENT = _from_two("abs_gradient", lambda dy, x: dy * np.sign(x), -4, 12)
SOFTPLUS_GRADIENT = _from_two("softplus_gradient", lambda dy, y: dy * -np.expm1(-y), 0, 63)
