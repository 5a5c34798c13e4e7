"""The ONNX operators of transformers, one small handler each, as in `onnx_operators`."""

from __future__ import annotations

import numpy as np

from micrograft.frontends import layers, transformers, zoo
from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import Call, handles


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
