"""average_pool: the mean of each window, over all its places or over those that are no padding.

x: (1, *spatial, C); y: (1, *positions, C). The backward pass needs nothing of the forward one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
class AveragePoolAttrs(Attrs):
    """One entry per spatial axis; padding is (before, after).

    count_include_pad: whether padding counts, as zeros, in the mean.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    count_include_pad: bool

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, (1,) * len(self.kernel))

    def counts(self, x: Shape) -> Array:
        """What each window's sum is divided by, for an input of shape `x`: (1, *positions, 1)."""
        inside = np.ones((*x[:-1], 1))
        taps = tuple(range(len(self.kernel) + 1, 2 * len(self.kernel) + 1))
        counts: Array = self.window.view(inside, fill=float(self.count_include_pad)).sum(axis=taps)
        return counts


@dataclass(frozen=True)
class AveragePoolGradientAttrs(Attrs):
    """input_shape: of the x whose gradient this is."""

    pool: AveragePoolAttrs
    input_shape: Shape


def average_pool_call(
    function: str, attrs: AveragePoolAttrs, x: Shape, *pointers: Value | Group
) -> tuple[KernelCall, ...]:
    """A call of the pool's kernel or of its gradient's, for an input of shape `x`."""
    channels = (("channels", x[-1]), ("count_padding", int(attrs.count_include_pad)))
    return (KernelCall(function, "mg_average_pool_params", (*attrs.window.fields(x), *channels), pointers),)


def _infer(attrs: AveragePoolAttrs, types: Types) -> Types:
    (x,) = types
    attrs.window.check(x.shape)
    attrs.window.check_never_empty(x.shape)
    return (TensorType((1, *attrs.window.output(x.shape[1:-1]), x.shape[-1]), x.dtype),)


def _evaluate(attrs: AveragePoolAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    rank = len(attrs.kernel)
    sums = attrs.window.view(x).sum(axis=tuple(range(rank + 1, 2 * rank + 1)))
    return (sums / attrs.counts(x.shape).astype(x.dtype),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, AveragePoolAttrs)
    attrs = AveragePoolGradientAttrs(node.attrs, node.inputs[0].shape)
    return (backward.emit("average_pool_gradient", dy, attrs=attrs),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    (x,) = node.inputs
    assert isinstance(node.attrs, AveragePoolAttrs)
    return average_pool_call("mg_average_pool_float32", node.attrs, x.shape, x, node.outputs[0])


def _cases() -> Iterator[tuple[Shape, AveragePoolAttrs]]:
    yield (1, 6, 8, 4), AveragePoolAttrs((2, 2), (2, 2), ((0, 0), (0, 0)), True)
    for count_include_pad in (True, False):
        yield (1, 7, 6, 5), AveragePoolAttrs((3, 3), (2, 1), ((1, 1), (0, 2)), count_include_pad)
        yield (1, 3, 2, 1), AveragePoolAttrs((4, 4), (1, 1), ((1, 2), (1, 2)), count_include_pad)
        yield (1, 13, 6), AveragePoolAttrs((3,), (2,), ((1, 0),), count_include_pad)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, attrs in _cases():
        yield Sample((generator.standard_normal(shape).astype(np.float32),), attrs)


AVERAGE_POOL = Operator(
    name="average_pool",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    cost=pool_cost(Cost(mac=7.3, output=26)),
)


def divisor(attrs: AveragePoolGradientAttrs) -> int | None:
    """What every window's sum is divided by; None where windows differ."""
    counts = np.unique(attrs.pool.counts(attrs.input_shape))
    return int(counts[0]) if len(counts) == 1 else None


def _share(attrs: AveragePoolGradientAttrs) -> float | None:
    count = divisor(attrs)
    return None if count is None else 1.0 / count


def _infer_gradient(attrs: AveragePoolGradientAttrs, types: Types) -> Types:
    (dy,) = types
    shape = (1, *attrs.pool.window.output(attrs.input_shape[1:-1]), attrs.input_shape[-1])
    require(dy.shape == shape, f"the gradient has shape {dy.shape}, not {shape}")
    return (TensorType(attrs.input_shape, dy.dtype),)


def _evaluate_gradient(attrs: AveragePoolGradientAttrs, arrays: Arrays) -> Arrays:
    (dy,) = arrays
    window = attrs.pool.window
    share = dy / attrs.pool.counts(attrs.input_shape).astype(dy.dtype)
    spread = np.expand_dims(share, tuple(range(dy.ndim - 1, dy.ndim - 1 + len(window.kernel))))
    columns = np.broadcast_to(spread, (*dy.shape[:-1], *window.kernel, dy.shape[-1]))
    return (window.fold(columns, attrs.input_shape),)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    (dy,) = node.inputs
    assert isinstance(node.attrs, AveragePoolGradientAttrs)
    attrs = node.attrs
    return average_pool_call("mg_average_pool_gradient_float32", attrs.pool, attrs.input_shape, dy, node.outputs[0])


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, attrs in _cases():
        dy = generator.standard_normal((1, *attrs.window.output(shape[1:-1]), shape[-1]))
        yield Sample((dy.astype(np.float32),), AveragePoolGradientAttrs(attrs, shape))


AVERAGE_POOL_GRADIENT = Operator(
    name="average_pool_gradient",
    inputs=("dy",),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    in_blocks=contracted("block_average_pool_gradient", unit=_share),
    cost=pool_cost(Cost(mac=12.3)),
)
