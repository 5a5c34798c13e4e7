"""Activities: a network of 1-D convolutions knows phones, and learns the watch of a person it has never seen.

It is trained in PyTorch on the phones of the other people, quantized with their windows, and taught the first minutes
of the new person's watch: the first 40 % of each activity's windows, in time, are to learn from, the last 50 % to judge
by; what lies between is left out, because windows overlap. Each of six people is new in turn.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from benchmarks.accuracy.trials import FOLDER, SHARED, Row, Trial, learn
from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.quantization.observers import MSE
from micrograft.samples import Samples

PEOPLE = 6
LEARNED, JUDGED = 0.4, 0.5


@cache
def carried() -> dict[str, Array]:
    """x: (n, 6, 64) float32: acceleration in units of gravity, rotation in rad/s."""
    with np.load(SHARED / "data" / "activity_phone_watch.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    x = arrays["x"].astype(np.float32).transpose(0, 2, 1)
    x[:, :3] /= 9.81
    return {**arrays, "x": np.ascontiguousarray(x), "y": arrays["y"].astype(np.int64)}


def groups() -> list[str]:
    """The people with most windows on their watch."""
    data = carried()
    names, counts = np.unique(data["subject"][data["device"] == "watch"], return_counts=True)
    return sorted(names[np.argsort(-counts, kind="stable")][:PEOPLE].tolist())


def rows() -> list[Row]:
    start, found = "phone", []
    for precision in ("float32", "int8"):
        found += [
            Row(start, "nothing", precision),
            Row(start, "head", precision, "head", (0.3, 1.0, 3.0), 10),
            Row(start, "bias", precision, "bias", (0.4, 0.8, 1.6), 10),
            Row(start, "LoRA", precision, "lora:rank=4", (0.05, 0.1, 0.2), 10),
            Row(start, "LoRA and head", precision, "lora:rank=4+head", (0.05, 0.1, 0.2), 10),
            Row(start, "full", precision, "full", (0.03, 0.1, 0.3), 10),
        ]
    return [*found, Row(start, "full, without QAS", "int8", "full", (0.3, 1.0, 3.0), 10, optimizer="sgd:qas=false")]


def run(trial: Trial) -> float:
    data = carried()
    own = (data["subject"] == trial.group) & (data["device"] == "watch")
    first, last = [], []
    for label in np.unique(data["y"][own]):
        windows = np.flatnonzero(own & (data["y"] == label))  # in the order of time
        first.append(windows[: int(LEARNED * len(windows))])
        last.append(windows[len(windows) - int(JUDGED * len(windows)) :])
    given, asked = np.concatenate(first), np.concatenate(last)
    network = _start(trial.row.precision, trial.group)
    x, y = data["x"], data["y"]
    return learn(network, trial, Samples(x[given], y[given]), Samples(x[asked], y[asked]))


def untrained() -> nn.Sequential:
    """16,133 parameters: three convolutions over time, the mean over time, and a head."""
    return nn.Sequential(
        *(nn.Conv1d(6, 32, 5, 2, 2), nn.BatchNorm1d(32), nn.ReLU()),
        *(nn.Conv1d(32, 48, 5, 2, 2), nn.BatchNorm1d(48), nn.ReLU()),
        *(nn.Conv1d(48, 48, 3, 1, 1), nn.BatchNorm1d(48), nn.ReLU()),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(48, len(carried()["classes"]))),
    )


@cache
def _start(kind: str, person: str) -> Graph:
    """The network that knows the phones of everybody else, in float32 or quantized after training."""
    torch.manual_seed(0)
    module, data = untrained(), carried()
    others = (data["subject"] != person) & (data["device"] == "phone")
    x, y = torch.from_numpy(data["x"][others]), torch.from_numpy(data["y"][others])
    path = FOLDER / "starts" / f"activity_{person}.pt"
    if path.is_file():
        module.load_state_dict(torch.load(path))
    else:
        _train(module, x, y)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(module.state_dict(), path)
    network = api.load(_fused(module.eval()), example=[np.zeros((1, 6, 64), np.float32)])
    return network if kind == "float32" else api.quantize(network, x.numpy()[::20], observer=MSE())


def _fused(module: nn.Sequential) -> nn.Sequential:
    """Its batch norms folded, as int8 has them: else float32 would train two biases where int8 has one."""
    fused = []
    for layer in module:
        fused.append(fuse_conv_bn_eval(fused.pop(), layer) if isinstance(layer, nn.BatchNorm1d) else layer)
    return nn.Sequential(*fused)


def _train(module: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int = 15, batch: int = 64) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3, weight_decay=1e-2)
    steps = epochs * -(-len(x) // batch)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[chosen]), y[chosen]).backward()
            optimizer.step()
            decay.step()
