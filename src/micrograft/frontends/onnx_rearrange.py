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
    block = call.integer("blocksize", 1)
    return rearrange.space_to_depth(call.network, call.x, block, blocks_first=True, origin=call.origin)


@handles("GatherND")
def _gather_nd(call: Call) -> Tensor:
    if call.integer("batch_dims", 0):
        raise call.refused("indices for each element of a batch are not supported")
    joined, places = _first_axes(call)
    return rearrange.take(call.network, joined, 0, places, origin=call.origin)


@handles("ScatterND")
def _scatter_nd(call: Call) -> Tensor:
    if call.text("reduction", "none") != "none":
        raise call.refused("a scatter that adds to what is there is not supported")
    joined, places = _first_axes(call)
    shape = (places.size, *joined.shape[1:])
    source = call.network.reshape(call.tensor(2), shape, origin=call.origin)
    y = rearrange.put(call.network, joined, 0, places.reshape(-1), source, origin=call.origin)
    return call.network.reshape(y, call.x.shape, origin=call.origin)


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
    axis = call.integer("axis", 0) % len(call.x.shape)
    return rearrange.take(call.network, call.x, axis, _whole_rows(call, axis), origin=call.origin)


@handles("ScatterElements")
def _scatter_elements(call: Call) -> Tensor:
    if call.text("reduction", "none") != "none":
        raise call.refused("a scatter that adds to what is there is not supported")
    axis = call.integer("axis", 0) % len(call.x.shape)
    return rearrange.put(call.network, call.x, axis, _whole_rows(call, axis), call.tensor(2), origin=call.origin)


def _whole_rows(call: Call, axis: int) -> Array:
    """The indices along an axis, where they are the same for all that lies beside it."""
    indices = call.constant(1)
    if indices is None:
        raise call.refused("its indices are missing")
    rows = np.moveaxis(indices, axis, 0).reshape(indices.shape[axis], -1)
    beside = [size for other, size in enumerate(indices.shape) if other != axis]
    if beside != [size for other, size in enumerate(call.x.shape) if other != axis] or np.any(rows != rows[:, :1]):
        raise call.refused("indices that differ from row to row are not supported")
    return np.asarray(rows[:, 0] % call.x.shape[axis])
