"""Networks of any number of layers, as a PyTorch user writes them: the planner's time and gaps are measured on them.

A layer is a convolution or a linear layer. Every public function here takes their number and gives a network of about
so many on 3×32×32 pixels and 10 classes.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from networks import InvertedResidual, MobileNetV2, SmallTransformer
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3×3 convolutions with batch norms beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class DenseLayer(nn.Module):
    """A convolution whose output stands beside its input (DenseNet, arXiv:1608.06993)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, growth, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, torch.relu(self.conv(x))], 1)


class UNet(nn.Module):
    """Three resolutions down and up, `depth` convolutions at each, with concatenating skips (arXiv:1505.04597)."""

    def __init__(self, depth: int, channels: int = 8) -> None:
        super().__init__()
        widths = [channels, 2 * channels, 4 * channels]
        self.down = nn.ModuleList(_convolutions(a, b, depth) for a, b in zip([3, *widths], widths, strict=False))
        self.bottom = _convolutions(widths[-1], widths[-1], depth)
        self.up = nn.ModuleList(
            _convolutions(2 * width, max(width // 2, channels), depth) for width in reversed(widths)
        )
        self.head = nn.Sequential(*_head(channels))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for each in self.down:
            skips.append(each(x))
            x = nn.functional.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for each in self.up:
            x = each(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), skips.pop()], 1))
        return self.head(x)


def chain(layers: int) -> nn.Module:
    """Convolutions one behind the other."""
    middle = [each for _ in range(layers - 2) for each in (nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU())]
    return nn.Sequential(*_stem(16), *middle, *_head(16))


def residual(layers: int) -> nn.Module:
    """Residual blocks of one size."""
    return nn.Sequential(*_stem(16), *(Residual(16) for _ in range((layers - 2) // 2)), *_head(16))


def inverted(layers: int) -> nn.Module:
    """MobileNetV2's blocks, all of one size."""
    return nn.Sequential(*_stem(8), *(InvertedResidual(8, 8, 1, 6) for _ in range((layers - 2) // 3)), *_head(8))


def mobilenet(layers: int) -> nn.Module:
    """MobileNetV2-0.35, each block as often as it takes."""
    return MobileNetV2(repeat=max(1, round(layers / 51)))


def transformer(layers: int) -> nn.Module:
    """A vision transformer on 16 patches."""
    return SmallTransformer(width=48, blocks=max(1, (layers - 2) // 4))


def unet(layers: int) -> nn.Module:
    """An encoder and a decoder with skips between them."""
    return UNet(max(1, (layers - 1) // 7))


def dense(layers: int) -> nn.Module:
    """Three DenseNet blocks, narrowed and halved behind each."""
    found, channels = _stem(16), 16
    for _ in range(3):
        for _ in range(max(1, (layers - 5) // 3)):
            found.append(DenseLayer(channels, 2))
            channels += 2
        found += [nn.Conv2d(channels, channels // 2, 1), nn.ReLU(), nn.AvgPool2d(2)]
        channels //= 2
    return nn.Sequential(*found, *_head(channels))


def _stem(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


def _head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def _convolutions(inputs: int, outputs: int, count: int) -> nn.Sequential:
    sizes = [inputs] + [outputs] * count
    return nn.Sequential(*(each for a, b in pairwise(sizes) for each in (nn.Conv2d(a, b, 3, 1, 1), nn.ReLU())))
