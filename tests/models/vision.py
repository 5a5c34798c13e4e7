"""The convolutional networks that people bring to microcontrollers, as a PyTorch user writes them."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.networks import MobileNetV2, ResNet8


class DsCnn(nn.Module):
    """MLPerf Tiny's keyword spotting (arXiv:1711.07128): depthwise-separable convolutions over 49 × 10 features."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.Dropout(0.2)]
        for _ in range(4):
            layers += [nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
            layers += [nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Dropout(0.4))
        self.head = nn.Linear(64, 12)

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        return self.head(nn.functional.avg_pool2d(y, y.shape[2:]).flatten(1))


SHAPES: dict[type[nn.Module], tuple[int, ...]] = {
    DsCnn: (1, 1, 49, 10),
    ResNet8: (1, 3, 32, 32),
    MobileNetV2: (1, 3, 48, 48),
}
CLASSES: dict[type[nn.Module], int] = {DsCnn: 12, ResNet8: 10, MobileNetV2: 10}
