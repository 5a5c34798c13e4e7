"""Activations that are made of others."""

from __future__ import annotations

import numpy as np

from micrograft.frontends import layers, rearrange
from micrograft.frontends.network import Constant, Network, Tensor


def glu(network: Network, x: Tensor, axis: int, *, origin: str) -> Tensor:
    """The first half of an axis times the sigmoid of the second."""
    half = x.shape[axis % len(x.shape)] // 2
    value, gate = rearrange.split(network, x, axis, [half, half], origin=origin)
    return network.add("mul", (value, network.add("sigmoid", (gate,), origin=origin)), origin=origin)


def log_sigmoid(network: Network, x: Tensor, *, origin: str) -> Tensor:
    """log(1 / (1 + e⁻ˣ)) = −log(1 + e⁻ˣ)."""
    soft = network.add("softplus", (layers.scale(network, x, -1.0, origin=origin),), origin=origin)
    return layers.scale(network, soft, -1.0, origin=origin)


def soft_shrink(network: Network, x: Tensor, reach: float, *, origin: str) -> Tensor:
    """`x` moved towards zero by `reach`, zero where it would cross it: x less x between ±reach."""
    near = layers.clip(network, x, -reach, reach, ends=False, origin=origin)
    return network.add("sub", (x, near), origin=origin)


def sign(network: Network, x: Tensor, *, origin: str) -> Tensor:
    """1 above zero, −1 below; no gradient flows through it."""
    zero = Constant(np.zeros((1,) * len(x.shape), np.float32), f"{origin}.zero")
    above = network.add("greater", (x, zero), origin=origin)
    return network.add("sub", (above, network.add("greater", (zero, x), origin=origin)), origin=origin)
