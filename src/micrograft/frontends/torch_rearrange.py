"""ATen operators that put the same elements into other places."""

from __future__ import annotations

import numpy as np

from micrograft.frontends import layers, rearrange, transformers
from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.torch_operators import Call, handles
from micrograft.ir.types import Array


@handles("roll")
def _roll(call: Call) -> Tensor:
    shifts, axes = call.get("shifts"), call.get("dims")
    if not axes:
        flat = layers.flatten(call.network, call.x, 0, -1, origin=call.origin)
        rolled = rearrange.roll(call.network, flat, shifts, [0], origin=call.origin)
        return call.network.reshape(rolled, call.x.shape, origin=call.origin)
    return rearrange.roll(call.network, call.x, shifts, axes, origin=call.origin)


@handles("flip")
def _flip(call: Call) -> Tensor:
    return rearrange.flip(call.network, call.x, call.get("dims"), origin=call.origin)


@handles("pixel_shuffle")
def _pixel_shuffle(call: Call) -> Tensor:
    return rearrange.depth_to_space(call.network, call.x, int(call.get("upscale_factor")), origin=call.origin)


@handles("pixel_unshuffle")
def _pixel_unshuffle(call: Call) -> Tensor:
    return rearrange.space_to_depth(call.network, call.x, int(call.get("downscale_factor")), origin=call.origin)


@handles("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(call: Call) -> Tensor:
    batch, channels, *spatial = call.x.shape
    groups = int(call.get("groups"))
    split = (batch, groups, channels // groups, *spatial)
    order = (0, 2, 1, *range(3, len(split)))
    return rearrange.shuffled(call.network, call.x, split, order, call.x.shape, origin=call.origin)


@handles("slice")
def _slice(call: Call) -> Tensor:
    axis, step = int(call.get("dim", 0)), int(call.get("step", 1))
    start, stop = int(call.get("start", 0)), int(call.get("end", call.x.shape[axis]))
    return rearrange.part(call.network, call.x, axis, start, stop, step, origin=call.origin)


@handles("slice_scatter")
def _slice_scatter(call: Call) -> Tensor:
    """`self` with `src` in the place of a slice: an assignment to part of a tensor."""
    axis = int(call.get("dim", 0)) % len(call.x.shape)
    size = call.x.shape[axis]
    places = range(*slice(call.get("start"), call.get("end"), int(call.get("step", 1))).indices(size))
    return rearrange.put(call.network, call.x, axis, np.array(places), call.tensor("src"), origin=call.origin)


@handles("select_scatter")
def _select_scatter(call: Call) -> Tensor:
    axis = int(call.get("dim")) % len(call.x.shape)
    index = int(call.get("index")) % call.x.shape[axis]
    row = layers.unsqueeze(call.network, call.tensor("src"), [axis], origin=call.origin)
    return rearrange.put(call.network, call.x, axis, np.array([index]), row, origin=call.origin)


@handles("copy")
def _copy(call: Call) -> Tensor:
    return transformers.expand(call.network, call.tensor("src"), call.x.shape, origin=call.origin)


@handles("narrow")
def _narrow(call: Call) -> Tensor:
    axis, start = int(call.get("dim")), int(call.get("start"))
    start += call.x.shape[axis] if start < 0 else 0
    return rearrange.part(call.network, call.x, axis, start, start + int(call.get("length")), origin=call.origin)


@handles("select")
def _select(call: Call) -> Tensor:
    axis, index = int(call.get("dim")), int(call.get("index"))
    return rearrange.select(call.network, call.x, axis, index, origin=call.origin)


@handles("unbind")
def _unbind(call: Call) -> tuple[Tensor, ...]:
    axis = int(call.get("dim", 0))
    indices = range(call.x.shape[axis])
    return tuple(rearrange.select(call.network, call.x, axis, index, origin=call.origin) for index in indices)


@handles("split", "split_with_sizes")
def _split(call: Call) -> tuple[Tensor, ...]:
    axis = int(call.get("dim", 0))
    sizes = call.get("split_sizes") or call.get("split_size")
    whole = call.x.shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, whole - start) for start in range(0, whole, sizes)]
    return tuple(rearrange.split(call.network, call.x, axis, sizes, origin=call.origin))


@handles("chunk")
def _chunk(call: Call) -> tuple[Tensor, ...]:
    axis = int(call.get("dim", 0))
    whole = call.x.shape[axis]
    size = -(-whole // int(call.get("chunks")))
    sizes = [min(size, whole - start) for start in range(0, whole, size)]
    return tuple(rearrange.split(call.network, call.x, axis, sizes, origin=call.origin))


@handles("index_select")
def _index_select(call: Call) -> Tensor:
    indices = _constant(call, call.tensor("index"))
    return rearrange.take(call.network, call.x, int(call.get("dim")), indices, origin=call.origin)


@handles("index")
def _index(call: Call) -> Tensor:
    """Constant indices of one axis or of several that stand side by side, x[:, rows, columns]."""
    given = {axis: _constant(call, each) for axis, each in enumerate(call.get("indices")) if each is not None}
    first, axes = min(given), tuple(given)
    if axes != tuple(range(first, first + len(axes))):
        raise call.refused("indices of axes that do not stand side by side are not supported")
    if any(each.dtype == np.bool_ for each in given.values()):
        raise call.refused("indexing by a mask is not supported", "use the indices where it is true")
    sizes = call.x.shape[first : first + len(axes)]
    wrapped = [each % size for each, size in zip(given.values(), sizes, strict=True)]
    joined = layers.flatten(call.network, call.x, first, first + len(axes) - 1, origin=call.origin)
    places = np.ravel_multi_index(tuple(np.broadcast_arrays(*wrapped)), sizes)
    return rearrange.take(call.network, joined, first, places, origin=call.origin)


def _constant(call: Call, index: Tensor) -> Array:
    if not isinstance(index, Constant):
        raise call.refused("its indices are computed from the data, and must be constant")
    return index.data


@handles("stack")
def _stack(call: Call) -> Tensor:
    parts = call.get("tensors")
    axis = int(call.get("dim", 0)) % (len(parts[0].shape) + 1)
    ones = [layers.unsqueeze(call.network, each, [axis], origin=call.origin) for each in parts]
    return layers.concat(call.network, ones, axis, origin=call.origin)


def _filled(call: Call, value: float) -> Constant:
    shape = call.get("size", call.x.shape)
    return Constant(np.full(tuple(shape), value, np.float32), f"{call.origin}.{value:g}")


@handles("zeros_like", "new_zeros")
def _zeros(call: Call) -> Tensor:
    return _filled(call, 0.0)


@handles("ones_like", "new_ones")
def _ones(call: Call) -> Tensor:
    return _filled(call, 1.0)


@handles("full_like", "new_full")
def _full(call: Call) -> Tensor:
    return _filled(call, float(call.get("fill_value")))
