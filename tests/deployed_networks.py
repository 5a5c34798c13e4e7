"""Small networks of the kinds that people deploy, for int8: gates, squeezes, branches, skips, streams, recurrences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Deployed:
    """module: makes the network. shape: of its input. floats: operators that stay float32 in int8."""

    name: str
    module: Callable[[], nn.Module]
    shape: tuple[int, ...]
    floats: frozenset[str] = frozenset()


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class Squeeze(nn.Module):
    """Squeeze-and-excite: a factor per channel from the channel's mean."""

    def __init__(self, channels: int, inner: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)
        self.inner, self.gate = inner, gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.up(self.inner(self.down(x.mean((2, 3), keepdim=True)))))


class Residual(nn.Module):
    """y = x + body(x)."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)]


def mobilenet_v3() -> nn.Module:
    return nn.Sequential(
        *_conv(3, 8, 3, 2), nn.Hardswish(),
        Residual(*_conv(8, 16), nn.Hardswish(), *_conv(16, 16, 3, groups=16), nn.ReLU(),
                 Squeeze(16, nn.ReLU(), nn.Hardsigmoid()), *_conv(16, 8)),
        nn.Conv2d(8, 12, 1), nn.Hardswish(), *_head(12),
    )  # fmt: skip


def efficientnet() -> nn.Module:
    return nn.Sequential(
        *_conv(3, 8, 3, 2), nn.SiLU(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, 2, groups=8), nn.SiLU(),
        Squeeze(8, nn.SiLU(), nn.Sigmoid()), nn.Conv2d(8, 12, 1), nn.Mish(), *_head(12),
    )  # fmt: skip


class UNet(nn.Module):
    """Down, up by the nearest, and joined with what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Sequential(*_conv(1, 4, 3), nn.ReLU()), nn.Sequential(*_conv(4, 6, 3), nn.ReLU())
        self.up, self.join, self.out = nn.Upsample(scale_factor=2), nn.Conv2d(10, 4, 3, 1, 1), nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        return self.out(F.leaky_relu(self.join(torch.cat([self.up(self.b(F.max_pool2d(a, 2))), a], 1)), 0.1))


class Dense(nn.Module):
    """Batch norm and ReLU in front of each convolution, which reads all that went before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 4, 3, 1, 1)) for channels in (6, 10)
        )
        self.head = nn.Sequential(nn.BatchNorm2d(14), nn.ReLU(), nn.AvgPool2d(2), *_head(14))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        out: Tensor = self.head(x)
        return out


class Shuffle(nn.Module):
    """Half of the channels pass, and all are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 8, 3, 2, 1), nn.Sequential(*_conv(4, 4), nn.ReLU(), *_conv(4, 4, 3))
        self.head = nn.Sequential(*_head(8))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.stem(x).chunk(2, 1)
        y = torch.cat([a, self.branch(b)], 1)
        out: Tensor = self.head(y.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2))
        return out


class Inception(nn.Module):
    """Branches of different kernels, and a pool, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.branches = nn.ModuleList(
            [
                nn.Conv2d(6, 4, 1),
                nn.Conv2d(6, 4, 3, padding=1),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(6, 2, 1)),
            ]
        )
        self.head = nn.Sequential(*_head(10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        out: Tensor = self.head(torch.cat([F.relu(branch(x)) for branch in self.branches], 1))
        return out


class Gated(nn.Module):
    """A causal convolution of WaveNet: tanh times sigmoid, and the input added."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.content, self.gate = (nn.Conv1d(channels, channels, 3, dilation=dilation) for _ in range(2))
        self.pad = 2 * dilation

    def forward(self, x: Tensor) -> Tensor:
        y = F.pad(x, (self.pad, 0))
        return x + torch.tanh(self.content(y)) * torch.sigmoid(self.gate(y))


def wavenet() -> nn.Module:
    head = (nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 4))
    return nn.Sequential(nn.Conv1d(3, 6, 1), Gated(6, 1), Gated(6, 2), *head)


class Attentive(nn.Module):
    """Channels weighed by a softmax over them, and what was found in two places compared."""

    def __init__(self) -> None:
        super().__init__()
        self.values, self.scores = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(3, 6, 3, 2, 1)
        self.up = nn.ConvTranspose2d(6, 6, 3, 2, 1, output_padding=1)
        self.head = nn.Sequential(*_head(6))

    def forward(self, x: Tensor) -> Tensor:
        values = self.values(x)
        weighed = self.up(values * self.scores(x).softmax(1))
        smooth = F.interpolate(values, scale_factor=2.0, mode="bilinear")
        out: Tensor = self.head(torch.maximum(weighed, smooth) - F.elu(weighed))
        return out


class ConvTransformer(nn.Module):
    """Convolutions in front of an encoder layer, with positions that are learned."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(3, 8, 5, 2, 2), nn.GELU())
        self.places = nn.Parameter(torch.randn(1, 10, 8) * 0.1)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.stem(x).transpose(1, 2) + self.places).mean(1))
        return out


class ConvLstm(nn.Module):
    """Convolutions in front of an LSTM, of which the last state counts."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(3, 6, 3, 2, 1), nn.ReLU())
        self.lstm, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(self.stem(x).transpose(1, 2))[0][:, -1])
        return out


_IMAGE, _WAVE = (1, 3, 10, 10), (1, 3, 20)
DEPLOYED = (
    Deployed("mobilenet_v3", mobilenet_v3, _IMAGE),
    Deployed("efficientnet", efficientnet, _IMAGE),
    Deployed("unet", UNet, (1, 1, 8, 8)),
    Deployed("densenet", Dense, (1, 3, 9, 8)),
    Deployed("shufflenet", Shuffle, _IMAGE),
    Deployed("inception", Inception, _IMAGE),
    Deployed("attentive", Attentive, _IMAGE),
    Deployed("wavenet", wavenet, _WAVE),
    Deployed("conv_transformer", ConvTransformer, _WAVE, frozenset({"packed_attention", "layer_norm"})),
    Deployed("conv_lstm", ConvLstm, _WAVE, frozenset({"lstm"})),
)


def build(deployed: Deployed) -> nn.Module:
    """The network with batch norms that are not the identity."""
    torch.manual_seed(0)
    module = deployed.module()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in ((part.running_mean, -0.3, 0.3), (part.running_var, 0.5, 2.0)):
                assert tensor is not None
                nn.init.uniform_(tensor, low, high)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.3, 0.3)
    return module.eval()
