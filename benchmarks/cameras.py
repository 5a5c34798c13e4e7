"""Photographs of signing hands as different cameras see them: whom a search learns, who judges it.

The photographs of a digit are of different people. Those of some teach a network beforehand, as they are; those of
others are searched, and those of a third group judge. A camera tilts, moves and zooms, has its own colours and
exposure, blurs, and adds noise, always in the same way: each is a task. Cameras that judge are not searched.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn

from benchmarks.accuracy.trials import SHARED
from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.samples import Samples
from micrograft.search.holdout import Episode, some_shots

SIDE = 32
"""Pixels."""

SHOTS = 8
"""Photographs of each digit that are learned from."""

PEOPLE = 60
TEACH, SEARCH, JUDGE = range(20), range(20, 40), range(40, 60)
"""Of the people, whom a part turns round."""


def network(part: int) -> Graph:
    """Depthwise separable convolutions, 8,434 parameters, taught photographs as they are."""
    torch.manual_seed(part)
    torch.set_num_threads(1)
    photographs, labels = _of_people(part, TEACH)
    x, y = _small(torch.from_numpy(photographs)), torch.from_numpy(labels)
    module = _untrained()
    optimizer = torch.optim.AdamW(module.parameters(), 4e-3, weight_decay=5e-2)
    epochs = 100
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(20):
            seen = _moved(x[batch], *(torch.rand(3, len(batch)) * 2 - 1))
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(seen), y[batch]).backward()
            optimizer.step()
        decay.step()
    return api.load(module.eval(), example=[np.zeros((1, 3, SIDE, SIDE), np.float32)])


def searched(part: int) -> list[str]:
    """Cameras."""
    return [f"camera {100 * part + index}" for index in range(8)]


def judging(part: int) -> list[str]:
    """Others."""
    return [f"camera {100 * part + index}" for index in range(8, 16)]


def episode(camera: str, fold: int) -> Episode:
    """Each fold learns from eight other photographs of each digit and is judged by the rest."""
    return some_shots(_seen(camera, SEARCH), SHOTS, fold)


def drawn(camera: str, seed: int) -> Episode:
    """Eight photographs of each digit, drawn from the first ten people's, are learned from; ten others' judge."""
    samples = _seen(camera, JUDGE)
    assert samples.y is not None
    place = np.arange(len(samples)) % 20
    learned = np.isin(place, np.random.default_rng(seed).permutation(10)[:SHOTS])
    parts = (learned, place >= 10)
    return Episode(*(Samples(samples.x[chosen], samples.y[chosen]) for chosen in parts))


def _untrained() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()]
    for inputs, outputs, stride in ((16, 24, 2), (24, 32, 1), (32, 48, 2), (48, 48, 1)):
        layers += [nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs), nn.BatchNorm2d(inputs), nn.ReLU()]
        layers += [nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))


@cache
def _photographs() -> tuple[Array, Array]:
    """x: (digits, people, 3, 128, 128) from 0 to 1; y: (digits, people)."""
    with np.load(SHARED / "data" / "sign_digits_128.npz") as archive:
        order = np.argsort(archive["y"], kind="stable").reshape(10, PEOPLE)
        x, y = archive["x"][order], archive["y"][order]
    return (x / 255).astype(np.float32).transpose(0, 1, 4, 2, 3), y.astype(np.int64)


def _of_people(part: int, places: range) -> tuple[Array, Array]:
    x, y = _photographs()
    people = np.roll(np.arange(PEOPLE), -20 * part)[list(places)]
    return np.ascontiguousarray(x[:, people].reshape(-1, *x.shape[2:])), y[:, people].ravel()


@cache
def _seen(camera: str, places: range) -> Samples:
    """What a camera sees of some people, (n, 3, SIDE, SIDE); the same whenever it is asked."""
    number = int(camera.split()[1])
    part = number // 100
    photographs, labels = _of_people(part, places)
    generator = np.random.default_rng(1000 + number)
    tilt, zoom, shift = generator.uniform(-1, 1), generator.uniform(-1, 1), generator.uniform(-1, 1)
    gains = torch.tensor(generator.uniform(0.7, 1.1, (1, 3, 1, 1)), dtype=torch.float32)
    exposure, blur, noise = generator.uniform(0.8, 1.3), generator.integers(0, 2), generator.uniform(0, 0.04)
    x = torch.from_numpy(photographs)
    x = _small(_moved(x, *(torch.full((len(x),), float(each)) for each in (tilt, zoom, shift))))
    for _ in range(blur):
        x = nn.functional.avg_pool2d(nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = (x.clamp(0, 1) ** float(exposure)) * gains
    x = x + torch.tensor(generator.normal(0, noise, x.shape), dtype=torch.float32)
    return Samples(np.ascontiguousarray(x.clamp(0, 1).numpy()), labels)


def _moved(x: torch.Tensor, tilt: torch.Tensor, zoom: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Tilted by up to 15 degrees for 1, nearer or farther by 15 %, and to the side by a tenth."""
    angle, size = tilt * (np.pi / 12), 1 + 0.15 * zoom
    rows = torch.stack([torch.stack([angle.cos() * size, -angle.sin() * size, 0.2 * shift]),
                        torch.stack([angle.sin() * size, angle.cos() * size, 0 * shift])])  # fmt: skip
    grid = nn.functional.affine_grid(rows.permute(2, 0, 1), list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _small(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.avg_pool2d(x, x.shape[-1] // SIDE)
