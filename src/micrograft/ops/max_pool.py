"""max_pool: the largest element of each window; the first in window order where several are equal.

The backward pass needs no activation: it asks for the index of each winner inside its window, one byte where
the window has at most 256 places. Padding never wins. x: (1, *spatial, C); y, index: (1, *positions, C).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.block import contracted
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    Group,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)
from micrograft.ops.window import Window, pool_cost


@dataclass(frozen=True)
class PoolAttrs(Attrs):
    """One entry per spatial axis; padding is (before, after); no dilation given means 1."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...] = ()

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, self.dilation or (1,) * len(self.kernel))

    @property
    def index(self) -> DType:
        """The type that counts the window's places."""
        return DType.UINT8 if self.window.places <= 256 else DType.INT32


@dataclass(frozen=True)
class MaxPoolGradientAttrs(Attrs):
    """input_shape: of the x whose gradient this is."""

    pool: PoolAttrs
    input_shape: Shape


def _infer(attrs: PoolAttrs, types: Types) -> Types:
    (x,) = types
    attrs.window.check(x.shape)
    attrs.window.check_never_empty(x.shape)
    shape = (1, *attrs.window.output(x.shape[1:-1]), x.shape[-1])
    return replace(x, shape=shape), TensorType(shape, attrs.index)


def _evaluate(attrs: PoolAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    windows = attrs.window.view(x, fill=lowest)
    flat = windows.reshape(*windows.shape[: len(attrs.kernel) + 1], attrs.window.places, x.shape[-1])
    index = flat.argmax(axis=-2, keepdims=True)
    y = np.take_along_axis(flat, index, axis=-2)
    return y.squeeze(-2), index.squeeze(-2).astype(attrs.index.numpy)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy = gradients[0]
    assert dy is not None and isinstance(node.attrs, PoolAttrs)
    attrs = MaxPoolGradientAttrs(node.attrs, node.inputs[0].shape)
    return (backward.emit("max_pool_gradient", dy, backward.keep(node, "index"), attrs=attrs),)


def _fields(attrs: PoolAttrs, x: Shape) -> tuple[tuple[str, int | tuple[int, ...]], ...]:
    index_bytes = attrs.index.bits // 8
    return (*attrs.window.fields(x), ("channels", x[-1]), ("index_bytes", index_bytes))


def _call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    y, *index = node.outputs
    assert isinstance(node.attrs, PoolAttrs)
    pointers = (x, y, index[0] if index else None)
    function = "mg_max_pool_int8" if x.dtype is DType.INT8 else "mg_max_pool_float32"
    return (KernelCall(function, "mg_max_pool_params", _fields(node.attrs, x.shape), pointers),)


def _cases() -> Iterator[tuple[Shape, PoolAttrs]]:
    none = ((0, 0), (0, 0))
    yield (1, 6, 8, 4), PoolAttrs((2, 2), (2, 2), none)
    yield (1, 7, 6, 3), PoolAttrs((3, 3), (2, 2), ((1, 1), (0, 1)))
    yield (1, 8, 9, 5), PoolAttrs((3, 2), (1, 2), ((2, 0), (1, 1)), (2, 3))
    yield (1, 3, 2, 1), PoolAttrs((4, 4), (1, 1), ((1, 2), (1, 2)))
    yield (1, 13, 6), PoolAttrs((3,), (3,), ((1, 0),))
    yield (1, 300, 2), PoolAttrs((290,), (5,), ((0, 0),))


def _distinct(generator: np.random.Generator, shape: Shape) -> Array:
    """Elements far enough apart for finite differences, all below zero."""
    size = int(np.prod(shape))
    return (generator.permutation(size).reshape(shape) * 0.05 - 0.05 * size).astype(np.float32)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, attrs in _cases():
        yield Sample((_distinct(generator, shape),), attrs)
    tied = generator.integers(0, 3, (1, 6, 6, 4)).astype(np.float32)
    yield Sample((tied,), PoolAttrs((3, 3), (1, 1), ((1, 1), (1, 1))), differentiable=())
    for shape, attrs in _cases():
        yield Sample((generator.integers(-128, 128, shape).astype(np.int8),), attrs)


MAX_POOL = Operator(
    name="max_pool",
    inputs=("x",),
    outputs=("y", "index"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call, DType.INT8: _call},
    gradient=_gradient,
    cost=pool_cost(Cost(mac=19, output=39, optional=2)),
)


def _infer_gradient(attrs: MaxPoolGradientAttrs, types: Types) -> Types:
    dy, index = types
    shape = (1, *attrs.pool.window.output(attrs.input_shape[1:-1]), attrs.input_shape[-1])
    require(dy.shape == index.shape == shape, f"the gradient has shape {dy.shape}, not {shape}")
    return (TensorType(attrs.input_shape, dy.dtype),)


def _evaluate_gradient(attrs: MaxPoolGradientAttrs, arrays: Arrays) -> Arrays:
    dy, index = arrays
    window = attrs.pool.window
    won = index[..., None, :] == np.arange(window.places)[:, None]
    columns = dy[..., None, :] * won.astype(dy.dtype)
    return (window.fold(columns.reshape(*dy.shape[:-1], *window.kernel, dy.shape[-1]), attrs.input_shape),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, index = node.inputs
    return max_pool_gradient_call("mg_max_pool_gradient_float32", node.attrs, dy, index, node.outputs[0])


def max_pool_gradient_call(function: str, attrs: Attrs, *pointers: Value | Group) -> tuple[KernelCall, ...]:
    """A call of the gradient's kernel, in float32 or in integers."""
    assert isinstance(attrs, MaxPoolGradientAttrs)
    return (KernelCall(function, "mg_max_pool_params", _fields(attrs.pool, attrs.input_shape), pointers),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, attrs in _cases():
        _, index = _evaluate(attrs, (_distinct(generator, shape),))
        yield Sample(
            (generator.standard_normal(index.shape).astype(np.float32), index), MaxPoolGradientAttrs(attrs, shape)
        )


MAX_POOL_GRADIENT = Operator(
    name="max_pool_gradient",
    inputs=("dy", "index"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    in_blocks=contracted("block_max_pool_gradient"),
    cost=Cost(output=2.2, input=21),
)
