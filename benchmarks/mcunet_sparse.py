"""MCUNet-5FPS (128x128, int8) learns ten classes on an emulated STM32F746 by the 49-KB scheme of the 256-KB paper
(arXiv:2206.15472): RAM planned and measured, instructions, beside TinyEngine's training example of the same scheme.

The network and the photographs lie in ../shared; the scheme is examples/mcunet/sparse_49kb.toml.
Run: python -m benchmarks.mcunet_sparse [METHOD ...]   other methods are planned beside it
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from micrograft import api
from micrograft.passes.attach_optimizer import SGD
from micrograft.planning.memory import Ram
from micrograft.recipe import Gradients, Recipe
from micrograft.samples import Samples
from micrograft.spec import parse_methods
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions, measure_ram
from tests.int8_networks import MCUNET, inputs, model

BOARD = "stm32f746"
SCHEME = Path(__file__).parent.parent / "examples" / "mcunet" / "sparse_49kb.toml"
TINYENGINE_RAM = 230_432 + 20_928
"""bytes that its example links, and its stack: measured on an emulated Cortex-M7 (shared/facts.md)."""
TINYENGINE_STEP, TINYENGINE_INFERENCE = 106_360_000, 65_030_000
"""Instructions of it, compiled with -Ofast, likewise."""


def ram_text(ram: Ram) -> str:
    parts = ", ".join(f"{name} {size:,}" for name, size in ram.to_json().items() if name != "total")
    return f"{ram.total:,} ({parts})"


def measure(method: str, gradients: Gradients = "float32") -> None:
    """Print what one method needs."""
    network, x = api.load(model(MCUNET), classes=10), inputs(MCUNET, 4)
    recipe = Recipe(parse_methods(method), SGD(lr=0.01), name="mcunet", gradients=gradients)
    library, board = api.adapt(network, recipe, x), api.board(BOARD)
    data = api.check_samples(library, Samples(x, np.array([3, 7, 1, 0])))
    assert data.y is not None
    bill = api.plan(library, recipe, board)
    print(f"{method.replace(str(SCHEME), SCHEME.name)}: {bill.trainable_parameters:,} trained, {gradients} gradients")
    print(f"  RAM planned   {ram_text(bill.ram)}; arena's lower bound {bill.arena_lower_bound:,}")
    if bill.ram.total > board.ram.size:
        print(f"  does not fit {board.ram.size:,}")
        return
    with api.emulated(library, board) as runner:
        assert isinstance(runner.device, Emulator)
        print(f"  RAM measured  {ram_text(measure_ram(runner, runner.device, data.x[0], data.y[0]))}")
        for sample, target in zip(data.x[1:], data.y[1:], strict=True):
            runner.train_step(sample, target)  # the scales of integer gradients settle: a first step may compute twice
        step = count_instructions(runner.device, lambda: runner.train_step(data.x[0], data.y[0]))
        inference = count_instructions(runner.device, lambda: runner.predict(data.x[0]))
    print(f"  instructions  {step:,} per step, {inference:,} per inference, emulated")
    print(f"  macs          {bill.macs.forward:,} forward, {bill.macs.backward:,} backward")


def main() -> None:
    measure(f"sparse:{SCHEME}")
    measure(f"sparse:{SCHEME}", "int16")
    print(
        f"TinyEngine: RAM {TINYENGINE_RAM:,}; instructions {TINYENGINE_STEP:,} per step, {TINYENGINE_INFERENCE:,} per"
    )
    print("inference (-Ofast; measured by us in the same emulator, see the source)")
    for method in sys.argv[1:]:
        measure(method)


if __name__ == "__main__":
    main()
