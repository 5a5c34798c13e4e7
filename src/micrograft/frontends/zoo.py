"""Further layers that PyTorch and ONNX share: transposed convolutions, resizing, padding, gates, choices, powers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from micrograft.frontends import layers
from micrograft.frontends.channels_first import Windows, channels_back, channels_last
from micrograft.frontends.network import Constant, Network, Tensor, refused
from micrograft.ir.types import Shape, Value
from micrograft.ops.argmax import ArgmaxAttrs
from micrograft.ops.concat import SliceAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.conv_transpose import ConvTransposeAttrs
from micrograft.ops.elu import EluAttrs
from micrograft.ops.max_pool import PoolAttrs
from micrograft.ops.pad import PadAttrs, PadMode
from micrograft.ops.resize import ResizeAttrs, Scaling

_FINEST = 4096
"""Scales are taken for the fractions that they nearly are, with denominators up to this one."""


def transposed_convolution(
    network: Network,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    windows: Windows,
    groups: int,
    spatial: Shape,
    *,
    origin: str,
) -> Value:
    """x: (1, C, *positions); weight: (C, O/groups, *kernel); gives (1, O, *spatial)."""
    rank = len(weight.shape)
    if rank not in (3, 4) or len(x.shape) != rank:
        raise refused(f"a transposed convolution of {x.shape} with {weight.shape} is not one over 1 or 2 axes", origin)
    conv = ConvAttrs(windows.stride, windows.padding, windows.dilation, groups)
    inputs: list[Tensor] = [
        channels_last(network, x, 1, origin=origin),
        network.transpose(network.value(weight, trains=True), (0, *range(2, rank), 1), origin=origin),
    ]
    if bias is not None:
        inputs.append(network.value(bias, trains=True))
    y = network.add("conv_transpose", inputs, ConvTransposeAttrs(conv, spatial), origin=origin)
    return channels_back(network, y, 1, origin=origin)


@dataclass(frozen=True)
class Coordinates:
    """How positions map to places. mode: ONNX's coordinate_transformation_mode. rounding: its nearest_mode."""

    mode: str = "half_pixel"
    rounding: str = "floor"

    def scaling(self, size: int, output: int, scale: Fraction, *, nearest: bool) -> Scaling | None:
        """Of an axis of `size` places, resized to `output` by `scale`; None where the mode is not known."""
        up, down = scale.numerator, scale.denominator
        if self.mode == "align_corners":
            exact = Scaling(output, size - 1, 0, output - 1) if output > 1 else Scaling(1, 0, 0, 1)
        elif self.mode == "asymmetric":
            exact = Scaling(output, down, 0, up)
        elif self.mode == "tf_half_pixel_for_nn":
            exact = Scaling(output, 2 * down, down, 2 * up)
        elif self.mode == "pytorch_half_pixel" and output == 1:
            exact = Scaling(1, 0, 0, 1)
        elif self.mode in ("half_pixel", "pytorch_half_pixel"):
            exact = Scaling(output, 2 * down, down - up, 2 * up)
        else:
            return None
        return self._rounded(exact) if nearest else exact

    def _rounded(self, exact: Scaling) -> Scaling | None:
        """The scaling whose place below is the one that this rounding picks."""
        step, start, parts = exact.step, exact.start, exact.parts
        if self.rounding == "floor":
            return exact
        if self.rounding == "ceil":
            return Scaling(exact.size, step, start + parts - 1, parts)
        if self.rounding == "round_prefer_floor":
            return Scaling(exact.size, 2 * step, 2 * start + parts - 1, 2 * parts)
        if self.rounding == "round_prefer_ceil":
            return Scaling(exact.size, 2 * step, 2 * start + parts, 2 * parts)
        return None


def fraction(scale: float) -> Fraction:
    """The fraction that a scale nearly is."""
    return Fraction(scale).limit_denominator(_FINEST)


def resize(
    network: Network,
    x: Tensor,
    sizes: Sequence[int],
    scales: Sequence[Fraction],
    coordinates: Coordinates,
    *,
    linear: bool,
    origin: str,
) -> Value:
    """`x` with its axes resized; sizes, scales: one entry per axis. One axis beside the batch stays: the channels."""
    rank = len(x.shape)
    moved = {axis for axis in range(rank) if sizes[axis] != x.shape[axis] or scales[axis] != 1}
    if not moved:
        return network.value(x)
    channels = next((axis for axis in (1, rank - 1) if axis not in moved), None)
    if 0 in moved or channels is None or rank not in (3, 4):
        raise refused(f"a resize of {x.shape} to {tuple(sizes)} is not one of 1 or 2 spatial axes", origin)
    spatial = [axis for axis in range(1, rank) if axis != channels]
    axes = []
    for axis in spatial:
        scaling = coordinates.scaling(x.shape[axis], sizes[axis], scales[axis], nearest=not linear)
        if scaling is None:
            raise refused(
                f"a resize with coordinates {coordinates.mode} and rounding {coordinates.rounding} is not supported",
                origin, "use half_pixel, align_corners or asymmetric",
            )  # fmt: skip
        axes.append(scaling)
    y = channels_last(network, x, channels, origin=origin)
    y = network.add("resize", (y,), ResizeAttrs(tuple(axes), linear), origin=origin)
    return channels_back(network, y, channels, origin=origin)


