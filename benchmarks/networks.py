"""Networks that the benchmarks share, as a PyTorch user writes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InvertedResidual(nn.Module):
    """MobileNetV2's block (arXiv:1801.04381): expand, filter each channel, project; added to its input if alike."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        expand = [nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """MobileNetV2 of a width, with so many blocks (17 as published) and a head for 10 classes."""

    BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    """Expansion, channels, repetitions, stride of the first."""

    def __init__(self, width: float = 0.35, last: int = 448, repeat: int = 1) -> None:
        super().__init__()

        def channels(count: int) -> int:
            rounded = max(8, int(count * width + 4) // 8 * 8)
            return rounded + 8 if rounded < 0.9 * count * width else rounded

        size = channels(32)
        layers: list[nn.Module] = [nn.Conv2d(3, size, 3, 2, 1, bias=False), nn.BatchNorm2d(size), nn.ReLU6()]
        for expansion, count, repetitions, stride in self.BLOCKS:
            for index in range(repetitions * repeat):
                layers.append(InvertedResidual(size, channels(count), stride if index == 0 else 1, expansion))
                size = channels(count)
        layers += [nn.Conv2d(size, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(last, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.features(x)).flatten(1))


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is a 1×1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class ResNet8(nn.Module):
    """The image classifier of MLPerf Tiny: a stem and three residual blocks, 32×32 pixels, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1)
        self.bn = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(ResidualBlock(16, 16, 1), ResidualBlock(16, 32, 2), ResidualBlock(32, 64, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.blocks(torch.relu(self.bn(self.stem(x))))).flatten(1))


class TransformerBlock(nn.Module):
    """Self-attention and two linear layers, each behind a normalisation and added to its input."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        rows, width = x.shape[1:]
        packed = self.qkv(self.norm1(x)).reshape(1, rows, 3, self.heads, width // self.heads)
        y = nn.functional.scaled_dot_product_attention(*packed.permute(2, 0, 3, 1, 4).unbind(0))
        x = x + self.proj(y.transpose(1, 2).reshape(1, rows, width))
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class SmallTransformer(nn.Module):
    """A vision transformer of three blocks on 16 patches of 32×32 pixels, 10 classes."""

    def __init__(self, width: int = 96, heads: int = 3, blocks: int = 3) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.position = nn.Parameter(torch.randn(1, 16, width) * 0.1)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, 4 * width) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))
