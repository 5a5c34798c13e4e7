"""Checkpointing, planned and measured: what a training step costs within 80, 60 and 50 % of its arena.

For each network and method: the arena planned and measured in the emulator (Cortex-M7), whether the state after some
steps is the same bits as without a budget, extra instructions planned and measured, the solver's gap and time.

    python benchmarks/checkpointing.py                 the table (half an hour)
    python benchmarks/checkpointing.py --layers        100 and 500 layers: the planner's time and gap
    python benchmarks/checkpointing.py watch resnet8   some networks only
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from networks import MobileNetV2, ResNet8

import micrograft
from micrograft import api
from micrograft.codegen.artifact import Library
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.planning.planner import fit_plan
from micrograft.planning.schedule import schedule
from micrograft.samples import Samples
from micrograft.toolchain.runner import count_instructions, measure_ram

SHARES = (0.8, 0.6, 0.5)
METHODS: dict[str, tuple[Method, ...]] = {
    "full": (Full(),),
    "bias": (Bias(), Head()),
    "lora": (LoRA(rank=4), Head()),
}
WATCH = Path(micrograft.__file__).parent / "demo" / "watch.onnx"
STEPS = 3


def network(name: str) -> Graph:
    """One of the benchmark's networks, its weights drawn from seed 0."""
    torch.manual_seed(0)
    if name == "watch":
        return api.load(WATCH)
    if name == "resnet8":
        return api.load(ResNet8().eval(), example=[np.zeros((1, 3, 32, 32), np.float32)])
    return api.load(MobileNetV2().eval(), example=[np.zeros((1, 3, 64, 64), np.float32)])


def samples(library: Library) -> Samples:
    """Random inputs and classes, always the same."""
    generator = np.random.default_rng(1)
    x = generator.standard_normal((STEPS, *library.input.user_shape)).astype(np.float32)
    return api.check_samples(library, Samples(x, generator.integers(0, 3, STEPS)))


def run_on_host(library: Library) -> bytes:
    """The state after some steps."""
    data = samples(library)
    assert data.y is not None
    with api.host(library) as runner:
        for x, y in zip(data.x, data.y, strict=True):
            runner.train_step(x, y)
        return runner.state()


def run_on_board(library: Library) -> tuple[bytes, int, int]:
    """The state after one emulated step, its instructions, and the bytes of the arena that it touched."""
    board = api.find_board("stm32h743")
    large = 64 * 1024 * 1024
    roomy = replace(board, ram=replace(board.ram, size=large), flash=replace(board.flash, size=large))
    data = samples(library)
    assert data.y is not None
    x, y = data.x[0], data.y[0]
    with api.emulated(library, roomy) as runner:
        arena = measure_ram(runner, runner.device, x, y).arena  # type: ignore[arg-type]  # it is an emulator
        count = count_instructions(runner.device, lambda: runner.train_step(x, y))  # type: ignore[arg-type]
        return runner.state(), count, arena


def table(names: list[str]) -> None:
    """Print a line for each network, method and share."""
    heading = ("network", "method", "budget", "arena", "measured", "bits", "extra", "measured", "gap", "seconds")
    form = "{:<9}{:<7}{:>10}{:>11}{:>11}{:>6}{:>9}{:>10}{:>9}{:>9}"
    print(form.format(*heading), flush=True)
    for name in names:
        for method, methods in METHODS.items():
            recipe = api.Recipe(methods, SGD(lr=0.01), clip=None)
            graph = network(name)
            whole = api.adapt(graph, recipe)
            assert whole.train is not None
            trained, base = run_on_host(whole), run_on_board(whole)
            arenas = (f"{whole.train.arena:,}", f"{base[2]:,}")
            print(form.format(name, method, "none", *arenas, "", "", f"{base[1]:,}", "", ""), flush=True)
            for share in SHARES:
                start = time.perf_counter()
                try:
                    tight = api.adapt(graph, replace(recipe, arena=share))
                except MicrograftError as error:
                    print(f"{name:<9}{method:<7}{share:>10.0%}  {error.what}", flush=True)
                    continue
                seconds = time.perf_counter() - start
                assert tight.train is not None and tight.train.recomputation is not None
                spent = tight.train.recomputation
                state, count, arena = run_on_board(tight)
                same = state == base[0] and run_on_host(tight) == trained
                figures = (f"{spent.share:.2%}", f"{count / base[1] - 1:.2%}", f"{spent.gap:.2%}", f"{seconds:.1f}")
                arenas = (f"{tight.memory.arena:,}", f"{arena:,}")
                line = (name, method, f"{share:.0%}", *arenas, "same" if same else "DIFFER", *figures)
                print(form.format(*line), flush=True)


def layers() -> None:
    """Print how long planning takes for 100 and 500 layers, and how far from the best it is."""
    print(f"{'network':<22}{'nodes':>7}{'budget':>8}{'extra':>9}{'gap':>9}{'seconds':>9}")
    for repeat in (2, 10):
        torch.manual_seed(0)
        module = MobileNetV2(repeat=repeat).eval()
        count = sum(isinstance(layer, torch.nn.Conv2d | torch.nn.Linear) for layer in module.modules())
        graph = api.load(module, example=[np.zeros((1, 3, 32, 32), np.float32)])
        for method in ("lora", "full"):
            plan_layers(graph, f"{count} layers, {method}", METHODS[method])


def plan_layers(graph: Graph, label: str, methods: tuple[Method, ...]) -> None:
    """Print the lines of one network and method."""
    whole = api.adapt(graph, api.Recipe(methods, clip=None))
    assert whole.train is not None and whole.step is not None
    order = schedule(whole.step.graph, [whole.step.loss])
    for share in SHARES:
        start = time.perf_counter()
        try:
            plan = fit_plan(whole.train, [whole.step.loss], int(share * whole.train.arena))
        except MicrograftError as error:
            print(f"{label:<22}{len(order):>7}{share:>8.0%}  {error.what}", flush=True)
            continue
        seconds = time.perf_counter() - start
        spent = plan.recomputation
        assert spent is not None
        figures = f"{spent.share:>9.2%}{spent.gap:>9.2%}{seconds:>9.1f}"
        print(f"{label:<22}{len(order):>7}{share:>8.0%}{figures}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "--layers" in sys.argv:
        layers()
    else:
        table(sys.argv[1:] or ["watch", "resnet8", "mobilenetv2"])
