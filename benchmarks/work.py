"""What a training step's operators are estimated to cost, beside what the emulator counts, operator by operator.

Each call of the step is counted by itself (Cortex-M7 unless told otherwise) and added up by operator; the estimates are
those by which the planner chooses what to compute again (`Operator.cost`). Inputs are drawn. Instructions are not
cycles.

    python -m benchmarks.work                                         networks of this benchmark, one line each
    python -m benchmarks.work mobilenetv2 full                        its operators
    python -m benchmarks.work model.onnx lora+head --gradients int16  those of a file of one's own
    python -m benchmarks.work mobilenet_v3 full --nodes               its nodes
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks import MobileNetV2, ResNet8, SmallTransformer
from micrograft import api
from micrograft.codegen.artifact import Library
from micrograft.codegen.model import node_calls
from micrograft.ir.graph import Graph, Node, Phase
from micrograft.ir.types import Array, DType, Shape
from micrograft.passes.attach_optimizer import SGD
from micrograft.planning.work import work
from micrograft.spec import parse_methods
from micrograft.toolchain.emulator import Emulator
from tests.deployed_networks import efficientnet, mobilenet_v3
from tests.models.transformers import VisionTransformer
from tests.models.vision import DsCnn

LARGE = 64 << 20
SHARED = Path(__file__).parents[2] / "shared" / "models"
SETTLING = 2
"""Steps before the one that is counted: the shifts of integer gradients follow the data."""


class Recurrent(nn.Module):
    """An LSTM of 64 over 50 steps and a head on its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(16, 64, batch_first=True)
        self.head = nn.Linear(64, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


MODULES: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "resnet8": (ResNet8, (1, 3, 32, 32)),
    "transformer": (SmallTransformer, (1, 3, 32, 32)),
    "mobilenetv2": (MobileNetV2, (1, 3, 64, 64)),
    "mobilenet_v3": (mobilenet_v3, (1, 3, 64, 64)),
    "efficientnet": (efficientnet, (1, 3, 48, 48)),
    "dscnn": (DsCnn, (1, 1, 49, 10)),
    "vit": (VisionTransformer, (1, 3, 32, 32)),
    "lstm": (Recurrent, (1, 50, 16)),
}
"""Networks and the shapes of their inputs."""

FILES = ("mcunet_5fps_imagenet_int8.onnx", "kws_dscnn_int8.tflite")


@dataclass(frozen=True)
class Counted:
    """A node of a step, and the instructions of its calls."""

    node: Node
    instructions: int


def network(name: str) -> Graph:
    """One of `MODULES` with weights drawn from seed 0, a file of ../shared/models, or any other file."""
    if name not in MODULES:
        return api.load(SHARED / name if (SHARED / name).is_file() else Path(name))
    torch.manual_seed(0)
    module, shape = MODULES[name]
    return api.load(module().eval(), example=[np.zeros(shape, np.float32)])


def count_step(library: Library, board: str) -> list[Counted]:
    """Every node of a training step, counted in the emulator of a board whose memories are large enough."""
    small = api.board(board)
    roomy = replace(small, ram=replace(small.ram, size=LARGE), flash=replace(small.flash, size=LARGE))
    assert library.train is not None and library.target is not None
    x, y = _drawn(library.input.value.dtype, library.input.user_shape), np.ones(library.target.user_shape, np.int32)
    with api.emulated(library, roomy) as runner:
        assert isinstance(runner.device, Emulator)
        for _ in range(SETTLING):
            runner.train_step(x, y)
        step = re.compile(rf"({library.name}_)?train_step(_\d+)?")
        with runner.device.following(*filter(step.fullmatch, runner.device.symbols)) as calls:
            runner.train_step(x, y)
    left = list(calls.instructions)
    found = []
    for node in library.train.schedule:
        count = len(node_calls(node))
        found.append(Counted(node, sum(left[:count])))
        del left[:count]
    assert not left, "the step makes no other calls than its nodes'"
    return found


def _drawn(dtype: DType, shape: Shape) -> Array:
    generator = np.random.default_rng(1)
    return np.asarray(
        generator.integers(0, 2, shape) if dtype is DType.INT32 else generator.standard_normal(shape), dtype.numpy
    )


def table(counted: Sequence[Counted], *, nodes: bool) -> None:
    """Print operators, or all nodes, by what they cost."""
    total = sum(each.instructions for each in counted)
    rows: dict[str, list[Counted]] = {}
    for each in counted:
        name = f"{each.node.op} {each.node.outputs[0].dtype.value}"
        rows.setdefault(f"{name} {each.node.origin} {each.node.outputs[0].shape}" if nodes else name, []).append(each)
    print(f"{'share':>7}{'counted':>14}{'estimated':>14}{'ratio':>7}  operator")
    for name, group in sorted(rows.items(), key=lambda item: -sum(each.instructions for each in item[1])):
        count = sum(each.instructions for each in group)
        if count * 1000 > total:
            estimate = sum(work(each.node) for each in group)
            print(f"{count / total:>7.1%}{count:>14,}{estimate:>14,}{estimate / count:>7.2f}  {name}")


def line(name: str, method: str, gradients: str, counted: Sequence[Counted]) -> None:
    """Print the ratio of estimate to count for the step, for its forward pass, and the shares of what is far off."""

    def ratio(some: Sequence[Counted]) -> float:
        return sum(work(each.node) for each in some) / max(sum(each.instructions for each in some), 1)

    total = sum(each.instructions for each in counted)
    forward = [each for each in counted if each.node.phase is Phase.FORWARD]
    kinds: dict[tuple[str, DType], list[Counted]] = {}
    for each in counted:
        kinds.setdefault((each.node.op, each.node.outputs[0].dtype), []).append(each)
    off = sum(sum(each.instructions for each in kind) for kind in kinds.values() if not 0.8 <= ratio(kind) <= 1.2)
    figures = f"{total:>13,}{ratio(counted):>7.2f}{ratio(forward):>9.2f}{off / total:>7.1%}"
    print(f"{name:<32}{method:<6}{gradients:<9}{figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("network", nargs="?")
    parser.add_argument("method", nargs="?", default="full")
    parser.add_argument("--gradients", default="float32")
    parser.add_argument("--board", default="stm32h743")
    parser.add_argument("--nodes", action="store_true")
    given = parser.parse_args()

    def step(name: str, method: str, gradients: str) -> list[Counted]:
        recipe = api.Recipe(parse_methods(method), SGD(lr=0.001), clip=None, gradients=gradients)
        return count_step(api.adapt(network(name), recipe), given.board)

    if given.network:
        table(step(given.network, given.method, given.gradients), nodes=given.nodes)
        return
    print(f"{'network':<32}{'':<6}{'':<9}{'counted':>13}{'step':>7}{'forward':>9}  over 20 % off")
    for name in (*MODULES, *(each for each in FILES if (SHARED / each).is_file())):
        for method in ("full", "lora"):
            for gradients in ("float32", "int16") if name in FILES else ("float32",):
                line(name, method, gradients, step(name, method, gradients))


if __name__ == "__main__":
    main()
