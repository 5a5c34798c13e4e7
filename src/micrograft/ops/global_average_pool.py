"""global_average_pool: the mean of each channel over all positions.

x: (1, *spatial, C); y: (1, 1.., C). It runs in the kernels of average_pool, with one window over everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Shape, TensorType
from micrograft.ops.average_pool import AveragePoolAttrs, average_pool_call
from micrograft.ops.block import contracted
from micrograft.ops.cost import Cost
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
class GlobalAveragePoolGradientAttrs(Attrs):
    """input_shape: of the x whose gradient this is."""

    input_shape: Shape

    @property
    def divisor(self) -> int:
        """How many places a mean is over."""
        return math.prod(self.input_shape[1:-1])


def _pooled(x: Shape) -> Shape:
    return (1, *(1 for _ in x[1:-1]), x[-1])


def whole(x: Shape) -> AveragePoolAttrs:
    """The pool whose one window is all of `x`."""
    spatial = x[1:-1]
    return AveragePoolAttrs(spatial, (1,) * len(spatial), ((0, 0),) * len(spatial), True)


def _infer(attrs: Attrs, types: Types) -> Types:
    (x,) = types
    require(len(x.shape) in (3, 4) and x.shape[0] == 1, f"the input has shape {x.shape}, not (1, *spatial, channels)")
    return (TensorType(_pooled(x.shape), x.dtype),)


def _evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    return (x.mean(axis=tuple(range(1, x.ndim - 1)), keepdims=True),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    attrs = GlobalAveragePoolGradientAttrs(node.inputs[0].shape)
    return (backward.emit("global_average_pool_gradient", dy, attrs=attrs),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    return average_pool_call("mg_average_pool_float32", whole(x.shape), x.shape, x, node.outputs[0])


_SHAPES = [(1, 4, 4, 8), (1, 5, 3, 7), (1, 1, 6, 1), (1, 9, 6)]


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape in _SHAPES:
        yield Sample((generator.standard_normal(shape).astype(np.float32),))


GLOBAL_AVERAGE_POOL = Operator(
    name="global_average_pool",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    cost=Cost(output=28, input=6.7),
)


def _infer_gradient(attrs: GlobalAveragePoolGradientAttrs, types: Types) -> Types:
    (dy,) = types
    expected = _pooled(attrs.input_shape)
    require(dy.shape == expected, f"the gradient has shape {dy.shape}, not {expected}")
    return (TensorType(attrs.input_shape, dy.dtype),)


def _evaluate_gradient(attrs: GlobalAveragePoolGradientAttrs, arrays: Arrays) -> Arrays:
    (dy,) = arrays
    share = dy / dy.dtype.type(math.prod(attrs.input_shape[1:-1]))
    return (np.broadcast_to(share, attrs.input_shape),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    (dy,) = node.inputs
    assert isinstance(node.attrs, GlobalAveragePoolGradientAttrs)
    x = node.attrs.input_shape
    return average_pool_call("mg_average_pool_gradient_float32", whole(x), x, dy, node.outputs[0])


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape in _SHAPES:
        dy = generator.standard_normal(_pooled(shape)).astype(np.float32)
        yield Sample((dy,), GlobalAveragePoolGradientAttrs(shape))


GLOBAL_AVERAGE_POOL_GRADIENT = Operator(
    name="global_average_pool_gradient",
    inputs=("dy",),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    in_blocks=contracted("block_global_average_pool_gradient", unit=lambda attrs: 1.0 / attrs.divisor),
    cost=Cost(output=12.4),
)
