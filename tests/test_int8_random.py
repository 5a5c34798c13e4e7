"""Small random int8 networks learn on the emulated board to the host's bits, in the RAM that was planned."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from micrograft import api
from micrograft.precision import quantize
from micrograft.samples import Samples
from micrograft.spec import parse_clip, parse_methods, parse_optimizer
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import measure_ram

METHODS = ("full", "bias", "ia3", "lora:rank=2,freeze_a=true+bias", "bias+head")
OPTIMIZERS = ("sgd:lr=0.05,weight_decay=0.01,residue=true", "sgd:lr=0.02,momentum=0.9", "adam:lr=0.01")
CLASSES = 4


def drawn(choose: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    """Convolutions of one or two axes: dense, pointwise, grouped or depthwise; a hidden linear layer; a head."""
    conv, pool, spatial = choose.choice(
        [(nn.Conv1d, nn.MaxPool1d, (11,)), (nn.Conv2d, nn.MaxPool2d, (8, 7)), (nn.Conv2d, nn.MaxPool2d, (6, 6))]
    )
    channels = choose.choice((1, 2, 4, 5))
    shape = (channels, *spatial)
    layers: list[nn.Module] = []
    for _ in range(choose.choice((1, 2, 3))):
        outputs, groups, kernel = choose.choice(
            [(6, 1, 3), (9, 1, 2), (8, 1, 1), (channels, channels, 3), (2 * channels, channels, 3)]
            + ([(6, 2, 3)] if channels % 2 == 0 else [])
        )
        bias = choose.random() < 0.7
        layers.append(conv(channels, outputs, kernel, choose.choice((1, 1, 2)), kernel // 2, groups=groups, bias=bias))
        layers += [nn.ReLU6()] if choose.random() < 0.6 else []
        channels = outputs
    layers += [pool(2)] if choose.random() < 0.3 else []
    layers.append(nn.Flatten())
    features = nn.Sequential(*layers)(torch.zeros(1, *shape)).shape[-1]
    return nn.Sequential(*layers, nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, CLASSES)).eval(), shape


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_board_and_host_agree_and_the_plan_holds(seed: int) -> None:
    """Whatever the layers, the method, the optimizer, the clipping and the accumulation; and the loss falls."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    module, shape = drawn(choose)
    x = np.random.default_rng(seed).standard_normal((8, *shape)).astype(np.float32)
    network = quantize(api.load(module, example=[x[:1]]), x).graph
    recipe = api.Recipe(
        parse_methods(METHODS[seed % len(METHODS)]),
        parse_optimizer(choose.choice(OPTIMIZERS)),
        clip=parse_clip(choose.choice(("tensor:1", "none", "1"))),
        accumulate=choose.choice((1, 2)),
        seed=seed,
        name="net",
    )
    library = api.adapt(network, recipe, x)
    place = api.board("stm32f446")
    planned = api.plan(library, recipe, place).ram
    data = api.check_samples(library, Samples(x, np.arange(len(x)) % CLASSES))
    assert data.y is not None
    with api.host(library) as host, api.emulated(library, place) as board:
        for sample, target in zip(data.x[:5], data.y, strict=False):
            assert host.train_step(sample, target) == board.train_step(sample, target)
        assert host.state() == board.state()
        assert isinstance(board.device, Emulator)
        measured = measure_ram(board, board.device, data.x[0], data.y[0])
        assert measured.stack <= planned.stack
        assert measured.total - measured.stack == planned.total - planned.stack
        losses = [[host.train_step(*each) for each in zip(data.x[:4], data.y, strict=False)] for _ in range(30)]
    assert np.mean(losses[-3:]) < np.mean(losses[0])
