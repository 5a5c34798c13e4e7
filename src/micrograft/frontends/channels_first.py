"""Layers as PyTorch and ONNX mean them, channels first, drawn with our operators, channels last.

Each is a transposition, our operator and the transposition back; weights are transposed in the same way. The pass
`eliminate_transposes` then cancels what meets and lays the weights out anew, so that nothing of it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from micrograft.frontends import layers
from micrograft.frontends.network import Network, Tensor, refused
from micrograft.ir.types import Shape, Value
from micrograft.ops.average_pool import AveragePoolAttrs
from micrograft.ops.batch_norm import BatchNormAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.max_pool import PoolAttrs

Padding = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """A window sliding over the spatial axes, one entry per axis; padding is (before, after)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]

    def rounded_up(self, spatial: Shape) -> Windows:
        """The same, padded behind so that a last, partial window counts too ("ceil mode").

        A window that would start behind the input and its padding in front does not count, as in PyTorch.
        """
        padding = []
        for size, kernel, stride, (before, after), dilation in zip(
            spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True
        ):
            extent = (kernel - 1) * dilation + 1
            last = -(-(size + before + after - extent) // stride)
            if last * stride >= size + before:
                last -= 1
            padding.append((before, max(after, last * stride + extent - size - before)))
        return replace(self, padding=tuple(padding))


def same_padding(spatial: Shape, kernel: Shape, stride: Shape, dilation: Shape, *, upper: bool = True) -> Padding:
    """The padding that gives ceil(size / stride) outputs, the odd one behind (`upper`) or in front.

    >>> same_padding((7,), (4,), (2,), (1,))
    ((1, 2),)
    """
    padding = []
    for size, taps, step, spread in zip(spatial, kernel, stride, dilation, strict=True):
        total = max(0, (-(-size // step) - 1) * step + (taps - 1) * spread + 1 - size)
        less, more = total // 2, total - total // 2
        padding.append((less, more) if upper else (more, less))
    return tuple(padding)


def channels_last(network: Network, x: Tensor, axis: int, *, origin: str) -> Value:
    """`x` with `axis` moved to the end."""
    return network.transpose(x, _to_last(len(x.shape), axis), origin=origin)


def channels_back(network: Network, y: Value, axis: int, *, origin: str) -> Value:
    """`y` with its last axis moved to `axis`: the inverse of `channels_last`."""
    order = _to_last(len(y.shape), axis)
    return network.transpose(y, [order.index(each) for each in range(len(order))], origin=origin)


def _to_last(rank: int, axis: int) -> list[int]:
    return [each for each in range(rank) if each != axis % rank] + [axis % rank]


def convolution(
    network: Network, x: Tensor, weight: Tensor, bias: Tensor | None, windows: Windows, groups: int, *, origin: str
) -> Value:
    """x: (1, C, *spatial); weight: (O, C/groups, *kernel); bias: (O,); gives (1, O, *positions)."""
    rank = len(weight.shape)
    if rank not in (3, 4) or len(x.shape) != rank:
        raise refused(f"a convolution of {x.shape} with {weight.shape} is not one over 1 or 2 axes", origin)
    attrs = ConvAttrs(windows.stride, windows.padding, windows.dilation, groups)
    depthwise = groups == x.shape[1] > 1 and weight.shape[1] == 1
    order = (1, *range(2, rank), 0) if depthwise else (0, *range(2, rank), 1)
    inputs: list[Tensor] = [
        channels_last(network, x, 1, origin=origin),
        network.transpose(network.value(weight, trains=True), order, origin=origin),
    ]
    if bias is not None:
        inputs.append(network.value(bias, trains=True))
    y = network.add("depthwise_conv" if depthwise else "conv", inputs, attrs, origin=origin)
    return channels_back(network, y, 1, origin=origin)


def max_pool(network: Network, x: Tensor, windows: Windows, *, ceil: bool, origin: str) -> Value:
    """x: (1, C, *spatial); gives (1, C, *positions)."""
    if ceil:
        windows = windows.rounded_up(x.shape[2:])
    attrs = PoolAttrs(windows.kernel, windows.stride, windows.padding, windows.dilation)
    y = network.add("max_pool", (channels_last(network, x, 1, origin=origin),), attrs, origin=origin)
    return channels_back(network, y, 1, origin=origin)


def average_pool(
    network: Network, x: Tensor, windows: Windows, *, ceil: bool, count_padding: bool, origin: str
) -> Value:
    """x: (1, C, *spatial); gives (1, C, *positions). count_padding: whether zeros around the input are averaged too."""
    if set(windows.dilation) != {1}:
        raise refused("dilated average pooling is not supported", origin)
    count_padding = count_padding and any(pads != (0, 0) for pads in windows.padding)
    if ceil:
        padded = windows.rounded_up(x.shape[2:])
        if count_padding and padded != windows:
            raise refused("average pooling that counts its padding and rounds its output size up is not supported",
                          origin, "use count_include_pad=False")  # fmt: skip
        windows = padded
    attrs = AveragePoolAttrs(windows.kernel, windows.stride, windows.padding, count_padding)
    y = network.add("average_pool", (channels_last(network, x, 1, origin=origin),), attrs, origin=origin)
    return channels_back(network, y, 1, origin=origin)


def mean(network: Network, x: Tensor, axes: Sequence[int], *, keep: bool, origin: str) -> Tensor:
    """The mean over some axes; over all but the batch and one other, the channels, it is a global pool."""
    rank = len(x.shape)
    reduced = {axis % rank for axis in axes}
    channels = [axis for axis in range(1, rank) if axis not in reduced]
    within = keep and reduced == {rank - 1}  # a normalisation's, more likely than a pool's
    if within or 0 in reduced or len(channels) != 1 or rank not in (3, 4) or x.shape[0] != 1:
        return layers.total(network, x, axes, keep=keep, mean=True, origin=origin)
    last = channels_last(network, x, channels[0], origin=origin)
    y = network.add("global_average_pool", (last,), origin=origin)
    y = channels_back(network, y, channels[0], origin=origin)
    return y if keep else network.reshape(y, (1, x.shape[channels[0]]), origin=origin)


def batch_norm(
    network: Network, x: Tensor, affine: Sequence[Tensor], statistics: Sequence[Tensor], epsilon: float, *, origin: str
) -> Value:
    """x: (1, C, *spatial); affine: weight and bias; statistics: mean and variance, each (C,)."""
    inputs: list[Tensor] = [channels_last(network, x, 1, origin=origin)]
    inputs += [network.value(each, trains=True) for each in affine]
    inputs += [network.value(each) for each in statistics]
    y = network.add("batch_norm", inputs, BatchNormAttrs(epsilon), origin=origin)
    return channels_back(network, y, 1, origin=origin)


def softmax(network: Network, x: Tensor, axis: int, *, op: str = "softmax", origin: str) -> Value:
    """Softmax, or another operator over the last axis that keeps its length, over one axis."""
    y = network.add(op, (channels_last(network, x, axis, origin=origin),), origin=origin)
    return channels_back(network, y, axis, origin=origin)
