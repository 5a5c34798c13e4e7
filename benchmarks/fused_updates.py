"""What it saves and costs that updates compute gradients part by part: full training of MCUNet-5FPS (128x128, int8,
ten classes) with such updates as the planner chooses them, and without any; the same bits either way.

Arenas are planned and reached; instructions of a step are counted on an emulated Cortex-M7 with memory enough.
The network and the photographs lie in ../shared.

    python -m benchmarks.fused_updates [--gradients int16] [--optimizer sgd:momentum=0.9] [--clip none]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from unittest.mock import patch

import numpy as np

from micrograft import api
from micrograft.boards import Board
from micrograft.codegen.artifact import Library
from micrograft.passes.fuse_updates import fusable
from micrograft.recipe import Recipe
from micrograft.samples import Samples
from micrograft.spec import parse_clip, parse_methods, parse_optimizer
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions, measure_ram
from tests.int8_networks import MCUNET, inputs, model

BOARD = "stm32f746"


def spacious(board: Board) -> Board:
    """The board with 8 MB of RAM and of flash."""
    return replace(board, ram=replace(board.ram, size=8 << 20), flash=replace(board.flash, size=8 << 20))


def measure(library: Library, samples: Samples) -> bytes:
    """Print what a step needs; the trained state after it."""
    assert library.train is not None and library.step is not None and samples.y is not None
    fused = sum(node.op.startswith("fused") and "square_sum" not in node.op for node in library.train.schedule)
    with api.emulated(library, spacious(api.board(BOARD))) as runner:
        assert isinstance(runner.device, Emulator)
        x, y = samples.x[0], samples.y[0]
        for sample, target in zip(samples.x[1:], samples.y[1:], strict=True):
            runner.train_step(sample, target)  # the scales of integer gradients settle
        instructions = count_instructions(runner.device, lambda: runner.train_step(x, y))
        state = runner.state()
        reached = measure_ram(runner, runner.device, x, y).arena
    print(f"{fused:3} fused, {len(fusable(library.step))} more could be; {instructions:,} instructions")
    print(f"    arena {library.train.arena:,} planned, {reached:,} reached")
    return state


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", default="full")
    parser.add_argument("--gradients", default="float32")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--clip", default="tensor:1")
    given = parser.parse_args()
    network, x = api.load(model(MCUNET), classes=10), inputs(MCUNET, 4)
    optimizer, clip = parse_optimizer(given.optimizer), parse_clip(given.clip)
    recipe = Recipe(parse_methods(given.method), optimizer, clip=clip, gradients=given.gradients)
    fused = api.adapt(network, recipe, x)
    with patch.object(api, "_fused", lambda step, enough: (step, None)):
        apart = api.adapt(network, recipe, x)
    states = {measure(each, api.check_samples(each, Samples(x, np.array([3, 7, 1, 0])))) for each in (fused, apart)}
    print("the same bits" if len(states) == 1 else "other bits")


if __name__ == "__main__":
    main()
