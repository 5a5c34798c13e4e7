"""The spine's promise: what the generated C learns is what PyTorch would have learned."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from micrograft import api
from micrograft.boards import find_board
from micrograft.codegen.artifact import Library
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD, Adam, AdamW, Clip, Optimizer
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse, chosen_channels
from micrograft.samples import Samples
from tests.torch_networks import CLASSES, SHAPES, DsCnn, Mlp, ResidualCnn, WatchNet, make
from tests.torch_training import TorchTraining

NETWORKS = (Mlp, ResidualCnn, DsCnn, WatchNet)
METHODS: dict[str, tuple[Method, ...]] = {
    "head": (Head(),),
    "bias": (Bias(),),
    "lora": (LoRA(rank=3, alpha=6),),
    "lora-fa": (LoRA(rank=2, freeze_a=True),),
    "lora+head": (LoRA(rank=2), Head()),
    "ia3": (IA3(),),
    "full": (Full(),),
    "sparse": (),  # what stands for the network in SCHEMES
}
SCHEMES: dict[type[torch.nn.Module], Scheme] = {
    Mlp: Scheme((LayerScheme("fc1", weight=0.3, side="output"), LayerScheme("fc2", bias=True, weight=0.5))),
    ResidualCnn: Scheme(
        (
            LayerScheme("stem", bias=True),
            LayerScheme("block1.conv1", weight=0.25),
            LayerScheme("block1.bn2", bias=True),
            LayerScheme("down", weight=0.5, side="output", choose="first"),
            LayerScheme("block2.conv2", bias=True, channels=(11, 0, 5)),
            LayerScheme("head", weight=1.0),
        )
    ),
    DsCnn: Scheme(
        (
            LayerScheme("depthwise", weight=0.4),
            LayerScheme("pointwise", bias=True, weight=0.25),
            LayerScheme("head", bias=True, weight=0.1),  # behind a flatten: its columns lie in another order
        )
    ),
    WatchNet: Scheme((LayerScheme("conv2", channels=(3, 23)), LayerScheme("conv4", weight=0.1, side="output"))),
}
OPTIMIZERS: dict[str, tuple[Optimizer, Clip | None, int]] = {
    "sgd": (SGD(lr=0.02), None, 1),
    "sgd-decay-clipped": (SGD(lr=0.02, weight_decay=0.01), Clip(0.5, "tensor"), 1),
    "momentum-global": (SGD(lr=0.01, momentum=0.9), Clip(1.0, "global"), 1),
    "adam": (Adam(lr=0.002), None, 1),
    "adamw-accumulated": (AdamW(lr=0.002), Clip(1.0, "global"), 3),
}


@functools.cache
def network(kind: type[torch.nn.Module]) -> tuple[torch.nn.Module, Graph]:
    torch.set_num_threads(1)
    module = make(kind)
    return module, api.load(module, example=[np.zeros(SHAPES[kind], np.float32)])


def samples_for(kind: type[torch.nn.Module], count: int) -> tuple[Array, Array]:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((count, *SHAPES[kind])).astype(np.float32)
    return x, generator.integers(0, CLASSES[kind], (count, 1)).astype(np.int32)


def close(found: Array, expected: Array) -> None:
    """Within 1e-4 relative, by the tensor's norm."""
    assert np.linalg.norm(found - expected) <= 1e-4 * max(float(np.linalg.norm(expected)), 1e-3)


def methods_of(kind: type[torch.nn.Module], method: str) -> tuple[Method, ...]:
    return METHODS[method] or (Sparse(SCHEMES[kind]),)


