"""The geometry that convolutions and pools share: a window that slides over the spatial axes.

A tensor is (1, *spatial, channels). Tap k of the window at position p lies on place p·stride + k·dilation −
padding of the input, per axis. A 1-D layer is, for the C kernels, a 2-D one of height 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from micrograft.ir.graph import Node
from micrograft.ir.types import Array, Shape
from micrograft.ops.cost import Cost, CostRule
from micrograft.ops.operator import require

Field = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Window:
    """One entry per spatial axis; padding is (before, after).

    >>> Window((3,), (2,), ((1, 1),), (1,)).output((8,))
    (4,)
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @property
    def extent(self) -> Shape:
        """Places from the first tap to the last, both included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def places(self) -> int:
        """How many taps the window has."""
        return math.prod(self.kernel)

    def check(self, x: Shape) -> None:
        """Raise ShapeError where the window cannot slide over `x`: (1, *spatial, channels)."""
        rank = len(self.kernel)
        require(rank in (1, 2), f"windows over {rank} axes are not known, only over 1 or 2")
        lengths = {len(self.stride), len(self.padding), len(self.dilation)}
        require(lengths == {rank}, f"stride, padding and dilation are not given for {rank} axes each")
        require(len(x) == rank + 2, f"the input has shape {x}, but the layer takes {rank} spatial axes")
        require(x[0] == 1, f"the batch is {x[0]}, not 1")
        require(min(*self.kernel, *self.stride, *self.dilation) >= 1, "kernel, stride and dilation start at 1")
        require(min(itertools.chain(*self.padding)) >= 0, "the padding is negative")
        for size, extent, (before, after) in zip(x[1:-1], self.extent, self.padding, strict=True):
            padded = before + size + after
            require(extent <= padded, f"a window of {extent} does not fit into {padded} padded places")

    def check_never_empty(self, x: Shape) -> None:
        """Raise ShapeError where some window lies wholly in the padding of `x`."""
        for size, places in zip(x[1:-1], self._places(x), strict=True):
            inside = (places >= 0) & (places < size)
            require(bool(inside.any(axis=1).all()), "a window lies wholly in the padding")

    def output(self, spatial: Shape) -> Shape:
        """Positions of the window, per axis."""
        sizes = zip(spatial, self.extent, self.stride, self.padding, strict=True)
        return tuple((before + n + after - extent) // stride + 1 for n, extent, stride, (before, after) in sizes)

    def taps_inside(self, x: Shape) -> int:
        """How often a tap of the window, at any position, lies on `x` and not in its padding.

        >>> Window((3,), (1,), ((1, 1),), (1,)).taps_inside((1, 4, 8))
        10
        """
        sizes = zip(x[1:-1], self._places(x), strict=True)
        return math.prod(int(((places >= 0) & (places < size)).sum()) for size, places in sizes)

    def view(self, x: Array, fill: float = 0.0) -> Array:
        """The windows of x: (1, *spatial, C), as (1, *positions, *kernel, C)."""
        rank = len(self.kernel)
        padded = np.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=fill)
        windows = sliding_window_view(padded, self.extent, axis=tuple(range(1, rank + 1)))
        steps = (*self.stride, 1, *self.dilation)
        strided = windows[(slice(None), *(slice(None, None, step) for step in steps))]
        return np.moveaxis(strided, rank + 1, -1)

    def fold(self, columns: Array, x: Shape) -> Array:
        """The transpose of `view`: adds (1, *positions, *kernel, C) up where the windows overlap."""
        rank = len(self.kernel)
        sizes = [before + n + after for n, (before, after) in zip(x[1:-1], self.padding, strict=True)]
        padded = np.zeros((1, *sizes, x[-1]), columns.dtype)
        positions = columns.shape[1 : rank + 1]
        for tap in np.ndindex(*self.kernel):
            starts = [k * d for k, d in zip(tap, self.dilation, strict=True)]
            rows = (slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, positions, self.stride, strict=True))
            padded[(slice(None), *rows)] += columns[(slice(None),) * (rank + 1) + tap]
        inner = (slice(before, before + n) for n, (before, _) in zip(x[1:-1], self.padding, strict=True))
        return padded[(slice(None), *inner)]

    def fields(self, x: Shape) -> tuple[Field, Field]:
        """The two `mg_axis` of the C kernels, for an input of shape `x`."""
        axes = [
            (size, positions, kernel, stride, before, dilation)
            for size, positions, kernel, stride, (before, _), dilation in zip(
                x[1:-1], self.output(x[1:-1]), self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        ]
        height, width = axes if len(axes) == 2 else ((1, 1, 1, 1, 0, 1), axes[0])
        return ("height", height), ("width", width)

    def _places(self, x: Shape) -> Iterator[Array]:
        """Per axis, the place in `x` of each tap at each position: (positions, kernel)."""
        for axis, positions in enumerate(self.output(x[1:-1])):
            starts = np.arange(positions)[:, None] * self.stride[axis] - self.padding[axis][0]
            yield starts + np.arange(self.kernel[axis]) * self.dilation[axis]


def pool_cost(cost: Cost) -> CostRule:
    """The cost of a pool or of its gradient: `mac` is for each element that a window sees."""

    def rule(node: Node, macs: float) -> float:
        attrs: Any = node.attrs  # a pool's, or those of a gradient that hold them
        pool, x = getattr(attrs, "pool", attrs), getattr(attrs, "input_shape", node.inputs[0].shape)
        return cost(node, pool.window.taps_inside(x) * x[-1])

    return rule
