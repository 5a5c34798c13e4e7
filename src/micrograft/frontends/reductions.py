"""Reductions of axes to one number that are made of others: variances, norms, log of sums of exponentials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from micrograft.frontends import layers, transformers, zoo
from micrograft.frontends.network import Network, Tensor, refused

LEAST = 1e-30
"""What a sum of squares is at least: the root of zero has no slope, and nothing can be divided by it."""


def variance(
    network: Network, x: Tensor, axes: Sequence[int], *, correction: float = 0.0, keep: bool, origin: str
) -> Tensor:
    """The mean square of what is left of `x` without its mean, over n − correction elements."""
    rank = len(x.shape)
    count = math.prod(x.shape[axis] for axis in {axis % rank for axis in axes})
    if count <= correction:
        raise refused(f"a variance of {count} elements with correction {correction:g} is not defined", origin)
    mean = layers.total(network, x, axes, keep=True, mean=True, origin=origin)
    spread = network.add("sub", (x, mean), origin=origin)
    square = network.add("mul", (spread, spread), origin=origin)
    y = layers.total(network, square, axes, keep=keep, mean=False, origin=origin)
    return layers.scale(network, y, 1 / (count - correction), origin=origin)


def norm(network: Network, x: Tensor, order: float, axes: Sequence[int], *, keep: bool, origin: str) -> Tensor:
    """The sum of sizes (order 1), the root of the sum of squares (2), or the largest size (infinity)."""
    if order == 2:
        square = network.add("mul", (x, x), origin=origin)
        total = layers.total(network, square, axes, keep=keep, mean=False, origin=origin)
        return network.add("sqrt", (layers.clip(network, total, LEAST, math.inf, origin=origin),), origin=origin)
    size = network.add("abs", (x,), origin=origin)
    if order == 1:
        return layers.total(network, size, axes, keep=keep, mean=False, origin=origin)
    if order == math.inf:
        return zoo.maximum(network, size, axes, keep=keep, origin=origin)
    raise refused(f"a norm of order {order:g} is not supported", origin, "use 1, 2 or infinity")


def log_sum_exp(network: Network, x: Tensor, axes: Sequence[int], *, keep: bool, origin: str) -> Tensor:
    """log Σ eˣ, computed with the largest element taken out."""
    largest = zoo.maximum(network, x, axes, keep=True, origin=origin)
    raised = network.add("exp", (network.add("sub", (x, largest), origin=origin),), origin=origin)
    total = layers.total(network, raised, axes, keep=True, mean=False, origin=origin)
    y = network.add("add", (network.add("log", (total,), origin=origin), largest), origin=origin)
    if keep:
        return y
    rank = len(x.shape)
    return layers.squeeze(network, y, [axis % rank for axis in axes], origin=origin)


def cumulative(network: Network, x: Tensor, axis: int, *, exclusive: bool = False, reverse: bool = False,
               origin: str) -> Tensor:  # fmt: skip
    """Sums of all elements up to each one along an axis: a product with a triangular matrix."""
    axis %= len(x.shape)
    size = x.shape[axis]
    matrix = np.tri(size, k=-1 if exclusive else 0, dtype=np.float32)
    return transformers.along(network, x, axis, matrix.T if reverse else matrix, f"{origin}.sums", origin=origin)
