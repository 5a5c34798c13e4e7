"""Losses: cross-entropy, mean squared error and binary cross-entropy, each a mean of shape ().

A loss is where the backward pass begins: its gradient rule is given None for the seed, which means one.
The gradients read the logits, not a kept softmax, and may be written over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, TensorType
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
    Types,
    require,
)
from micrograft.ops.sigmoid import logistic
from micrograft.ops.softmax import softmax


def _rule(gradient_op: str) -> GradientRule:
    def gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
        y, target = node.inputs
        require(not backward.needs(target), "a loss has no gradient with respect to its target")
        return (backward.emit(gradient_op, y, target) if backward.needs(y) else None, None)

    return gradient


def _check_labels(logits: TensorType, target: TensorType) -> None:
    require(len(logits.shape) >= 1, "the output has no axis of classes")
    require(
        target == TensorType(logits.shape[:-1], DType.INT32),
        f"the target is {target}, but the output {logits} asks for {TensorType(logits.shape[:-1], DType.INT32)}",
    )


def _infer_cross_entropy(attrs: Attrs, types: Types) -> Types:
    _check_labels(*types)
    return (TensorType((), types[0].dtype),)


def _infer_cross_entropy_gradient(attrs: Attrs, types: Types) -> Types:
    _check_labels(*types)
    return (types[0],)


def _cross_entropy(attrs: Attrs, arrays: Arrays) -> Arrays:
    logits, target = arrays
    largest = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True)) + largest
    chosen = np.take_along_axis(logits, target[..., None], axis=-1)
    return (np.asarray(np.mean(total - chosen), logits.dtype),)


def _cross_entropy_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    logits, target = arrays
    onehot = np.arange(logits.shape[-1]) == target[..., None]
    return ((softmax(logits) - onehot.astype(logits.dtype)) / logits.dtype.type(target.size),)


def _cross_entropy_kernel(function: str) -> KernelRule:
    def call(node: Node) -> tuple[KernelCall, ...]:
        logits = node.inputs[0]
        fields = (("rows", math.prod(logits.shape[:-1])), ("classes", logits.shape[-1]))
        return (KernelCall(function, "mg_cross_entropy_params", fields, (*node.inputs, node.outputs[0])),)

    return call


def _labelled_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, size in [((1, 10), 2.0), ((2, 3, 4), 2.0), ((1, 7), 50.0)]:
        logits = generator.uniform(-size, size, shape).astype(np.float32)
        target = generator.integers(0, shape[-1], shape[:-1]).astype(np.int32)
        yield Sample((logits, target), differentiable=(0,))


CROSS_ENTROPY = Operator(
    name="cross_entropy",
    inputs=("logits", "target"),
    outputs=("loss",),
    infer=_infer_cross_entropy,
    evaluate=_cross_entropy,
    samples=_labelled_samples,
    kernels={DType.FLOAT32: _cross_entropy_kernel("mg_cross_entropy_float32")},
    gradient=_rule("cross_entropy_gradient"),
    cost=Cost(output=37, input=72),
)

CROSS_ENTROPY_GRADIENT = Operator(
    name="cross_entropy_gradient",
    inputs=("logits", "target"),
    outputs=("dx",),
    infer=_infer_cross_entropy_gradient,
    evaluate=_cross_entropy_gradient,
    samples=_labelled_samples,
    kernels={DType.FLOAT32: _cross_entropy_kernel("mg_cross_entropy_gradient_float32")},
    inplace=((0, 0),),
    cost=Cost(output=77),
)


def _infer_elements(attrs: Attrs, types: Types) -> Types:
    y, target = types
    require(y == target, f"the target is {target}, but the output is {y}")
    return (TensorType((), y.dtype),)


def _infer_elements_gradient(attrs: Attrs, types: Types) -> Types:
    _infer_elements(attrs, types)
    return (types[0],)


def _kernel(function: str) -> KernelRule:
    def call(node: Node) -> tuple[KernelCall, ...]:
        fields = (("size", node.inputs[0].type.size),)
        return (KernelCall(function, "mg_loss_params", fields, (*node.inputs, node.outputs[0])),)

    return call


def _elements_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, size in [((1, 5), 2.0), ((1, 2, 3, 4), 2.0), ((1, 9), 40.0)]:
        y = generator.uniform(-size, size, shape).astype(np.float32)
        yield Sample((y, generator.uniform(0, 1, shape).astype(np.float32)), differentiable=(0,))


def _over_elements(name: str, loss: Callable[[Array, Array], Array], element: float) -> Operator:
    """A loss that is the mean of `loss(y, target)` over all elements."""

    def evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
        y, target = arrays
        return (np.asarray(np.mean(loss(y, target)), y.dtype),)

    return Operator(
        name=name,
        inputs=("y", "target"),
        outputs=("loss",),
        infer=_infer_elements,
        evaluate=evaluate,
        samples=_elements_samples,
        kernels={DType.FLOAT32: _kernel(f"mg_{name}_float32")},
        gradient=_rule(f"{name}_gradient"),
        cost=Cost(input=element),
    )


def _over_elements_gradient(name: str, derivative: Callable[[Array, Array], Array], output: float) -> Operator:
    def evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
        y, target = arrays
        return (derivative(y, target) / y.dtype.type(y.size),)

    return Operator(
        name=name,
        inputs=("y", "target"),
        outputs=("dx",),
        infer=_infer_elements_gradient,
        evaluate=evaluate,
        samples=_elements_samples,
        kernels={DType.FLOAT32: _kernel(f"mg_{name}_float32")},
        inplace=((0, 0),),
        cost=Cost(output=output),
    )


MEAN_SQUARED_ERROR = _over_elements("mean_squared_error", lambda y, target: (y - target) ** 2, 8)
MEAN_SQUARED_ERROR_GRADIENT = _over_elements_gradient(
    "mean_squared_error_gradient", lambda y, target: 2 * (y - target), 11
)
BINARY_CROSS_ENTROPY = _over_elements(
    "binary_cross_entropy", lambda y, target: np.maximum(y, 0) - y * target + np.log1p(np.exp(-np.abs(y))), 115
)
BINARY_CROSS_ENTROPY_GRADIENT = _over_elements_gradient(
    "binary_cross_entropy_gradient", lambda y, target: logistic(y) - target, 65
)
