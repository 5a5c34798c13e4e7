"""Reversible networks as PyTorch users write them: with our modules, and with couplings of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from micrograft.torch import (
    AttentionBranch,
    ConvolutionBranch,
    FeedForwardBranch,
    ReversibleBlock,
    ReversibleSequence,
)


class ReversibleCnn(nn.Module):
    """A stem, so many reversible blocks on 16 channels, each a module of its own, and a head."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(
            *(ReversibleBlock(ConvolutionBranch(8), ConvolutionBranch(8)) for _ in range(blocks))
        )
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.blocks(torch.relu(self.stem(x)))).mean((2, 3)))


class ReversibleTransformer(nn.Module):
    """Tokens of 24 numbers in two streams (arXiv:2001.04451)."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 24)
        self.position = nn.Parameter(torch.randn(1, 10, 24) * 0.1)
        self.blocks = ReversibleSequence(
            *(ReversibleBlock(AttentionBranch(12, 2), FeedForwardBranch(12, 24), axis=-1) for _ in range(blocks))
        )
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(x) + self.position)).mean(1))


class Handwritten(nn.Module):
    """One coupling at a time and the halves swapped (NICE, arXiv:1410.8516), differences, a residual in the branch."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Linear(9, 12)
        self.inner = nn.ModuleList(nn.Linear(6, 6) for _ in range(2 * blocks))
        self.outer = nn.ModuleList(nn.Linear(6, 6) for _ in range(2 * blocks))
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        for index, (inner, outer) in enumerate(zip(self.inner, self.outer, strict=True)):
            a, b = torch.split(x, 6, dim=1)
            branch = outer(b + torch.tanh(inner(b)))
            x = torch.cat([b, a - branch if index % 2 else branch + a], dim=1)
        return self.head(torch.tanh(x))


class ThreeStreams(nn.Module):
    """Three streams, each moved in turn by what a branch makes of the two others."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.stems = nn.ModuleList(nn.Linear(9, 5) for _ in range(3))
        self.branches = nn.ModuleList(nn.Linear(10, 5) for _ in range(3 * rounds))
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        streams = [torch.tanh(stem(x)) for stem in self.stems]
        for branch in self.branches:
            first, *others = streams
            streams = [*others, first + torch.relu(branch(torch.cat(others, 1)))]
        return self.head(streams[0] * streams[1] + streams[2])


class Stages(nn.Module):
    """As RevNet: stages with a convolution between them that no one can undo; uneven halves; the last is alone."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 10, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.ModuleList((self.bottleneck(width, 4), self.bottleneck(4, width))) for _ in range(count))
            for width, count in ((6, blocks), (8, 1))
        )
        self.down = nn.Conv2d(10, 12, 3, stride=2, padding=1)
        self.head = nn.Linear(12, 4)

    @staticmethod
    def bottleneck(inputs: int, outputs: int) -> nn.Module:
        depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        return nn.Sequential(
            nn.Conv2d(inputs, 12, 1), nn.BatchNorm2d(12), nn.ReLU6(), depthwise, nn.ReLU6(), nn.Conv2d(12, outputs, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for index, blocks in enumerate(self.stages):
            assert isinstance(blocks, nn.ModuleList)
            x = torch.relu(self.down(x)) if index else x
            wide, narrow = torch.split(x, [x.shape[1] - 4, 4], dim=1)
            for f, g in blocks:
                narrow = narrow + f(wide)
                wide = wide - g(narrow)
            x = torch.cat([wide, narrow], dim=1)
        return self.head(torch.relu(x).mean((2, 3)))


class Leapfrog(nn.Module):
    """Each state is the one before the last, moved by what a branch makes of the last; every third by shares of 1."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 6, 5, padding=2), nn.Conv1d(6, 6, 3, padding=1)
        self.branches = nn.ModuleList(nn.Conv1d(6, 6, 3, padding=1) for _ in range(2 * blocks))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        before = torch.relu(self.first(x))
        now = self.second(before)
        for index, branch in enumerate(self.branches):
            moved = torch.softmax(branch(now), 1) if index % 3 == 1 else torch.tanh(branch(now))
            before, now = now, before + moved
        return self.head(now.mean(2))


SHAPES: dict[type[nn.Module], tuple[int, ...]] = {
    ReversibleCnn: (1, 3, 12, 12),
    ReversibleTransformer: (1, 10, 6),
    Handwritten: (1, 9),
    ThreeStreams: (1, 9),
    Stages: (1, 3, 10, 10),
    Leapfrog: (1, 4, 16),
}


def make(kind: type[nn.Module], blocks: int) -> nn.Module:
    """The network in evaluation mode, with statistics of its own where it normalises batches."""
    torch.manual_seed(0)
    module = kind(blocks)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.uniform_(-0.3, 0.3)
            layer.running_var.uniform_(0.5, 1.5)
    return module.eval()
