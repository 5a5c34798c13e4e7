"""How long `micrograft plan --arena 60%` takes for 100 and 500 layers, and how far from the best its answer is.

Each network is written as an ONNX file and planned by the command itself, in a process of its own: starting Python,
import, planning, code generation, the link and the stack analysis are all counted. CPU seconds are those of that
process and of the compilers that it starts; on a loaded machine they tell more than the clock.

    python benchmarks/planner_time.py                    100 and 500 layers
    python benchmarks/planner_time.py 100 --arena 50%    others
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from networks import InvertedResidual
from torch import nn


class Residual(nn.Module):
    """Two 3×3 convolutions with batch norms beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


def stem(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def chain(layers: int) -> nn.Module:
    """Convolutions one behind the other."""
    middle = [each for _ in range(layers - 2) for each in (nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU())]
    return nn.Sequential(*stem(16), *middle, *head(16))


def residual(layers: int) -> nn.Module:
    return nn.Sequential(*stem(16), *(Residual(16) for _ in range((layers - 2) // 2)), *head(16))


def inverted(layers: int) -> nn.Module:
    """MobileNetV2's blocks."""
    return nn.Sequential(*stem(8), *(InvertedResidual(8, 8, 1, 6) for _ in range((layers - 2) // 3)), *head(8))


def plan(module: nn.Module, budget: str) -> tuple[dict[str, float], float, float]:
    """What is computed again as the bill says it, CPU seconds, seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "network.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            training = torch.onnx.TrainingMode.PRESERVE  # batch norms stay, for us to fold
            example = (torch.zeros(1, 3, 32, 32),)
            torch.onnx.export(module.eval(), example, str(path), dynamo=False, training=training)
        command = [sys.executable, "-m", "micrograft", "plan", str(path), "--method", "full", "--clip", "none"]
        before, start = _children(), time.perf_counter()
        run = subprocess.run([*command, "--arena", budget, "--json"], capture_output=True, text=True)
        seconds, cpu = time.perf_counter() - start, _children() - before
    if run.returncode not in (0, 3):
        raise SystemExit(run.stderr)
    return json.loads(run.stdout)["recomputation"], cpu, seconds


def _children() -> float:
    """CPU seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(words: list[str]) -> None:
    """Print a line for each network."""
    budget = words.pop(words.index("--arena") + 1) if "--arena" in words else "60%"
    names = {each.__name__: each for each in (chain, residual, inverted)}
    chosen = [names[word] for word in words if word in names] or list(names.values())
    counts = [int(word) for word in words if word.isdigit()] or [100, 500]
    print(
        "| network | layers | budget | CPU seconds | seconds | extra work | gap, any order | this order |\n"
        + "|---" * 8
        + "|"
    )
    for layers in counts:
        for make in chosen:
            torch.manual_seed(0)
            module = make(layers)
            count = sum(isinstance(each, nn.Conv2d | nn.Linear) for each in module.modules())
            spent, cpu, seconds = plan(module, budget)
            figures = (
                f"{cpu:.1f} | {seconds:.1f} | {spent['share']:.2%} | {spent['gap']:.3%} | {spent['order_gap']:.3%}"
            )
            print(f"| {make.__name__} | {count} | {budget} | {figures} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
