"""Checkpointing, planned and measured: what a training step costs within 80, 60 and 50 % of its arena.

For each network and method: the arena planned and measured in the emulator (Cortex-M7), its lower bound, whether the
state after a step is the same bits as without a budget, extra instructions planned and measured, the gap and the time.
Rows that are finished are kept in FILE and not measured again, so the table may be made in parts.

    python benchmarks/checkpointing.py FILE                 the table (an hour)
    python benchmarks/checkpointing.py FILE watch resnet8   some networks only
    python benchmarks/checkpointing.py FILE --plan          planned alone, nothing emulated (minutes)
    python benchmarks/checkpointing.py --layers             100 and 500 layers: the planner's time and gap
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import MobileNetV2, ResNet8, SmallTransformer

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
from micrograft.planning.effort import THOROUGH
from micrograft.planning.planner import fit_plan
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions, measure_ram

SHARES = (0.8, 0.6, 0.5)
METHODS: dict[str, tuple[Method, ...]] = {
    "full": (Full(),),
    "bias": (Bias(), Head()),
    "lora": (LoRA(rank=4), Head()),
    "lora-fa": (LoRA(rank=4, freeze_a=True), Head()),
}
WATCH = Path(micrograft.__file__).parent / "demo" / "watch.onnx"
MCUNET = Path(__file__).parents[2] / "shared" / "models" / "mcunet_5fps_imagenet_int8.onnx"
NETWORKS = ("watch", "resnet8", "transformer", "mobilenetv2", "mcunet")
COLUMNS = (
    "network",
    "method",
    "budget",
    "arena",
    "bound",
    "measured",
    "bits",
    "extra",
    "extra measured",
    "gap",
    "seconds",
)


def network(name: str) -> Graph:
    """One of the benchmark's networks; weights that come with none are drawn from seed 0."""
    torch.manual_seed(0)
    if name == "watch":
        return api.load(WATCH)
    if name == "mcunet":
        return api.load(MCUNET, classes=10)
    if name == "transformer":
        return api.load(SmallTransformer().eval(), example=[np.zeros((1, 3, 32, 32), np.float32)])
    if name == "resnet8":
        return api.load(ResNet8().eval(), example=[np.zeros((1, 3, 32, 32), np.float32)])
    return api.load(MobileNetV2().eval(), example=[np.zeros((1, 3, 64, 64), np.float32)])


def run_on_board(library: Library) -> tuple[bytes, int, int]:
    """The state after one emulated step, its instructions, and the bytes of the arena that it touched."""
    board = api.find_board("stm32h743")
    large = 64 * 1024 * 1024
    roomy = replace(board, ram=replace(board.ram, size=large), flash=replace(board.flash, size=large))
    assert library.target is not None
    x = np.random.default_rng(1).standard_normal(library.input.user_shape).astype(np.float32)
    y = np.full(library.target.user_shape, 2, np.int32)
    with api.emulated(library, roomy) as runner:
        assert isinstance(runner.device, Emulator)
        arena = measure_ram(runner, runner.device, x, y).arena
        runner.reset()
        count = count_instructions(runner.device, lambda: runner.train_step(x, y))
        return runner.state(), count, arena


def table(path: Path, names: list[str], emulate: bool) -> None:
    """Measure the rows that are not in `path` yet, and print all of them."""
    rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    for name in names:
        for method, methods in METHODS.items():
            library: Library | None = None
            base: tuple[bytes, int, int] | None = None
            for share in (None, *SHARES):
                key = f"{name} {method} {share}"
                if key not in rows or (emulate and "arena" in rows[key] and "measured" not in rows[key]):
                    if library is None:
                        library = api.adapt(network(name), recipe(methods))
                        base = run_on_board(library) if emulate else None
                    rows[key] = row(name, methods, share, library, base)
                    path.write_text(json.dumps(rows, indent=1))
                print("| " + " | ".join(cells(key, rows[key])) + " |", flush=True)


def recipe(methods: tuple[Method, ...], arena: float | None = None) -> api.Recipe:
    return api.Recipe(methods, SGD(lr=0.01), clip=None, arena=arena)


def row(
    name: str, methods: tuple[Method, ...], share: float | None, whole: Library, base: tuple[bytes, int, int] | None
) -> dict[str, Any]:
    """One line. whole, base: without a budget, planned and run."""
    start = time.perf_counter()
    try:
        library = whole if share is None else api.adapt(network(name), recipe(methods, share))
    except MicrograftError as error:
        return {"refused": error.what}
    assert library.train is not None
    found: dict[str, Any] = {"arena": library.train.arena, "bound": library.train.least_arena}
    spent = library.train.recomputation
    if spent is not None:
        found |= {"extra": spent.share, "gap": spent.gap, "seconds": time.perf_counter() - start}
    if base is not None:
        state, count, arena = base if share is None else run_on_board(library)
        # the block's arena is that of the largest function
        found |= {"measured": arena, "planned whole": library.memory.arena, "instructions": count}
        found |= {"same bits": state == base[0], "extra measured": count / base[1] - 1}
    return found


def cells(key: str, found: dict[str, Any]) -> list[str]:
    """A line as text."""
    name, method, share = key.split()
    start = [name, method, "none" if share == "None" else f"{float(share):.0%}"]
    if "refused" in found:
        return [*start, found["refused"], *[""] * (len(COLUMNS) - 4)]
    forms = {
        "arena": ",",
        "bound": ",",
        "measured": ",",
        "extra": ".2%",
        "extra measured": ".2%",
        "gap": ".2%",
        "seconds": ".1f",
    }
    texts = {key: format(found[key], form) for key, form in forms.items() if key in found}
    texts["bits"] = {True: "same", False: "DIFFER"}.get(found.get("same bits"), "")
    return [*start, *(texts.get(column, "") for column in COLUMNS[3:])]


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
    order = whole.train.schedule
    for share in SHARES:
        for way, effort in (("same each time", None), ("thorough", THOROUGH)):
            start = time.perf_counter()
            try:
                plan = fit_plan(whole.train, [whole.step.loss], int(share * whole.train.arena), effort)
            except MicrograftError as error:
                print(f"{label:<22}{len(order):>7}{share:>8.0%}  {way}: {error.what}", flush=True)
                continue
            seconds = time.perf_counter() - start
            spent = plan.recomputation
            assert spent is not None
            figures = f"{spent.share:>9.2%}{spent.gap:>9.2%}{seconds:>9.1f}  {way}"
            print(f"{label:<22}{len(order):>7}{share:>8.0%}{figures}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--layers" in sys.argv:
        layers()
    else:
        table(Path(words[0]), words[1:] or list(NETWORKS), "--plan" not in sys.argv)
