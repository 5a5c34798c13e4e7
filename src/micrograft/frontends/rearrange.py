"""The same elements in other places: parts of an axis, rolled, turned round, shuffled between channels and space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from micrograft.frontends import layers
from micrograft.frontends.network import Network, Tensor, refused
from micrograft.ir.types import Array, Shape, Value
from micrograft.ops.concat import SliceAttrs
from micrograft.ops.embedding import EmbeddingAttrs

_FEW = 4
"""As many slices as take the place of a table of indices."""


def part(
    network: Network, x: Tensor, axis: int, start: int | None, stop: int | None, step: int = 1, *, origin: str
) -> Tensor:
    """`start:stop:step` of an axis, as Python means it: out of range is cut off."""
    axis %= len(x.shape)
    indices = range(*slice(start, stop, step).indices(x.shape[axis]))
    if len(indices) == x.shape[axis] and step == 1:
        return x
    if not indices:
        raise refused(f"nothing of {x.shape} is left from {indices.start} to {indices.stop} along axis {axis}", origin)
    if step < 0:
        return take(network, x, axis, np.array(indices), origin=origin)
    attrs = SliceAttrs(axis, indices[0], indices[-1] + 1, step)
    return network.add("slice", (x,), attrs, origin=origin)


def select(network: Network, x: Tensor, axis: int, index: int, *, origin: str) -> Value:
    """One index of an axis, which is then gone."""
    axis %= len(x.shape)
    index %= x.shape[axis]
    one = part(network, x, axis, index, index + 1, origin=origin)
    return network.reshape(one, (*x.shape[:axis], *x.shape[axis + 1 :]), origin=origin)


def split(network: Network, x: Tensor, axis: int, sizes: Sequence[int], *, origin: str) -> list[Tensor]:
    """Consecutive parts of an axis."""
    found, start = [], 0
    for size in sizes:
        found.append(part(network, x, axis, start, start + size, origin=origin))
        start += size
    return found


def take(network: Network, x: Tensor, axis: int, indices: Array, *, origin: str) -> Tensor:
    """Constant indices of an axis; their own shape takes the axis' place."""
    axis %= len(x.shape)
    chosen = np.asarray(indices).astype(np.int64) % x.shape[axis]
    runs = _runs([int(index) for index in chosen.reshape(-1)])
    shape = (*x.shape[:axis], *chosen.shape, *x.shape[axis + 1 :])
    if len(runs) > _FEW:
        return network.reshape(_picked(network, x, axis, chosen, origin=origin), shape, origin=origin)
    parts = [part(network, x, axis, *run, origin=origin) for run in runs]
    y = parts[0] if len(parts) == 1 else layers.concat(network, parts, axis, origin=origin)
    return network.reshape(y, shape, origin=origin)


def _runs(chosen: Sequence[int]) -> list[tuple[int, int, int]]:
    """The indices as slices (start, stop, step) of growing ones.

    >>> _runs([2, 4, 6, 1, 0])
    [(2, 7, 2), (1, 2, 1), (0, 1, 1)]
    """
    found, start = [], 0
    while start < len(chosen):
        first = chosen[start]
        step = max(chosen[start + 1] - first, 1) if start + 1 < len(chosen) else 1
        length = 1
        while start + length < len(chosen) and chosen[start + length] == first + length * step:
            length += 1
        found.append((first, chosen[start + length - 1] + 1, step))
        start += length
    return found


def _picked(network: Network, x: Tensor, axis: int, indices: Array, *, origin: str) -> Value:
    """(*indices, *outer, *inner) as (*outer, *indices, *inner): rows that a table of indices picks."""
    outer = x.shape[:axis]
    rank, size = len(x.shape), x.shape[axis]
    order = (axis, *range(axis), *range(axis + 1, rank))
    single = math.prod(outer) == 1
    front = network.value(x) if single else network.transpose(x, order, origin=origin)
    table = network.reshape(front, (size, math.prod(x.shape) // size), origin=origin)
    places = network.indices(indices.reshape(-1), f"{origin}.indices")
    y = network.add("embedding", (places, table), EmbeddingAttrs(size), origin=origin)
    if single:
        return y
    y = network.reshape(y, (indices.size, *outer, *x.shape[axis + 1 :]), origin=origin)
    return network.transpose(y, (*range(1, axis + 1), 0, *range(axis + 1, rank)), origin=origin)


def put(network: Network, x: Tensor, axis: int, places: Array, source: Tensor, *, origin: str) -> Tensor:
    """`x` with `source` in constant places of an axis: both one behind the other, and of these what goes where."""
    joined = layers.concat(network, [x, source], axis, origin=origin)
    order = np.arange(x.shape[axis])
    order[places] = x.shape[axis] + np.arange(len(places))
    return take(network, joined, axis, order, origin=origin)


def roll(network: Network, x: Tensor, shifts: Sequence[int], axes: Sequence[int], *, origin: str) -> Tensor:
    """`x` moved along axes, what leaves at the end coming in again at the start."""
    for shift, axis in zip(shifts, axes, strict=True):
        places = np.arange(x.shape[axis]) - shift
        x = take(network, x, axis, places, origin=origin)
    return x


def flip(network: Network, x: Tensor, axes: Sequence[int], *, origin: str) -> Tensor:
    """`x` read from the end along axes."""
    for axis in axes:
        x = take(network, x, axis, np.arange(x.shape[axis])[::-1], origin=origin)
    return x


def shuffled(network: Network, x: Tensor, split: Shape, order: Sequence[int], shape: Shape, *, origin: str) -> Tensor:
    """`x` seen as `split`, its axes permuted, seen as `shape`."""
    y = network.reshape(x, split, origin=origin)
    return network.reshape(network.transpose(y, order, origin=origin), shape, origin=origin)


def depth_to_space(network: Network, x: Tensor, block: int, *, blocks_first: bool = False, origin: str) -> Tensor:
    """(1, C·b², H, W) to (1, C, H·b, W·b). blocks_first: whether the channels count blocks before channels."""
    batch, channels, height, width = x.shape
    depth = channels // block**2
    split = (batch, block, block, depth, height, width) if blocks_first else (batch, depth, block, block, height, width)
    order = (0, 3, 4, 1, 5, 2) if blocks_first else (0, 1, 4, 2, 5, 3)
    return shuffled(network, x, split, order, (batch, depth, height * block, width * block), origin=origin)


def space_to_depth(network: Network, x: Tensor, block: int, *, blocks_first: bool = False, origin: str) -> Tensor:
    """The inverse of `depth_to_space`."""
    batch, channels, height, width = x.shape
    split = (batch, channels, height // block, block, width // block, block)
    order = (0, 3, 5, 1, 2, 4) if blocks_first else (0, 1, 3, 5, 2, 4)
    shape = (batch, channels * block**2, height // block, width // block)
    return shuffled(network, x, split, order, shape, origin=origin)
