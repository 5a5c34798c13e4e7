"""A gradient that never exists as a whole: the same bits, and less memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from micrograft import api
from micrograft.ir.graph import TrainStep
from micrograft.passes.attach_optimizer import SGD, Adam, Clip, Optimizer
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.passes.fuse_updates import fusable, fuse_updates
from micrograft.peft.full import Full
from micrograft.peft.method import Method
from micrograft.recipe import Gradients
from tests.int8_networks import drawn
from tests.networks import mlp
from tests.test_int8_training import SPARSE
from tests.test_training import network, samples_for
from tests.torch_networks import DsCnn, Mlp, ResidualCnn, WatchNet

Fusing = Callable[[TrainStep, int], tuple[TrainStep, None]]


def adapted(
    kind: type[torch.nn.Module], optimizer: Optimizer, clip: Clip | None, monkeypatch: pytest.MonkeyPatch, fuse: Fusing
) -> api.Library:
    monkeypatch.setattr(api, "_fused", fuse)
    return api.adapt(network(kind)[1], api.Recipe((Full(),), optimizer, clip=clip, name="net"))


@pytest.mark.parametrize("clip", [None, Clip(0.1)])
@pytest.mark.parametrize("optimizer", [SGD(0.05), SGD(0.05, momentum=0.9, weight_decay=0.01)])
@pytest.mark.parametrize("kind", [Mlp, ResidualCnn, DsCnn, WatchNet])
def test_fused_updates_give_the_same_bits(
    kind: type[torch.nn.Module], optimizer: SGD, clip: Clip | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five steps with every update fused leave every parameter and momentum as five steps without any."""
    apart = adapted(kind, optimizer, clip, monkeypatch, lambda step, enough: (step, None))
    fused = adapted(kind, optimizer, clip, monkeypatch, lambda step, enough: (fuse_updates(step, fusable(step)), None))
    assert apart.step is not None and fused.step is not None
    assert {node.op for node in fused.step.graph.nodes}.isdisjoint({"conv_weight_gradient", "linear_weight_gradient"})
    x, y = samples_for(kind, 5)
    with api.host(apart) as first, api.host(fused) as second:
        for sample, target in zip(x, y, strict=True):
            assert first.train_step(sample, target) == second.train_step(sample, target)
        assert first.state() == second.state()


@pytest.mark.parametrize("clip", [None, Clip(0.1)])
@pytest.mark.parametrize(
    ("optimizer", "gradients"),
    [
        (SGD(0.1), "float32"),
        (SGD(0.1, qas=False), "float32"),
        (SGD(0.1, residue=True), "float32"),
        (SGD(0.05, momentum=0.9, weight_decay=0.01), "float32"),
        (SGD(0.1), "int16"),
        (SGD(0.1), "int8"),
    ],
    ids=["plain", "without-qas", "residue", "momentum", "int16", "int8"],
)
@pytest.mark.parametrize("method", [Full(), SPARSE], ids=["full", "sparse"])
def test_fused_updates_of_codes_give_the_same_bits(
    method: Method, optimizer: SGD, gradients: Gradients, clip: Clip | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five steps of an int8 network with every update fused, of whole weights or some of their channels, leave every
    code, residue and momentum as five steps without any."""
    recipe = api.Recipe((method,), optimizer, clip=clip, name="net", gradients=gradients)

    def adapted(fuse: Fusing) -> api.Library:
        monkeypatch.setattr(api, "_fused", fuse)
        return api.adapt(fuse_quantization(drawn()), recipe)

    apart = adapted(lambda step, enough: (step, None))
    fused = adapted(lambda step, enough: (fuse_updates(step, fusable(step)), None))
    assert apart.step is not None and fused.step is not None
    ops = [node.op for node in fused.step.graph.nodes]
    assert not [op for op in ops if op.endswith("weight_gradient")]
    assert len([op for op in ops if op.startswith("fused") and not op.endswith("square_sum")]) == 4
    x = np.random.default_rng(3).uniform(-2, 2, (5, 8, 8, 3)).astype(np.float32)
    with api.host(apart) as first, api.host(fused) as second:
        for index, sample in enumerate(x):
            target = np.array([index], np.int32)
            assert first.train_step(sample, target) == second.train_step(sample, target)
        assert first.state() == second.state()


@pytest.mark.parametrize("clip", [None, Clip()])
def test_a_gradient_that_makes_the_peak_is_fused(clip: Clip | None) -> None:
    """The arena of a network of large weights no longer holds the largest gradient; the multiply-accumulates say
    whether it was computed twice."""
    graph = mlp((64, 256, 128, 10))
    library = api.adapt(graph, api.Recipe((Full(),), SGD(), clip=clip, name="net"))
    assert library.train is not None
    assert library.train.arena < 4 * 64 * 256
    twice = {node.op for node in library.train.schedule} & {"fused_square_sum"}
    assert bool(twice) == (clip is not None)


@pytest.mark.parametrize(
    ("optimizer", "clip", "accumulate"), [(Adam(), None, 1), (SGD(), Clip(1.0, "global"), 1), (SGD(), None, 4)]
)
def test_what_needs_whole_gradients_keeps_them(optimizer: Optimizer, clip: Clip | None, accumulate: int) -> None:
    """Adam, a norm over all gradients, and accumulation are as they were."""
    recipe = api.Recipe((Full(),), optimizer, clip=clip, accumulate=accumulate, name="net")
    library = api.adapt(mlp((64, 256, 10)), recipe)
    assert library.step is not None
    assert not fusable(library.step)
    assert not [node.op for node in library.step.graph.nodes if node.op.startswith("fused")]
