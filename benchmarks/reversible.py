"""Reversible networks of 4 to 32 blocks: RAM planned, and measured on an emulated Cortex-M7, stored and rebuilt.

python benchmarks/reversible.py        the table (ten minutes)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from micrograft import api
from micrograft.boards import Board
from micrograft.ir.graph import Graph
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.planning.memory import Ram
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions, measure_ram
from micrograft.torch import AttentionBranch, ConvolutionBranch, FeedForwardBranch, ReversibleBlock, ReversibleSequence

BLOCKS = (4, 8, 16, 32)
METHODS: dict[str, tuple[Method, ...]] = {"full": (Full(),), "lora": (LoRA(rank=4), Head())}


class Convolutional(nn.Module):
    """32×32 pixels, 32 channels in two halves, 10 classes."""

    SHAPE = (1, 3, 32, 32)

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        branches = [(ConvolutionBranch(16), ConvolutionBranch(16)) for _ in range(blocks)]
        self.blocks = ReversibleSequence(*(ReversibleBlock(f, g) for f, g in branches))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.blocks(self.stem(x))).mean((2, 3)))


class Transformer(nn.Module):
    """32 tokens of 64 features in two halves, 10 classes."""

    SHAPE = (1, 32, 16)

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Linear(16, 64)
        branches = [(AttentionBranch(32, 2), FeedForwardBranch(32, 64)) for _ in range(blocks)]
        self.blocks = ReversibleSequence(*(ReversibleBlock(f, g, axis=-1) for f, g in branches))
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(x))).mean(1))


def measure(graph: Graph, recipe: api.Recipe, board: Board) -> tuple[Ram, Ram, int]:
    """RAM planned, RAM measured, and instructions of a step."""
    library = api.adapt(graph, recipe)
    planned = api.plan(library, recipe, board).ram
    x = np.random.default_rng(1).standard_normal(library.input.user_shape).astype(np.float32)
    y = np.array([3], np.int32)
    with api.emulated(library, board) as runner:
        assert isinstance(runner.device, Emulator)
        measured = measure_ram(runner, runner.device, x, y)
        return planned, measured, count_instructions(runner.device, lambda: runner.train_step(x, y))


def main() -> None:
    """Print a line for each network, method, number of blocks and way."""
    torch.set_num_threads(1)
    found = api.find_board("stm32h743")
    board = replace(found, ram=replace(found.ram, size=64 << 20), flash=replace(found.flash, size=64 << 20))
    form = "{:<14}{:<6}{:>7}{:<9}{:>11}{:>11}{:>12}{:>11}{:>13}"
    print(
        form.format(
            "network", "method", "blocks", "  way", "arena", "measured", "parameters", "the rest", "instructions"
        )
    )
    for kind in (Convolutional, Transformer):
        for method, methods in METHODS.items():
            for blocks in BLOCKS:
                torch.manual_seed(0)
                graph = api.load(kind(blocks).eval(), example=[np.zeros(kind.SHAPE, np.float32)])
                for way in ("stored", "rebuilt"):
                    recipe = api.Recipe(methods, SGD(lr=0.01), clip=None, reversible=way == "rebuilt")
                    planned, measured, count = measure(graph, recipe, board)
                    kept = planned.state + planned.optimizer
                    sizes = (planned.arena, measured.arena, kept, planned.total - kept, count)
                    print(
                        form.format(kind.__name__, method, blocks, f"  {way}", *(f"{each:,}" for each in sizes)),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
