"""Pools over three axes, and averages with dilation: both kinds of pool work on one axis after the other."""

from __future__ import annotations

import math

import numpy as np

from micrograft.frontends import channels_first, layers, rearrange, zoo
from micrograft.frontends.channels_first import Windows
from micrograft.frontends.network import Constant, Network, Tensor, refused
from micrograft.ir.types import Shape


def max_pool(network: Network, x: Tensor, windows: Windows, *, ceil: bool, origin: str) -> Tensor:
    """x: (N, C, *spatial) over 1 to 3 axes; gives (N, C, *positions)."""
    spatial = x.shape[2:]
    y: Tensor = network.reshape(x, (1, x.shape[0] * x.shape[1], *spatial), origin=origin)
    if len(spatial) == 3:
        outer, inner = _part(windows, slice(0, 1)), _part(windows, slice(1, 3))
        y = _inner(network, y, inner, ceil, origin)
        y = _outer(network, y, outer, ceil, origin)
    else:
        y = channels_first.max_pool(network, y, windows, ceil=ceil, origin=origin)
    return network.reshape(y, (*x.shape[:2], *y.shape[2:]), origin=origin)


def _part(windows: Windows, axes: slice) -> Windows:
    return Windows(windows.kernel[axes], windows.stride[axes], windows.padding[axes], windows.dilation[axes])


def _inner(network: Network, x: Tensor, windows: Windows, ceil: bool, origin: str) -> Tensor:
    """The pool over the last two of three axes, the first one among the channels."""
    channels, depth, *plane = x.shape[1:]
    y = network.reshape(x, (1, channels * depth, *plane), origin=origin)
    y = channels_first.max_pool(network, y, windows, ceil=ceil, origin=origin)
    return network.reshape(y, (1, channels, depth, *y.shape[2:]), origin=origin)


def _outer(network: Network, x: Tensor, windows: Windows, ceil: bool, origin: str) -> Tensor:
    """The pool over the first of three axes, the last two among the channels."""
    channels, depth, *plane = x.shape[1:]
    y = network.transpose(x, (0, 1, 3, 4, 2), origin=origin)
    y = network.reshape(y, (1, channels * math.prod(plane), depth), origin=origin)
    y = channels_first.max_pool(network, y, windows, ceil=ceil, origin=origin)
    y = network.reshape(y, (1, channels, *plane, y.shape[2]), origin=origin)
    return network.transpose(y, (0, 1, 4, 2, 3), origin=origin)


def average_pool(
    network: Network, x: Tensor, windows: Windows, *, ceil: bool, count_padding: bool, origin: str
) -> Tensor:
    """x: (N, C, *spatial) over 1 to 3 axes; gives (N, C, *positions)."""
    spatial = x.shape[2:]
    y: Tensor = network.reshape(x, (1, x.shape[0] * x.shape[1], *spatial), origin=origin)
    rounded = ceil and count_padding and windows.rounded_up(spatial) != windows
    if len(spatial) <= 2 and set(windows.dilation) == {1} and not rounded:
        y = channels_first.average_pool(network, y, windows, ceil=ceil, count_padding=count_padding, origin=origin)
    else:
        for axis in range(len(spatial)):
            y = _mean_along(network, y, 2 + axis, _part(windows, slice(axis, axis + 1)), ceil, count_padding, origin)
    return network.reshape(y, (*x.shape[:2], *y.shape[2:]), origin=origin)


def _mean_along(
    network: Network, x: Tensor, axis: int, window: Windows, ceil: bool, count_padding: bool, origin: str
) -> Tensor:
    """The averages of one axis' windows: as many slices as a window has places, summed."""
    size, (kernel,), (stride,), (dilation,) = x.shape[axis], window.kernel, window.stride, window.dilation
    ((before, after),) = window.padding
    ((_, behind),) = window.rounded_up((size,)).padding if ceil else window.padding
    positions = (before + size + behind - (kernel - 1) * dilation - 1) // stride + 1
    if positions < 1:
        raise refused(f"a window of {kernel} does not fit into {before + size + behind} padded places", origin)
    pads = [(0, 0)] * len(x.shape)
    pads[axis] = (before, max(after, behind))
    padded = zoo.pad(network, x, pads, origin=origin)
    total: Tensor | None = None
    for tap in range(kernel):
        start = tap * dilation
        stop = start + (positions - 1) * stride + 1
        part = rearrange.part(network, padded, axis, start, stop, stride, origin=origin)
        total = part if total is None else network.add("add", (total, part), origin=origin)
    assert total is not None
    places = np.arange(positions)[:, None] * stride + np.arange(kernel) * dilation - before
    low, high = (-before, size + after) if count_padding else (0, size)
    counts = ((places >= low) & (places < high)).sum(axis=1)
    shape: Shape = (positions, *(1 for _ in x.shape[axis + 1 :]))
    share = Constant((1 / np.maximum(counts, 1)).astype(np.float32).reshape(shape), f"{origin}.share_{axis}")
    return layers.arithmetic(network, "mul", total, share, origin=origin)
