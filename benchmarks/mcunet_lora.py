"""RAM of LoRA on MCUNet-5FPS int8 at 128×128 on an STM32F746 (320 KB), planned and measured in the emulator.

For comparison: TinyEngine's sparse 49-KB scheme on this network links to 230,432 bytes of RAM plus a 20,928-byte stack
frame. Run: python -m benchmarks.mcunet_lora [method]
"""

from __future__ import annotations

import sys
from dataclasses import asdict

import numpy as np

from micrograft import api
from micrograft.samples import Samples
from micrograft.spec import parse_methods
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions, measure_ram
from tests.int8_networks import MCUNET, inputs, model

BOARD = "stm32f746"
METHOD = "lora:rank=4,targets=block[789]*|block1[0123]*|classifier"
"""The blocks from the eighth on: in front of them a gradient of one activation alone passes the 320 KB."""


def main() -> None:
    method = sys.argv[1] if len(sys.argv) > 1 else METHOD
    network, x = api.load(model(MCUNET), classes=10), inputs(MCUNET, 4)
    recipe = api.Recipe(parse_methods(method))
    library = api.adapt(network, recipe, x)
    bill = api.plan(library, recipe, api.board(BOARD))
    print(f"{method} on {BOARD}: {'fits' if bill.fits else 'does not fit'}, {bill.ram_available:,} bytes of RAM")
    print(f"planned   {bill.ram.total:,} {asdict(bill.ram)}", flush=True)
    samples = api.check_samples(library, Samples(x, np.array([3, 7, 1, 0])))
    assert samples.y is not None
    pair = samples.x[0], samples.y[0]
    with api.emulated(library, api.board(BOARD)) as runner:
        assert isinstance(runner.device, Emulator)
        count = count_instructions(runner.device, lambda: runner.train_step(*pair))
        print(f"one step: {count:,} instructions emulated", flush=True)
        ram = measure_ram(runner, runner.device, *pair)
    print(f"measured  {ram.total:,} {asdict(ram)}")


if __name__ == "__main__":
    main()
