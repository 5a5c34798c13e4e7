"""How long `micrograft plan --arena 60%` takes for 100 and 500 layers, and how far from the best its answer is.

Each network (`deep_networks.py`) is written as an ONNX file and planned by the command itself, in a process of its
own: starting Python, import, planning, code generation, the link and the stack analysis are all counted. CPU seconds
are those of that process and of the compilers that it starts; on a loaded machine they tell more than the clock.

    python benchmarks/planner_time.py                                  chain, residual, inverted; 100 and 500 layers
    python benchmarks/planner_time.py 100 transformer unet dense mobilenet    others of `deep_networks.py`
    python benchmarks/planner_time.py 100 unet --arena 50% --method lora      another budget, another method
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

import deep_networks
import torch
from torch import nn


def plan(module: nn.Module, budget: str, method: str) -> tuple[dict[str, float], float, float]:
    """What is computed again as the bill says it, CPU seconds, seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "network.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            training = torch.onnx.TrainingMode.PRESERVE  # batch norms stay, for us to fold
            example = (torch.zeros(1, 3, 32, 32),)
            torch.onnx.export(module.eval(), example, str(path), dynamo=False, training=training)
        command = [sys.executable, "-m", "micrograft", "plan", str(path), "--method", method, "--clip", "none"]
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
    budget, method = _option(words, "--arena", "60%"), _option(words, "--method", "full")
    counts = [int(word) for word in words if word.isdigit()] or [100, 500]
    kinds = [word for word in words if not word.isdigit()] or ["chain", "residual", "inverted"]
    print(
        "| network | method | layers | budget | CPU seconds | seconds | extra work | gap, any order | this order |\n"
        + "|---" * 9
        + "|"
    )
    for layers in counts:
        for kind in kinds:
            torch.manual_seed(0)
            module = getattr(deep_networks, kind)(layers)
            count = sum(isinstance(each, nn.Conv2d | nn.Linear) for each in module.modules())
            spent, cpu, seconds = plan(module, budget, method)
            figures = (
                f"{cpu:.1f} | {seconds:.1f} | {spent['share']:.2%} | {spent['gap']:.3%} | {spent['order_gap']:.3%}"
            )
            print(f"| {kind} | {method} | {count} | {budget} | {figures} |", flush=True)


def _option(words: list[str], name: str, default: str) -> str:
    """What stands behind a word, which is taken out with it."""
    if name not in words:
        return default
    index = words.index(name)
    _, value = words.pop(index), words.pop(index)
    return value


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
