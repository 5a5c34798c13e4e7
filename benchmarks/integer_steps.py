"""Instructions of a training step on cores without a float unit: gradients and additions in integers, and in float32.

MLPerf Tiny's int8 keyword network with a head of ten classes, emulated on an RP2040 (Cortex-M0+) and an STM32F103
(Cortex-M3, its memories enlarged where they are too small); the mean of three steps after two that settle the scales.
Instructions are counted in the emulator; they are not cycles. RAM and flash are planned.

    python benchmarks/integer_steps.py
    python benchmarks/integer_steps.py --method full --boards rp2040
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from micrograft import api
from micrograft.boards import Board
from micrograft.boards.board import Region
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.recipe import Recipe
from micrograft.samples import Samples
from micrograft.spec import parse_methods
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions

SHARED = Path(__file__).parents[2] / "shared"
KINDS = ["float32/float32", "int16/float32", "int16/int16", "int16/int8", "int8/int8"]


def roomy(board: Board) -> Board:
    """The board with memories of at least a megabyte, so that what does not fit is counted too."""

    def at_least(region: Region) -> Region:
        return replace(region, size=max(region.size, 1 << 20))

    return replace(board, flash=at_least(board.flash), ram=at_least(board.ram))


def step(place: str, method: str, kind: str, network: Graph, samples: Samples) -> tuple[int, int, int, int]:
    """Instructions of a step; bytes of arena, of what outlives a step, and of flash."""
    gradients, additions = kind.split("/")
    recipe = Recipe(parse_methods(method), SGD(lr=0.01), gradients=gradients, additions=additions)
    library = api.adapt(network, recipe, samples.x)
    data = api.check_samples(library, samples)
    assert data.y is not None
    pairs = list(zip(data.x, data.y, strict=True))
    with api.emulated(library, roomy(api.board(place))) as runner:
        assert isinstance(runner.device, Emulator)

        def steps(some: Sequence[tuple[Array, Array]]) -> None:
            for x, y in some:
                runner.train_step(x, y)

        steps(pairs[:2])
        count = count_instructions(runner.device, lambda: steps(pairs[2:])) // len(pairs[2:])
        kept = library.memory.state_bytes + library.memory.optimizer_bytes
        return count, library.memory.arena, kept, runner.device.firmware.flash


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", nargs="*", default=["head", "lora:rank=4+head", "bias+head", "full"])
    parser.add_argument("--kinds", nargs="*", default=KINDS, help="of gradients and of additions, joined by /")
    parser.add_argument("--boards", nargs="*", default=["rp2040", "stm32f103"])
    given = parser.parse_args()
    with np.load(SHARED / "data" / "spoken_digits_mfcc.npz") as archive:
        samples = Samples(archive["x"][:3000:600], archive["y"][:3000:600].astype(np.int32))
    network = api.load(SHARED / "models" / "kws_dscnn_int8.tflite", classes=10)
    titles = ("board", "method", "gradients/additions", "instructions", "arena", "state", "flash")
    print("{:10} {:18} {:20} {:>14} {:>8} {:>8} {:>8}".format(*titles))
    for place in given.boards:
        for method in given.method:
            for kind in given.kinds:
                figures = step(place, method, kind, network, samples)
                print("{:10} {:18} {:20} {:14,} {:8,} {:8,} {:8,}".format(place, method, kind, *figures), flush=True)


if __name__ == "__main__":
    main()
