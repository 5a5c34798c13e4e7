"""Small PyTorch networks of the layers beyond the first ones, for both frontends."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.frontends.torch_networks import Case


class Layer(nn.Module):
    """A convolution in front, so that something is learned, and a function behind it."""

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


def _gates(x: Tensor) -> Tensor:
    return F.hardswish(x) + F.hardsigmoid(x) * F.leaky_relu(x, 0.2) - F.elu(x, 0.7)


def _soft(x: Tensor) -> Tensor:
    return F.softplus(x) + F.selu(x) * F.celu(x, 0.5) - F.mish(x) + F.softsign(x)


def _algebra(x: Tensor) -> Tensor:
    positive = x.abs() + 0.5
    return positive.log() - positive.sqrt() + (-positive).exp() / positive + positive**-0.5 + x**3


def _bounds(x: Tensor) -> Tensor:
    y = torch.clamp(x, -0.5, 1.5) + F.hardtanh(x, -0.3, 0.4) + torch.clamp(x, max=0.25)
    return torch.maximum(y, x * 0.5) - torch.minimum(y, x.mean((2, 3), keepdim=True))


def _pads(x: Tensor) -> Tensor:
    y = F.pad(x, (1, 2, 0, 1)) + F.pad(x, (1, 2, 0, 1), value=-1.0)
    return F.pad(y, (2, 1, 3, 0), mode="reflect") + F.pad(y, (2, 1, 3, 0), mode="replicate")


def _chosen(x: Tensor) -> Tensor:
    kept = torch.where((x > 0.2) | (x <= -1.0), x, x * 0.5 - 1)
    return kept.masked_fill(torch.ones(5, 4, dtype=torch.bool).tril(), -2.0) + torch.where(x < 0, x, 0.0)


def _repeated(x: Tensor) -> Tensor:
    return x.repeat(1, 2, 1, 2)


def _prelus() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4, 0.1), nn.Conv2d(4, 2, 3), nn.PReLU())


def _groups() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.GroupNorm(3, 6), nn.ReLU(), nn.Conv2d(6, 1, 1), nn.GroupNorm(1, 1), nn.Sigmoid(),
    )  # fmt: skip


def _autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8), nn.ELU(), nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1), nn.Hardswish(),
        nn.Upsample(scale_factor=2), nn.Conv2d(6, 1, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip


def _transposed() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(4, 6, (2, 3), (1, 2), (0, 1), groups=2), nn.ReLU(),
        nn.ConvTranspose2d(6, 5, 3, dilation=(2, 1), bias=False),
    )  # fmt: skip


def _wave() -> nn.Module:
    return nn.Sequential(
        nn.ConstantPad1d((2, 1), 0.5), nn.Conv1d(3, 4, 3), nn.ReLU(), nn.ConvTranspose1d(4, 5, 4, 2, 1),
        nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.LogSoftmax(1),
    )  # fmt: skip


def _resizes(x: Tensor) -> Tensor:
    y = F.interpolate(x, size=(7, 9), mode="bilinear") + F.interpolate(x, size=(7, 9), mode="nearest")
    return F.interpolate(y, size=(10, 13), mode="bilinear", align_corners=True)


def _moved(x: Tensor) -> Tensor:
    return x.roll((1, -2), (2, 3)) + x.flip(1) - x.flip(2, 3) + x[:, [3, 1, 0, 2, 2]][:, :4]


def _shuffled(x: Tensor) -> Tensor:
    y = F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
    return F.pixel_shuffle(torch.cat([y, x], 1), 2)


def _assigned(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :2, 1:] = x[:, :2, :-1]
    y[:, 3] = x[:, 0]
    return torch.stack([y, torch.full_like(x, 0.5) * x], 4).flatten(3)


def _reduced(x: Tensor) -> Tensor:
    y = x.std(1) + x.var((1, 3), unbiased=False, keepdim=True).squeeze(1) - x.max(1).values + x.min(1)[0]
    return y + x.logsumexp(1) * x.norm(dim=1) + F.normalize(x, dim=2).sum(1) + x.norm(1, dim=1) - x.mean()


def _summed(x: Tensor) -> Tensor:
    y = torch.einsum("bchw,bdhw->bcd", x, x.cumsum(2))
    return torch.einsum("bcd,bdhw->bhwc", y.softmax(2), x) + torch.einsum("...ij->...ji", x).permute(0, 3, 2, 1)


def _split(x: Tensor) -> Tensor:
    return F.glu(x, 1) + F.logsigmoid(x[:, :2]) * F.softshrink(x[:, 2:], 0.3) + F.tanhshrink(x[:, 1:3])


class Biased(nn.Module):
    """Scores with a learned table of biases, one for each distance, as window attention has them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)
        self.table = nn.Parameter(torch.randn(9, 2))
        rows = torch.arange(5)
        self.register_buffer("places", rows[:, None] - rows[None] + 4)

    def forward(self, x: Tensor) -> Tensor:
        q = self.linear(x).unflatten(2, (2, 4)).transpose(1, 2)
        bias = self.table[self.places.view(-1)].view(5, 5, 2).permute(2, 0, 1)
        return (q @ q.transpose(-2, -1) + bias).softmax(-1) @ q


ONLY_FROM_TORCH = (
    Case(
        "linear_1d",
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.Upsample(scale_factor=1.5, mode="linear")),
        ((1, 3, 12),),
    ),
)
"""ONNX's newer exporter writes them as gathers."""

CASES = (
    Case("gates", lambda: Layer(_gates), ((1, 3, 5, 4),)),
    Case("soft", lambda: Layer(_soft), ((1, 3, 5, 4),)),
    Case("algebra", lambda: Layer(_algebra), ((1, 3, 5, 4),)),
    Case("bounds", lambda: Layer(_bounds), ((1, 3, 5, 4),)),
    Case("pads", lambda: Layer(_pads), ((1, 3, 6, 5),)),
    Case("chosen", lambda: Layer(_chosen), ((1, 3, 5, 4),)),
    Case("repeated", lambda: Layer(_repeated), ((1, 3, 3, 4),)),
    Case("prelus", _prelus, ((1, 3, 8, 7),)),
    Case("groups", _groups, ((1, 3, 8, 7),)),
    Case("autoencoder", _autoencoder, ((1, 1, 12, 8),)),
    Case("transposed", _transposed, ((1, 4, 5, 4),)),
    Case("wave_up", _wave, ((1, 3, 12),)),
    Case("resizes", lambda: Layer(_resizes), ((1, 3, 5, 4),)),
    Case("global_max", lambda: Layer(lambda x: F.adaptive_max_pool2d(x, 1).flatten(1)), ((1, 3, 5, 4),)),
    Case("moved", lambda: Layer(_moved), ((1, 3, 5, 4),), transposes=None),
    Case("shuffled", lambda: Layer(_shuffled), ((1, 3, 6, 4),), transposes=None),
    Case("assigned", lambda: Layer(_assigned), ((1, 3, 5, 4),), transposes=None),
    Case("reduced", lambda: Layer(_reduced), ((1, 3, 5, 4),), transposes=None),
    Case("summed", lambda: Layer(_summed), ((1, 3, 5, 4),), transposes=None),
    Case("split", lambda: Layer(_split), ((1, 3, 5, 4),), transposes=None),
    Case("biased", Biased, ((1, 5, 6),), transposes=None),
    Case("argmax", lambda: Layer(lambda x: F.log_softmax(x.mean((2, 3)), 1).argmax(1)), ((1, 3, 5, 4),)),
)