def adapted(kind: type[torch.nn.Module], method: str, optimizer: str, x: Array) -> Library:
    chosen, clip, accumulate = OPTIMIZERS[optimizer]
    recipe = api.Recipe(methods_of(kind, method), chosen, clip=clip, accumulate=accumulate, name="net")
    return api.adapt(network(kind)[1], recipe, x[:4])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_twenty_steps_agree_with_pytorch(kind: type[torch.nn.Module], method: str, optimizer: str) -> None:
    """After 20 steps the losses and every trained parameter agree with autograd and torch.optim within 1e-4."""
    x, y = samples_for(kind, 20)
    library = adapted(kind, method, optimizer, x)
    assert library.step is not None
    adapters = {p.source: p.to_user(p.data) for p in library.graph.params if "lora_" in p.source}
    adapters |= chosen_channels(library.graph, network(kind)[1])
    with api.host(library) as runner:
        initial = adapters | runner.parameters()
        losses = [runner.train_step(sample, target) for sample, target in zip(x, y, strict=True)]
        trained = runner.parameters()
    chosen, clip, accumulate = OPTIMIZERS[optimizer]
    reference = TorchTraining(network(kind)[0], initial, methods_of(kind, method))
    frozen = [name for name in initial if name not in trained]
    expected = reference.run(list(zip(x, y, strict=True)), chosen, "cross_entropy", clip, accumulate, frozen)
    close(np.array(losses), np.array(expected))
    for name, tensor in reference.parameters().items():
        if name in trained:
            close(trained[name], tensor)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_adapters_change_nothing_at_first(kind: type[torch.nn.Module], method: str) -> None:
    """Before the first step an adapted network predicts what the network predicts."""
    x, _ = samples_for(kind, 3)
    with api.host(adapted(kind, method, "sgd", x)) as runner:
        found = runner.predict(x[0])
    with torch.no_grad():
        expected = network(kind)[0].float()(torch.from_numpy(x[0])).numpy()
    close(found, expected)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_weight_in_two_places_predicts_the_same_bits(kind: type[torch.nn.Module]) -> None:
    """A layer of which some channels are trained sums in the order of the ordinary layer."""
    x, _ = samples_for(kind, 3)
    graph = network(kind)[1]
    parts = [layer for layer in SCHEMES[kind].layers if layer.channels or 0 < layer.weight < 1]
    whole = [LayerScheme(layer.layer, layer.bias, 1.0) for layer in parts]
    library, plain = (
        api.adapt(graph, api.Recipe((Sparse(Scheme(tuple(layers))),), name="net")) for layers in (parts, whole)
    )
    with api.host(library) as first, api.host(plain) as second:
        for sample in x:
            assert first.predict(sample).tobytes() == second.predict(sample).tobytes()


@pytest.mark.parametrize("board", ["nrf52840", "stm32f746"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_host_and_board_agree_in_every_bit(kind: type[torch.nn.Module], board: str) -> None:
    """After 50 steps of LoRA + head with Adam, every byte of state is the same on the host and on M4F and M7."""
    x, y = samples_for(kind, 50)
    recipe = api.Recipe((LoRA(rank=2), Head()), Adam(lr=0.002), name="net")
    library = api.adapt(network(kind)[1], recipe, x[:4])
    states = []
    for device in (api.host(library), api.emulated(library, find_board(board))):
        with device as runner:
            for sample, target in zip(x, y, strict=True):
                runner.train_step(sample, target)
            states.append(runner.state())
    assert states[0] == states[1]


@pytest.mark.parametrize("method", ["head", "bias", "lora", "sparse", "full"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_planned_ram_is_measured_ram(kind: type[torch.nn.Module], method: str) -> None:
    """Each part of the planned RAM is what a step reaches, to the byte; the stack's bound is at most 256 above."""
    x, y = samples_for(kind, 2)
    library = adapted(kind, method, "sgd", x)
    board = find_board("stm32h743")
    planned = api.plan(library, api.Recipe(methods_of(kind, method), name="net"), board).ram
    with api.emulated(library, board) as runner:
        measured = api.train(runner, Samples(x, y)).ram_measured
    assert measured is not None
    assert measured.stack <= planned.stack <= measured.stack + 256
    for part in ("arena", "state", "optimizer", "runtime"):
        assert getattr(measured, part) == getattr(planned, part), part


def test_a_core_without_fpu_learns_the_same_bits() -> None:
    """On an emulated Cortex-M0+, in soft float, three steps give the bits of the host."""
    x, y = samples_for(Mlp, 3)
    library = adapted(Mlp, "full", "momentum-global", x)
    states = []
    for device in (api.host(library), api.emulated(library, find_board("rp2040"))):
        with device as runner:
            for sample, target in zip(x, y, strict=True):
                runner.train_step(sample, target)
            states.append(runner.state())
    assert states[0] == states[1]


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_other_losses_agree_with_pytorch(loss: str) -> None:
    """Mean squared error and binary cross-entropy train as in PyTorch."""
    x, _ = samples_for(Mlp, 20)
    y = np.random.default_rng(2).random((20, 1, 5)).astype(np.float32)
    module, graph = network(Mlp)
    library = api.adapt(graph, api.Recipe((Full(),), SGD(lr=0.05), loss, clip=None, name="net"), x[:4])
    with api.host(library) as runner:
        initial = runner.parameters()
        losses = [runner.train_step(sample, target) for sample, target in zip(x, y, strict=True)]
        trained = runner.parameters()
    reference = TorchTraining(module, initial, ())
    close(np.array(losses), np.array(reference.run(list(zip(x, y, strict=True)), SGD(lr=0.05), loss, None)))
    for name, tensor in reference.parameters().items():
        close(trained[name], tensor)
