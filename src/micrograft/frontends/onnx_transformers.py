"""The ONNX operators of transformers, one small handler each, as in `onnx_operators`."""

from __future__ import annotations

import numpy as np

from micrograft.frontends import layers, transformers, zoo
from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import Call, handles
from micrograft.ir.types import Array

_MOST = 2**62  # what exporters write for "to the end"


@handles("LayerNormalization")
def _layer_norm(call: Call) -> tuple[Tensor | None, ...]:
    """(Y, mean, inverse of the standard deviation)."""
    y = _normalized(call, "layer_norm", (call.optional(1), call.optional(2)))
    if not call.used & {1, 2}:
        return (y,)
    rank = len(call.x.shape)
    epsilon = Constant(np.asarray([call.number("epsilon", 1e-5)], np.float32), f"{call.origin}.epsilon")
    axes = range(call.integer("axis", -1) % rank, rank)
    mean = layers.total(call.network, call.x, axes, keep=True, mean=True, origin=call.origin)
    spread = layers.arithmetic(call.network, "sub", call.x, mean, origin=call.origin)
    square = zoo.power(call.network, spread, 2.0, origin=call.origin)
    variance = layers.total(call.network, square, axes, keep=True, mean=True, origin=call.origin)
    padded = layers.arithmetic(call.network, "add", variance, epsilon, origin=call.origin)
    return y, mean, zoo.power(call.network, padded, -0.5, origin=call.origin)


@handles("RMSNormalization")
def _rms_norm(call: Call) -> Tensor:
    return _normalized(call, "rms_norm", (call.optional(1), None))


def _normalized(call: Call, op: str, affine: tuple[Tensor | None, Tensor | None]) -> Tensor:
    rank = len(call.x.shape)
    axis = call.integer("axis", -1)
    axes = rank - (axis + rank if axis < 0 else axis)
    epsilon = call.number("epsilon", 1e-5)
    return transformers.layer_norm(call.network, op, call.x, axes, affine, epsilon, origin=call.origin)


@handles("GroupNormalization")
def _group_norm(call: Call) -> Tensor:
    groups, channels = call.integer("num_groups", 1), call.x.shape[1]
    if any(each.shape != (channels,) for each in (call.tensor(1), call.tensor(2))):
        raise call.refused("its scale is per group", "export with opset 21 or newer")
    affine = (call.tensor(1), call.tensor(2))
    epsilon = call.number("epsilon", 1e-5)
    return transformers.group_norm(call.network, call.x, groups, affine, epsilon, origin=call.origin)


@handles("InstanceNormalization")
def _instance_norm(call: Call) -> Tensor:
    affine = (call.tensor(1), call.tensor(2))
    epsilon = call.number("epsilon", 1e-5)
    return transformers.group_norm(call.network, call.x, call.x.shape[1], affine, epsilon, origin=call.origin)


@handles("Gelu")
def _gelu(call: Call) -> Tensor:
    op = "gelu_tanh" if call.text("approximate", "none") == "tanh" else "gelu"
    return call.network.add(op, (call.x,), origin=call.origin)


@handles("Erf")
def _erf(call: Call) -> Tensor:
    return call.network.add("erf", (call.x,), origin=call.origin)


@handles("Swish")
def _swish(call: Call) -> Tensor:
    if call.number("alpha", 1.0) != 1.0:
        raise call.refused("a swish with alpha is not supported")
    return call.network.add("silu", (call.x,), origin=call.origin)


@handles("MatMul")
def _matmul(call: Call) -> Tensor:
    return transformers.matmul(call.network, call.x, call.tensor(1), origin=call.origin)


@handles("ReduceSum")
def _reduce_sum(call: Call) -> Tensor:
    axes = call.axes(1)
    if not axes:
        if call.integer("noop_with_empty_axes", 0):
            return call.x
        axes = tuple(range(len(call.x.shape)))
    keep = bool(call.integer("keepdims", 1))
    return layers.total(call.network, call.x, axes, keep=keep, mean=False, origin=call.origin)


@handles("ReduceSumSquare")
def _reduce_sum_square(call: Call) -> Tensor:
    axes = call.axes(1) or tuple(range(len(call.x.shape)))
    square = call.network.add("mul", (call.x, call.x), origin=call.origin)
    keep = bool(call.integer("keepdims", 1))
    return layers.total(call.network, square, axes, keep=keep, mean=False, origin=call.origin)


@handles("Slice")
def _slice(call: Call) -> Tensor:
    starts, stops = _integers(call, 1), _integers(call, 2)
    given = call.constant(3)
    axes = range(len(starts)) if given is None else [int(axis) for axis in given]
    steps = [1] * len(starts) if call.constant(4) is None else _integers(call, 4)
    y = call.x
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        y = transformers.part(call.network, y, axis, start, min(stop, _MOST), step, origin=call.origin)
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
    return tuple(transformers.split(call.network, call.x, axis, sizes, origin=call.origin))


@handles("Gather")
def _gather(call: Call) -> Tensor:
    axis, tokens = call.integer("axis", 0), call.tensor(1)
    source = call.network.source(call.x)
    if source and not isinstance(tokens, Constant) and axis == 0 and len(call.x.shape) == 2:
        origin = source.removesuffix(".weight") if source.endswith(".weight") else call.origin
        return transformers.embedding(call.network, call.x, tokens, origin=origin)
    indices: Array | None = call.constant(1)
    if indices is None:
        raise call.refused("its indices are missing")
    return transformers.take(call.network, call.x, axis, np.asarray(indices), origin=call.origin)


@handles("Expand")
def _expand(call: Call) -> Tensor:
    wanted = _integers(call, 1)
    shape = np.broadcast_shapes(call.x.shape, tuple(wanted))
    return transformers.expand(call.network, call.x, shape, origin=call.origin)
