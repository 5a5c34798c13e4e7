"""Checkpointing, planned and measured: what a training step costs within 80, 60 and 50 % of its arena.

For each network and method: the step's arena planned and measured in the emulator (Cortex-M7), the least that its
buffers can be placed in, whether the state after a step is the same bits as without a budget, extra instructions
planned and measured, the gaps (to the best in any order of operations, and in the order taken) and the time. Where a
share is refused, a row more shows the least arena that is known to work. Rows that are finished are kept in FILE and
not measured again, so the table may be made in parts.

    python benchmarks/checkpointing.py FILE                 the table (an hour or two)
    python benchmarks/checkpointing.py FILE watch resnet8   some networks only
    python benchmarks/checkpointing.py FILE --plan          planned alone, nothing emulated (minutes)
    python benchmarks/checkpointing.py --markdown FILE...   finished rows as docs/memory.md has them
    python benchmarks/checkpointing.py --layers             100 and 500 layers: the planner's time and gap
"""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
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
from micrograft.ops import operator_of
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse
from micrograft.planning.effort import THOROUGH
from micrograft.planning.planner import fit_plan
from micrograft.planning.recompute_greedy import smallest_peak
from micrograft.planning.recompute_problem import pose
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions

SHARES = (0.8, 0.6, 0.5)
METHODS: dict[str, tuple[Method, ...]] = {
    "full": (Full(),),
    "bias": (Bias(), Head()),
    "lora": (LoRA(rank=4), Head()),
    "lora-fa": (LoRA(rank=4, freeze_a=True), Head()),
}
SLACK = (1.0, 1.01, 1.02, 1.05)
"""What the least arena is tried with: a placement may need a little more than is alive at once."""
PROVEN = "no recomputation makes it fit"
"""What a refusal says if that is proven for every order."""
EXAMPLES = Path(__file__).parent.parent / "examples"
WATCH = Path(micrograft.__file__).parent / "demo" / "watch.onnx"
MCUNET = Path(__file__).parents[2] / "shared" / "models" / "mcunet_5fps_imagenet_int8.onnx"
NETWORKS = ("watch", "transformer", "resnet8", "mobilenetv2", "mcunet")
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
    "gap, any order",
    "this order",
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


