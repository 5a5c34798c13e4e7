"""batch_norm: y = (x − mean)/√(variance + ε)·weight + bias over the last axis, with frozen statistics.

x, y: (..., C); weight, bias, mean, variance: (C,). The backward pass reads x only where the weight's gradient is
wanted; the input's is a product with one factor per channel, and the bias's is a sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.linear import bias_gradient, rows
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)


@dataclass(frozen=True)
class BatchNormAttrs(Attrs):
    """epsilon: added to the variance."""

    epsilon: float


def _check(x: TensorType, *channels: TensorType) -> None:
    require(len(x.shape) >= 2, f"the input has shape {x.shape}, without channels")
    expected = x.shape[-1:]
    require(
        all(each.shape == expected for each in channels),
        f"the input has {x.shape[-1]} channels, but the layer has {channels[0].shape}",
    )


def _scale(attrs: BatchNormAttrs, variance: Array) -> Array:
    """1/√(variance + ε), in the precision of the variance."""
    one = variance.dtype.type(1)
    scale: Array = one / np.sqrt(variance + variance.dtype.type(attrs.epsilon))
    return scale


def _infer(attrs: BatchNormAttrs, types: Types) -> Types:
    _check(*types)
    return (types[0],)


def _evaluate(attrs: BatchNormAttrs, arrays: Arrays) -> Arrays:
    x, weight, bias, mean, variance = arrays
    return ((x - mean) * _scale(attrs, variance) * weight + bias,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, bias, mean, variance = node.inputs
    (dy,) = gradients
    assert dy is not None
    dx = dw = None
    if backward.needs(x):
        dx = backward.emit("batch_norm_input_gradient", dy, weight, variance, attrs=node.attrs)
    if backward.needs(weight):
        dw = backward.emit("batch_norm_weight_gradient", x, dy, mean, variance, attrs=node.attrs)
    return dx, dw, bias_gradient(backward, bias, dy), None, None


def _fields(node: Node) -> tuple[tuple[str, int | float], ...]:
    assert isinstance(node.attrs, BatchNormAttrs)
    shape = node.inputs[0].shape
    return ("rows", rows(shape)), ("channels", shape[-1]), ("epsilon", node.attrs.epsilon)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, bias, mean, variance = node.inputs
    y, fields = node.outputs[0], _fields(node)
    return (
        KernelCall("mg_batch_norm_normalize_float32", "mg_batch_norm_params", fields, (x, mean, variance, y)),
        KernelCall("mg_batch_norm_affine_float32", "mg_batch_norm_params", fields, (y, weight, bias, y)),
    )


_CASES: list[tuple[Shape, float]] = [((1, 3, 5, 4), 1e-5), ((1, 7, 3), 1e-3), ((1, 6), 1e-5), ((1, 4, 2, 1), 0.1)]


def _statistics(generator: np.random.Generator, channels: int) -> tuple[Array, Array]:
    """A mean and a variance."""
    mean, variance = generator.standard_normal(channels), generator.uniform(0.2, 3, channels)
    return mean.astype(np.float32), variance.astype(np.float32)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, epsilon in _CASES:
        x, weight, bias = (generator.standard_normal(each) for each in (shape, shape[-1:], shape[-1:]))
        arrays = (*(each.astype(np.float32) for each in (x, weight, bias)), *_statistics(generator, shape[-1]))
        yield Sample(arrays, BatchNormAttrs(epsilon), differentiable=(0, 1, 2))


BATCH_NORM = Operator(
    name="batch_norm",
    inputs=("x", "weight", "bias", "mean", "variance"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    inplace=((0, 0),),
    cost=Cost(output=21),
)


def _evaluate_input_gradient(attrs: BatchNormAttrs, arrays: Arrays) -> Arrays:
    dy, weight, variance = arrays
    return (dy * (weight * _scale(attrs, variance)),)


def _input_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    pointers = (*node.inputs, node.outputs[0])
    return (KernelCall("mg_batch_norm_input_gradient_float32", "mg_batch_norm_params", _fields(node), pointers),)


def _input_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, epsilon in _CASES:
        dy, weight = (generator.standard_normal(each).astype(np.float32) for each in (shape, shape[-1:]))
        yield Sample((dy, weight, _statistics(generator, shape[-1])[1]), BatchNormAttrs(epsilon))


BATCH_NORM_INPUT_GRADIENT = Operator(
    name="batch_norm_input_gradient",
    inputs=("dy", "weight", "variance"),
    infer=_infer,
    evaluate=_evaluate_input_gradient,
    samples=_input_gradient_samples,
    kernels={DType.FLOAT32: _input_gradient_call},
    inplace=((0, 0),),
    cost=Cost(output=9.5),
)


def _infer_weight_gradient(attrs: BatchNormAttrs, types: Types) -> Types:
    x, dy, mean, variance = types
    _check(x, mean, variance)
    require(x.shape == dy.shape, "the gradient does not match the input")
    return (TensorType(x.shape[-1:], x.dtype),)


def _evaluate_weight_gradient(attrs: BatchNormAttrs, arrays: Arrays) -> Arrays:
    x, dy, mean, variance = arrays
    products = (dy * (x - mean)).reshape(-1, x.shape[-1])
    return (products.sum(axis=0) * _scale(attrs, variance),)


def _weight_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    pointers = (*node.inputs, node.outputs[0])
    return (KernelCall("mg_batch_norm_weight_gradient_float32", "mg_batch_norm_params", _fields(node), pointers),)


def _weight_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for shape, epsilon in _CASES:
        x, dy = (generator.standard_normal(shape).astype(np.float32) for _ in range(2))
        yield Sample((x, dy, *_statistics(generator, shape[-1])), BatchNormAttrs(epsilon))


BATCH_NORM_WEIGHT_GRADIENT = Operator(
    name="batch_norm_weight_gradient",
    inputs=("x", "dy", "mean", "variance"),
    infer=_infer_weight_gradient,
    evaluate=_evaluate_weight_gradient,
    samples=_weight_gradient_samples,
    kernels={DType.FLOAT32: _weight_gradient_call},
    cost=Cost(output=25, input=10),
)
