"""ONNX operators that put the same elements into other places."""

from __future__ import annotations

import math

import numpy as np

from micrograft.frontends import layers, rearrange, transformers
from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import Call, handles
from micrograft.ir.types import Array

_MOST = 2**62  # what exporters write for "to the end"


@handles("Slice")
def _slice(call: Call) -> Tensor:
    starts, stops = _integers(call, 1), _integers(call, 2)
    given = call.constant(3)
    axes = range(len(starts)) if given is None else [int(axis) for axis in given]
    steps = [1] * len(starts) if call.constant(4) is None else _integers(call, 4)
    y = call.x
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        y = rearrange.part(call.network, y, axis, start, min(stop, _MOST), step, origin=call.origin)
    return y


def _integers(call: Call, index: int) -> list[int]:
    found = call.constant(index)
    if found is None:
        raise call.refused(f"its input {index} is missing")
    return [int(each) for each in np.atleast_1d(found)]


@handles("Split")
def _split(call: Call) -> tuple[Tensor, ...]:
    axis = call.integer("axis", 0) % len(call.x.shape)
    whole = call.x.shape[axis]
    given = call.constant(1)
    if given is not None:
        sizes = [int(size) for size in given]
    else:
        count = call.integer("num_outputs", call.outputs)
        size = -(-whole // count)
        sizes = [min(size, whole - start) for start in range(0, whole, size)]
    return tuple(rearrange.split(call.network, call.x, axis, sizes, origin=call.origin))


@handles("Gather")
def _gather(call: Call) -> Tensor:
    axis, tokens = call.integer("axis", 0), call.tensor(1)
    source = call.network.source(call.x)
    if source and not isinstance(tokens, Constant) and axis == 0 and len(call.x.shape) == 2:
        origin = layers.named_by(source) or call.origin
        return transformers.embedding(call.network, call.x, tokens, origin=origin)
    indices: Array | None = call.constant(1)
    if indices is None:
        raise call.refused("its indices are missing")
    return rearrange.take(call.network, call.x, axis, np.asarray(indices), origin=call.origin)


@handles("Expand")
def _expand(call: Call) -> Tensor:
    wanted = _integers(call, 1)
    shape = np.broadcast_shapes(call.x.shape, tuple(wanted))
    return transformers.expand(call.network, call.x, shape, origin=call.origin)


@handles("DepthToSpace")
def _depth_to_space(call: Call) -> Tensor:
    blocks_first = call.text("mode", "DCR") == "DCR"
    block = call.integer("blocksize", 1)
    return rearrange.depth_to_space(call.network, call.x, block, blocks_first=blocks_first, origin=call.origin)


@handles("SpaceToDepth")
def _space_to_depth(call: Call) -> Tensor:
    blocks_first = call.text("mode", "DCR") == "DCR"
    block = call.integer("blocksize", 1)
    return rearrange.space_to_depth(call.network, call.x, block, blocks_first=blocks_first, origin=call.origin)


@handles("GatherND")
def _gather_nd(call: Call) -> Tensor:
    if call.integer("batch_dims", 0):
        raise call.refused("indices for each element of a batch are not supported")
    joined, places = _first_axes(call)
    return rearrange.take(call.network, joined, 0, places, origin=call.origin)


_REDUCTIONS = {"add": "add", "mul": "mul", "max": "maximum", "min": "minimum"}
"""What a scatter does with what is there, to our operator; otherwise it replaces it."""


@handles("ScatterND")
def _scatter_nd(call: Call) -> Tensor:
    joined, places = _first_axes(call)
    source = call.network.reshape(call.tensor(2), (places.size, *joined.shape[1:]), origin=call.origin)
    return _scattered(call, joined, places.reshape(-1), source)


def _scattered(call: Call, x: Tensor, places: Array, source: Tensor) -> Tensor:
    """`x` with rows of `source` in places of its first axis, under the shape of the data.

    Where a place is named again, that is done behind the first time: in as many rounds as a place is named.
    """
    reduction = call.text("reduction", "none")
    earlier = np.tril(places[:, None] == places, k=-1)
    rounds = earlier.sum(axis=1)  # how often each place has been named before
    for number in range(int(rounds.max()) + 1):
        (chosen,) = np.nonzero(rounds == number)
        rows = rearrange.take(call.network, source, 0, chosen, origin=call.origin)
        if reduction != "none":
            there = rearrange.take(call.network, x, 0, places[chosen], origin=call.origin)
            rows = call.network.add(_REDUCTIONS[reduction], (there, rows), origin=call.origin)
        x = rearrange.put(call.network, x, 0, places[chosen], rows, origin=call.origin)
    return call.network.reshape(x, call.x.shape, origin=call.origin)


def _first_axes(call: Call) -> tuple[Tensor, Array]:
    """The data with the axes that are indexed as one, and the indices of it, which must be constant."""
    indices = call.constant(1)
    if indices is None:
        raise call.refused("its indices are missing")
    count = indices.shape[-1]
    sizes = call.x.shape[:count]
    wrapped = np.moveaxis(indices % np.array(sizes), -1, 0)
    joined = call.network.reshape(call.x, (math.prod(sizes), *call.x.shape[count:]), origin=call.origin)
    return joined, np.asarray(np.ravel_multi_index(tuple(wrapped), sizes))


@handles("GatherElements")
def _gather_elements(call: Call) -> Tensor:
    flat, places = _elements(call)
    return rearrange.take(call.network, flat, 0, places, origin=call.origin)


@handles("ScatterElements")
def _scatter_elements(call: Call) -> Tensor:
    flat, places = _elements(call)
    source = call.network.reshape(call.tensor(2), (places.size,), origin=call.origin)
    return _scattered(call, flat, places.reshape(-1), source)


def _elements(call: Call) -> tuple[Tensor, Array]:
    """The data as one axis, and where in it the indices of one axis point, which must be constant."""
    indices, shape = call.constant(1), call.x.shape
    if indices is None:
        raise call.refused("its indices are missing")
    axis = call.integer("axis", 0) % len(shape)
    places: list[Array] = list(np.indices(indices.shape))
    places[axis] = indices % shape[axis]
    flat = call.network.reshape(call.x, (math.prod(shape),), origin=call.origin)
    return flat, np.asarray(np.ravel_multi_index(tuple(places), shape))
