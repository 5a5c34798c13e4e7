"""Reversible networks of 4 to 32 blocks: RAM planned, and measured on an emulated Cortex-M7, stored and rebuilt.

python benchmarks/reversible.py                         all of them (hours)
python benchmarks/reversible.py small float32 full 32   networks, precisions, methods, numbers of blocks: any of each
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from micrograft import api
from micrograft.boards import Board
from micrograft.ir.graph import Graph
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse
from micrograft.planning.memory import Ram
from micrograft.samples import check_inputs
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import measure_ram
from micrograft.torch import AttentionBranch, ConvolutionBranch, FeedForwardBranch, ReversibleBlock, ReversibleSequence

BLOCKS = (4, 8, 16, 32)
METHODS: dict[str, tuple[Method, ...]] = {
    "full": (Full(),),
    "lora": (LoRA(rank=4), Head()),
    "bias": (Bias(),),
    "head": (Head(),),
    "sparse": (),
}
"""Sparse: a quarter of the input channels of every layer in a block."""

PRECISIONS = ("float32", "int8")


class Convolutional(nn.Module):
    """16×16 pixels, 32 channels in two halves, 10 classes."""

    SHAPE: tuple[int, ...] = (1, 3, 16, 16)
    HALF = 16

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2 * self.HALF, 3, stride=2, padding=1)
        branches = [(ConvolutionBranch(self.HALF), ConvolutionBranch(self.HALF)) for _ in range(blocks)]
        self.blocks = ReversibleSequence(*(ReversibleBlock(f, g) for f, g in branches))
        self.head = nn.Linear(2 * self.HALF, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.blocks(self.stem(x))).mean((2, 3)))


class Small(Convolutional):
    """The same of 12×12 pixels and half as many channels."""

    SHAPE = (1, 3, 12, 12)
    HALF = 8


class Transformer(nn.Module):
    """32 tokens of 64 features in two halves, 10 classes."""

    SHAPE: tuple[int, ...] = (1, 32, 16)

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Linear(16, 64)
        branches = [(AttentionBranch(32, 2), FeedForwardBranch(32, 64)) for _ in range(blocks)]
        self.blocks = ReversibleSequence(*(ReversibleBlock(f, g, axis=-1) for f, g in branches))
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(x))).mean(1))


KINDS: dict[str, type[Convolutional | Transformer]] = {
    "small": Small,
    "convolutional": Convolutional,
    "transformer": Transformer,
}


def network(kind: type[Convolutional | Transformer], blocks: int, precision: str) -> Graph:
    """The network as it is imported, or calibrated with random samples."""
    torch.manual_seed(0)
    graph = api.load(kind(blocks).eval(), example=[np.zeros(kind.SHAPE, np.float32)])
    if precision == "float32":
        return graph
    samples = np.random.default_rng(0).standard_normal((32, *kind.SHAPE[1:])).astype(np.float32)
    return api.quantize(graph, samples)


def methods(name: str, graph: Graph) -> tuple[Method, ...]:
    """What is trained; a sparse scheme names the layers of the blocks."""
    if name != "sparse":
        return METHODS[name]
    weights = (param for param in graph.params if param.learnable and len(param.value.shape) > 1)
    names = (param.source.removesuffix(".weight") for param in weights)
    return (Sparse(Scheme(tuple(LayerScheme(each, weight=0.25) for each in names if each.startswith("blocks.")))),)


def measure(graph: Graph, recipe: api.Recipe, board: Board) -> tuple[Ram, Ram]:
    """RAM planned and RAM measured."""
    library = api.adapt(graph, recipe)
    planned = api.plan(library, recipe, board).ram
    x = np.random.default_rng(1).standard_normal((1, *library.input.user_shape)).astype(np.float32)
    y = np.array([3], np.int32)
    with api.emulated(library, board) as runner:
        assert isinstance(runner.device, Emulator)
        return planned, measure_ram(runner, runner.device, check_inputs(x, library.input)[0], y)


def main(words: Sequence[str]) -> None:
    """Print a row of a table for each network, precision, method and number of blocks."""

    def wanted(name: str, among: Iterable[str]) -> bool:
        return name in words or set(words).isdisjoint(among)

    torch.set_num_threads(1)
    found = api.find_board("stm32h743")
    board = replace(found, ram=replace(found.ram, size=64 << 20), flash=replace(found.flash, size=64 << 20))
    columns = "network, precision, method, blocks, parameters, arena kept, rebuilt, measured, stack, all but parameters"
    print(f"| {columns.replace(', ', ' | ')} |\n{'|---' * len(columns.split(', '))}|")
    counts = [each for each in BLOCKS if wanted(str(each), map(str, BLOCKS))]
    for kind, precision, method in product(KINDS, PRECISIONS, METHODS):
        if not all(map(wanted, (kind, precision, method), (KINDS, PRECISIONS, METHODS))):
            continue
        for blocks in counts:
            graph = network(KINDS[kind], blocks, precision)
            recipe = api.Recipe(methods(method, graph), SGD(lr=0.01), clip=None)
            kept = api.adapt(graph, replace(recipe, reversible=False)).memory.arena
            planned, measured = measure(graph, recipe, board)
            sizes = (planned.state, kept, planned.arena, measured.arena, planned.stack, planned.total - planned.state)
            cells = (kind, precision, method, str(blocks), *(f"{each:,}" for each in sizes))
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
