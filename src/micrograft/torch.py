"""Reversible blocks for PyTorch: networks whose training needs no more memory when they get deeper.

Additive coupling on two halves of the channels, as in RevNet (arXiv:1707.04585) and Reformer (arXiv:2001.04451):

    y1 = x1 + f(x2)        x2 = y2 - g(y1)
    y2 = x2 + g(y1)        x1 = y1 - f(x2)

They are ordinary modules and export as the plain graph that they are. micrograft knows the coupling by its structure,
not by these classes, so one that is written out by hand does as well. This file is a face of the house: nothing in it
imports it, so that nothing but a user who has PyTorch needs PyTorch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AttentionBranch", "ConvolutionBranch", "FeedForwardBranch", "ReversibleBlock", "ReversibleSequence"]


class ReversibleBlock(nn.Module):
    """Two halves of `axis`, each moved by what a branch makes of the other.

    f, g: modules that keep the shape of half a tensor. axis: that is split; channels (1) of an image, features (-1)
    of tokens.

    >>> block = ReversibleBlock(nn.Linear(3, 3), nn.Linear(3, 3), axis=-1)
    >>> x = torch.randn(1, 6)
    >>> torch.allclose(block.inverse(block(x)), x, atol=1e-5)
    True
    """

    def __init__(self, f: nn.Module, g: nn.Module, axis: int = 1) -> None:
        super().__init__()
        self.f = f
        self.g = g
        self.axis = axis

    def couple(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        """The two halves behind the block, from those before it."""
        y1 = x1 + self.f(x2)
        return y1, x2 + self.g(y1)

    def uncouple(self, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor]:
        """The two halves before the block, from those behind it."""
        x2 = y2 - self.g(y1)
        return y1 - self.f(x2), x2

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.couple(*x.chunk(2, self.axis)), self.axis)

    def inverse(self, y: Tensor) -> Tensor:
        """What the block was given, within rounding."""
        return torch.cat(self.uncouple(*y.chunk(2, self.axis)), self.axis)


class ReversibleSequence(nn.Sequential):
    """Blocks one behind the other; the halves are split once and joined once."""

    def __init__(self, *blocks: ReversibleBlock) -> None:
        super().__init__(*blocks)
        if len({block.axis for block in blocks}) != 1:
            raise ValueError("the blocks of a reversible sequence split the same axis, and there is at least one")
        self.axis = blocks[0].axis

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, self.axis)
        for block in self:
            assert isinstance(block, ReversibleBlock)
            x1, x2 = block.couple(x1, x2)
        return torch.cat((x1, x2), self.axis)


class ConvolutionBranch(nn.Sequential):
    """A convolutional f or g: batch normalisation, relu and a convolution, twice, on so many channels."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        layers: list[nn.Module] = []
        for _ in range(2):
            convolution = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), convolution]
        super().__init__(*layers)


class AttentionBranch(nn.Module):
    """A transformer's f: layer normalisation and self-attention; tokens (1, rows, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        rows, width = x.shape[-2:]
        packed = self.qkv(self.norm(x)).reshape(-1, rows, 3, self.heads, width // self.heads)
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        result: Tensor = self.proj(y.transpose(1, 2).reshape(-1, rows, width))
        return result


class FeedForwardBranch(nn.Sequential):
    """A transformer's g: layer normalisation and two linear layers with gelu between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
