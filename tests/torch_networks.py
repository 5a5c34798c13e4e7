"""The networks on which the spine's promises are shown, as a PyTorch user writes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(20, 16)
        self.fc2 = nn.Linear(16, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.fc2(torch.relu(self.fc1(x)))))


class Block(nn.Module):
    """A residual block with frozen-statistics batch normalisation; its input is read twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + x)


class ResidualCnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.block1 = Block(8)
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.block2 = Block(12)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block2(self.down(self.block1(torch.relu(self.stem(x)))))
        return self.head(self.pool(y).flatten(1))


class DsCnn(nn.Module):
    """Depthwise-separable convolutions, relu6, batch normalisation, as in keyword spotting."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, (10, 4), stride=2, padding=(4, 1), bias=False)
        self.stem_bn = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(8)
        self.pointwise = nn.Conv2d(8, 16, 1)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(16 * 6 * 2, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu6(self.stem_bn(self.stem(x)))
        y = nn.functional.relu6(self.depthwise_bn(self.depthwise(y)))
        return self.head(self.pool(torch.relu(self.pointwise(y))).flatten(1))


class WatchNet(nn.Module):
    """The demo's network: four 1-D convolutions over three seconds of motion."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(6, 24, 5, padding=2)
        self.conv2 = nn.Conv1d(24, 32, 5, padding=2)
        self.conv3 = nn.Conv1d(32, 48, 5, padding=2)
        self.conv4 = nn.Conv1d(48, 64, 5, padding=2)
        self.head = nn.Linear(64, 7)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2, self.conv3):
            x = nn.functional.max_pool1d(torch.relu(conv(x)), 2)
        return self.head(nn.functional.avg_pool1d(torch.relu(self.conv4(x)), 18).flatten(1))


SHAPES = {Mlp: (1, 20), ResidualCnn: (1, 3, 16, 16), DsCnn: (1, 1, 26, 10), WatchNet: (1, 6, 150)}
CLASSES = {Mlp: 5, ResidualCnn: 4, DsCnn: 6, WatchNet: 7}


def make(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """A network in eval mode whose batch normalisations have statistics of their own."""
    torch.manual_seed(seed)
    module = kind()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.uniform_(-0.3, 0.3)
            layer.running_var.uniform_(0.5, 1.5)
    return module.eval()