def methods_of(method: str, name: str, graph: Graph) -> tuple[Method, ...]:
    """What is trained. Sparse: of MCUNet the published scheme; else the biases of the second half of the layers, half
    the input channels of every third weight there, and the head."""
    if method != "sparse":
        return METHODS[method]
    if name == "mcunet":
        return (Sparse(file=str(EXAMPLES / "mcunet" / "sparse_49kb.toml")),)
    roles: dict[str, set[str]] = {}
    for node in graph.nodes:
        for index, value in enumerate(node.inputs):
            param = graph.param(value.name)
            if param is not None and param.learnable and operator_of(node).macs(node):
                roles.setdefault(node.origin, set()).add(operator_of(node).role(index))
    late = list(roles)[len(roles) // 2 : -1]
    plain = {node.origin for node in graph.nodes if node.op in ("conv", "linear")}
    dense = [layer for layer in late if "weight" in roles[layer] and layer in plain][::3]
    chosen = [each for each in late if each in dense or "bias" in roles[each]]
    layers = (LayerScheme(each, bias="bias" in roles[each], weight=0.5 * (each in dense)) for each in chosen)
    return (Sparse(scheme=Scheme(tuple(layers))), Head())


def run_on_board(library: Library) -> tuple[bytes, int, int]:
    """The state after one emulated step, its instructions, and the bytes of the arena up to the last that it wrote.

    The arena is filled with noise first: whatever is not noise any more was written.
    """
    board = api.board("stm32h743")
    large = 64 * 1024 * 1024
    roomy = replace(board, ram=replace(board.ram, size=large), flash=replace(board.flash, size=large))
    assert library.target is not None
    generator = np.random.default_rng(1)
    x = generator.standard_normal(library.input.user_shape).astype(np.float32)
    y = np.full(library.target.user_shape, 2, np.int32)
    noise = generator.integers(0, 256, library.memory.arena, np.uint8)
    with api.emulated(library, roomy) as runner:
        assert isinstance(runner.device, Emulator)
        start = runner.device.symbols["memory"].address + library.memory.arena_offset
        runner.device.write(start, noise.tobytes())
        count = count_instructions(runner.device, lambda: runner.train_step(x, y))
        left = np.frombuffer(runner.device.read(start, len(noise)), np.uint8)
        return runner.state(), count, int(np.flatnonzero(left != noise).max()) // 4 * 4 + 4


def table(path: Path, names: list[str], emulate: bool) -> None:
    """Measure the rows that are not in `path` yet, and print all of them."""
    rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    for name in names:
        for method in (*METHODS, "sparse"):
            case = Case(name, method, emulate)
            for share in (None, *SHARES, "least"):
                key = f"{name} {method} {share}"
                refused = any("refused" in rows.get(f"{name} {method} {each}", ()) for each in SHARES)
                if share == "least" and not refused:
                    continue
                known = [rows[each] for each in shares_of(name, method) if "arena" in rows.get(each, ())]
                smallest = min(known, key=lambda row: int(row["arena"]), default=None)
                if key not in rows and share == "least" and smallest and case.frugal >= smallest["arena"]:
                    rows[key] = smallest
                if key not in rows and share in SHARES and proven_already(rows, name, method, case, share):
                    rows[key] = {"refused": PROVEN}
                if key not in rows or (emulate and "arena" in rows[key] and "measured" not in rows[key]):
                    rows[key] = case.row(share)
                    path.write_text(json.dumps(rows, indent=1))
                print("| " + " | ".join(cells(key, rows[key])) + " |", flush=True)


def shares_of(name: str, method: str) -> list[str]:
    """The keys of the rows with a budget."""
    return [f"{name} {method} {share}" for share in SHARES]


def proven_already(rows: dict[str, dict[str, Any]], name: str, method: str, case: Case, share: float) -> bool:
    """Whether a larger share was proven to be too little, and predicting alone would not be refused."""
    larger = (rows.get(f"{name} {method} {each}", {}).get("refused", "") for each in SHARES if each > share)
    plan = case.whole.train
    assert plan is not None
    return any(PROVEN in each for each in larger) and int(share * plan.arena) >= case.whole.predict.arena


@dataclass(frozen=True)
class Case:
    """A network and a method; emulate: whether its steps run in the emulator."""

    name: str
    method: str
    emulate: bool

    @cached_property
    def graph(self) -> Graph:
        return network(self.name)

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        return methods_of(self.method, self.name, self.graph)

    @cached_property
    def whole(self) -> Library:
        """Without a budget."""
        return api.adapt(self.graph, recipe(self.methods))

    @cached_property
    def base(self) -> tuple[bytes, int, int]:
        """What that does in the emulator."""
        return run_on_board(self.whole)

    def row(self, share: float | str | None) -> dict[str, Any]:
        """One line: within no budget, a share of the arena without one, or the least arena that is known to work."""
        start = time.perf_counter()
        try:
            library = self.least() if share == "least" else self.within(share)
        except MicrograftError as error:
            return {"refused": error.what}
        assert library.train is not None
        found: dict[str, Any] = {"arena": library.train.arena, "bound": library.train.least_arena}
        spent = library.train.recomputation
        if spent is not None:
            found |= {"extra": spent.share, "gap": spent.gap, "order gap": spent.order_gap}
            found["seconds"] = time.perf_counter() - start
        if self.emulate:
            state, count, arena = self.base if library is self.whole else run_on_board(library)
            found |= {"measured": arena, "instructions": count}
            found |= {"same bits": state == self.base[0], "extra measured": count / self.base[1] - 1}
        return found

    def within(self, arena: float | int | str | None) -> Library:
        """The library in a share of the arena, or in so many bytes."""
        assert not isinstance(arena, str)
        return self.whole if arena is None else api.adapt(self.graph, recipe(self.methods, arena))

    def least(self) -> Library:
        """In the least arena that is known to work: what predicting takes, or the search's most frugal answer."""
        assert self.whole.train is not None
        for slack in SLACK:
            if slack * self.frugal < self.whole.train.arena:
                with suppress(MicrograftError):
                    return self.within(int(slack * self.frugal))
        return self.whole

    @cached_property
    def frugal(self) -> int:
        """Bytes that the search's most frugal answer has alive, or what predicting takes."""
        whole = self.whole
        assert whole.train is not None and whole.step is not None and whole.evaluate is not None
        alive = smallest_peak(pose(whole.train.schedule, [whole.step.loss], whole.train.sample))
        return max(alive, whole.predict.arena, whole.evaluate.arena)


def recipe(methods: tuple[Method, ...], arena: int | float | None = None) -> api.Recipe:
    return api.Recipe(methods, SGD(lr=0.01), clip=None, arena=arena)


def cells(key: str, found: dict[str, Any]) -> list[str]:
    """A line as text."""
    name, method, share = key.split()
    start = [name, method, share.lower() if share in ("None", "least") else f"{float(share):.0%}"]
    if "refused" in found:
        return [*start, found["refused"], *[""] * (len(COLUMNS) - 4)]
    forms = {
        "arena": ",",
        "bound": ",",
        "measured": ",",
        "extra": ".2%",
        "extra measured": ".2%",
        "gap": ".2%",
        "order gap": ".2%",
        "seconds": ".1f",
    }
    texts = {key: format(found[key], form) for key, form in forms.items() if key in found}
    texts |= {"gap, any order": texts.pop("gap", ""), "this order": texts.pop("order gap", "")}
    texts["bits"] = "" if "same bits" not in found else "same" if found["same bits"] else "DIFFER"
    return [*start, *(texts.get(column, "") for column in COLUMNS[3:])]


def markdown(paths: list[str]) -> None:
    """Print the finished rows of several files as `docs/memory.md` has them, one network after the other."""
    rows: dict[str, dict[str, Any]] = {}
    for path in paths:
        rows |= json.loads(Path(path).read_text())
    for name in NETWORKS:
        for method in (*METHODS, "sparse"):
            for share in (None, *SHARES, "least"):
                found = rows.get(f"{name} {method} {share}")
                if found is not None:
                    print("| " + " | ".join(documented(f"{name} {method} {share}", found)) + " |")


def documented(key: str, found: dict[str, Any]) -> list[str]:
    """A line of `docs/memory.md`. Raises AssertionError where what was measured is not what was planned."""
    start = cells(key, found)[:3]
    if "refused" in found:
        alone = re.match(r"predicting alone needs an arena of ([\d,]+)", found["refused"])
        proven = "no (proven for every order)" if PROVEN in found["refused"] else "no"
        return [*start, f"no: predicting takes {alone[1]}" if alone else proven, *[""] * 5]
    if key.endswith("least") and "extra" not in found:
        return [*start, "as without a budget", *[""] * 5]
    assert found["measured"] == found["arena"] and found["same bits"], key
    shares = [f"{found[each]:.2%}" if "extra" in found else "" for each in ("extra", "extra measured")]
    gaps = [f"{found[each]:.2%}" if "extra" in found else "" for each in ("gap", "order gap")]
    return [*start, f"{found['arena']:,}", f"{found['bound']:,}", *shares, *gaps]


def layers() -> None:
    """Print how long planning takes for 100 and 500 layers, and how far from the best it is."""
    print(f"{'network':<22}{'nodes':>7}{'budget':>8}{'extra':>9}{'gap':>9}{'in order':>9}{'seconds':>9}")
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
            figures = f"{spent.share:>9.2%}{spent.gap:>9.2%}{spent.order_gap:>9.2%}{seconds:>9.1f}  {way}"
            print(f"{label:<22}{len(order):>7}{share:>8.0%}{figures}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--layers" in sys.argv:
        layers()
    elif "--markdown" in sys.argv:
        markdown(words)
    else:
        table(Path(words[0]), words[1:] or list(NETWORKS), "--plan" not in sys.argv)
