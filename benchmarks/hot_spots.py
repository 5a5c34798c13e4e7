"""Where the instructions of an inference and of a training step go, function by function, on an emulated board.

MCUNet-5FPS (128x128, int8) with a head of ten classes, from ../shared. What the compiler inlines counts where it was
inlined. Instructions are not cycles.

    python -m benchmarks.hot_spots                      an inference
    python -m benchmarks.hot_spots --method sparse:examples/mcunet/sparse_49kb.toml --gradients int16   a step
    python -m benchmarks.hot_spots --board rp2040       on a core without DSP instructions
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.integer_steps import roomy
from micrograft import api
from micrograft.passes.attach_optimizer import SGD
from micrograft.recipe import Recipe
from micrograft.samples import Samples
from micrograft.spec import parse_methods
from micrograft.toolchain.emulator import Emulator
from tests.int8_networks import MCUNET, inputs, model


def hot_spots(device: Emulator, run: Callable[[], object]) -> dict[str, int]:
    """Instructions of each function in what `run` calls, most first."""
    with device.profiling() as profile:
        run()
    functions = ((name, each) for name, each in device.symbols.items() if each.is_function and each.size)
    counts = {name: profile.instructions(range(each.address, each.address + each.size)) for name, each in functions}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=MCUNET)
    parser.add_argument("--method", help="a step of which is counted; without it, an inference")
    parser.add_argument("--gradients", default="float32")
    parser.add_argument("--board", default="stm32f746")
    given = parser.parse_args()
    network, x = api.load(model(given.model), classes=10), inputs(given.model, 4)
    recipe = Recipe(parse_methods(given.method or "head"), SGD(lr=0.01), gradients=given.gradients)
    library = api.adapt(network, recipe, x)
    data = api.check_samples(library, Samples(x, np.array([3, 7, 1, 0])))
    assert data.y is not None
    with api.emulated(library, roomy(api.board(given.board))) as runner:
        assert isinstance(runner.device, Emulator)
        device, target = runner.device, data.y[0]
        if given.method:
            for sample, label in zip(data.x[1:], data.y[1:], strict=True):
                runner.train_step(sample, label)  # scales of integer gradients settle
            counts = hot_spots(device, lambda: runner.train_step(data.x[0], target))
        else:
            counts = hot_spots(device, lambda: runner.predict(data.x[0]))
        print(f"{sum(counts.values()):14,}  instructions; {device.firmware.text:,} bytes of code")
        for name, count in counts.items():
            if count * 1000 > sum(counts.values()):
                print(f"{count:14,}  {name} ({device.symbols[name].size} bytes)")


if __name__ == "__main__":
    main()