def pad(
    network: Network,
    x: Tensor,
    pads: Sequence[tuple[int, int]],
    mode: PadMode = PadMode.CONSTANT,
    value: float = 0.0,
    *,
    origin: str,
) -> Value:
    """`x` with elements put around it, (before, after) per axis; a negative number cuts elements off."""
    y = network.value(x)
    for axis, (before, after) in enumerate(pads):
        if min(before, after) < 0:
            start, stop = max(-before, 0), y.shape[axis] + min(after, 0)
            y = network.add("slice", (y,), SliceAttrs(axis, start, stop), origin=origin)
    positive = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    if not any(map(sum, positive)):
        return y
    if len(y.shape) in (3, 4) and positive[1] == (0, 0):
        y = channels_last(network, y, 1, origin=origin)
        positive = (positive[0], *positive[2:], positive[1])
        y = network.add("pad", (y,), PadAttrs(positive, mode, value), origin=origin)
        return channels_back(network, y, 1, origin=origin)
    return network.add("pad", (y,), PadAttrs(positive, mode, value), origin=origin)


def maximum(network: Network, x: Tensor, axes: Sequence[int], *, keep: bool, origin: str) -> Value:
    """The largest element along some axes: a pool of one window over them all."""
    rank = len(x.shape)
    reduced = sorted({axis % rank for axis in axes})
    kept = [axis for axis in range(rank) if axis not in reduced]
    count = math.prod(x.shape[axis] for axis in reduced)
    y = network.transpose(x, (*reduced, *kept), origin=origin)
    y = network.reshape(y, (1, count, math.prod(x.shape[axis] for axis in kept)), origin=origin)
    y = network.add("max_pool", (y,), PoolAttrs((count,), (1,), ((0, 0),)), origin=origin)
    shape = tuple(1 if axis in reduced else size for axis, size in enumerate(x.shape))
    return network.reshape(y, shape if keep else tuple(x.shape[axis] for axis in kept), origin=origin)


def global_max(network: Network, x: Tensor, *, origin: str) -> Value:
    """The largest element of each channel of (1, C, *spatial), all spatial axes kept."""
    return maximum(network, x, range(2, len(x.shape)), keep=True, origin=origin)


def argmax(network: Network, x: Tensor, axis: int, *, keep: bool, last: bool = False, origin: str) -> Value:
    """The index of the largest element along an axis, int32."""
    axis %= max(len(x.shape), 1)
    y = network.add("argmax", (channels_last(network, x, axis, origin=origin),), ArgmaxAttrs(last), origin=origin)
    return network.reshape(y, (*x.shape[:axis], 1, *x.shape[axis + 1 :]), origin=origin) if keep else y


def prelu(network: Network, x: Tensor, slope: Tensor, *, origin: str) -> Value:
    """x above zero, else slope · x; slope stretches to x."""
    return network.add("prelu", (x, network.value(slope, trains=True)), origin=origin)


def leaky_relu(network: Network, x: Tensor, slope: float, *, origin: str) -> Value:
    """A prelu whose slope is one constant."""
    constant = Constant(np.asarray([slope], np.float32), f"{origin}.slope")
    return network.add("prelu", (x, constant), origin=origin)


def elu(network: Network, x: Tensor, alpha: float, *, scale: float = 1.0, inner: float = 1.0, origin: str) -> Tensor:
    """scale · elu(inner · x)."""
    y = network.add("elu", (layers.scale(network, x, inner, origin=origin),), EluAttrs(alpha), origin=origin)
    return layers.scale(network, y, scale, origin=origin)


def choose(network: Network, op: str, parts: Sequence[Tensor], *, origin: str) -> Tensor:
    """`maximum` or `minimum` of several tensors, with broadcasting."""
    y, *others = parts
    for other in others:
        y = network.add(op, (y, other), origin=origin)
    return y


def tile(network: Network, x: Tensor, repeats: Sequence[int], *, origin: str) -> Tensor:
    """`x` repeated along its axes; more repeats than axes put axes in front."""
    y = network.reshape(x, (*(1 for _ in range(len(repeats) - len(x.shape))), *x.shape), origin=origin)
    for axis, count in enumerate(repeats):
        if count < 1:
            raise refused(f"{count} repeats of an axis leave nothing", origin)
        if count > 1:
            y = layers.concat(network, [y] * count, axis, origin=origin)
    return y


def power(network: Network, x: Tensor, exponent: float, *, origin: str) -> Tensor:
    """x to a constant power: a whole one, a half, or the inverse of one."""
    if exponent < 0:
        return network.add("reciprocal", (power(network, x, -exponent, origin=origin),), origin=origin)
    if exponent == 0.5:
        return network.add("sqrt", (x,), origin=origin)
    if exponent != int(exponent) or not 1 <= exponent <= 8:
        raise refused(f"a power of {exponent:g} is not supported", origin, "use 1 to 8, 1/2 or the inverse of one")
    y = x
    for _ in range(int(exponent) - 1):
        y = network.add("mul", (y, x), origin=origin)
    return y


def mish(network: Network, x: Tensor, *, origin: str) -> Tensor:
    """x · tanh(log(1 + eˣ))."""
    soft = network.add("softplus", (x,), origin=origin)
    return network.add("mul", (x, network.add("tanh", (soft,), origin=origin)), origin=origin)


def softsign(network: Network, x: Tensor, *, origin: str) -> Tensor:
    """x / (1 + |x|)."""
    one = Constant(np.ones((1,), np.float32), f"{origin}.one")
    size = network.add("add", (network.add("abs", (x,), origin=origin), one), origin=origin)
    return network.add("div", (x, size), origin=origin)


def negation(network: Network, x: Tensor, *, origin: str) -> Value:
    """Not x, of a truth."""
    return network.add("sub", (Constant(np.ones((), np.float32), f"{origin}.one"), x), origin=origin)
