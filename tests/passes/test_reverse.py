"""Promises of reversible blocks: found however they are written, rebuilt right, and memory does not grow with depth."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from micrograft import api
from micrograft.boards import find_board
from micrograft.codegen.artifact import Library
from micrograft.couplings import find_couplings
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.reverse import reverse
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.reference import run_step
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import measure_ram
from tests.models.agreement import agree, export
from tests.reversible_networks import (
    SHAPES,
    Handwritten,
    Leapfrog,
    ReversibleCnn,
    ReversibleTransformer,
    Stages,
    ThreeStreams,
    make,
)
from tests.torch_networks import SHAPES as ORDINARY
from tests.torch_networks import make as make_ordinary

METHODS: dict[str, tuple[Method, ...]] = {
    "full": (Full(),),
    "lora": (LoRA(rank=2), Head()),
    "bias": (Bias(),),
}
COUPLINGS: dict[type[nn.Module], tuple[int, int]] = {
    ReversibleCnn: (2, 0),
    ReversibleTransformer: (2, 0),
    Handwritten: (2, 0),
    ThreeStreams: (3, 0),
    Stages: (2, 2),
    Leapfrog: (2, 0),
}
"""In each block, and beside them."""


@functools.cache
def network(kind: type[nn.Module], blocks: int) -> tuple[nn.Module, Graph]:
    torch.set_num_threads(1)
    module = make(kind, blocks)
    return module, api.load(module, example=[np.zeros(SHAPES[kind], np.float32)])


@functools.cache
def library(kind: type[nn.Module], blocks: int, method: str, reversible: bool = True) -> Library:
    recipe = api.Recipe(METHODS[method], SGD(lr=0.05), clip=None, name="net", reversible=reversible)
    return api.adapt(network(kind, blocks)[1], recipe)


def samples(kind: type[nn.Module], count: int) -> list[tuple[Array, Array]]:
    generator = np.random.default_rng(4)
    x = generator.standard_normal((count, *SHAPES[kind])).astype(np.float32)
    return list(zip(x, generator.integers(0, 4, (count, 1)).astype(np.int32), strict=True))


def couplings(kind: type[nn.Module], blocks: int) -> int:
    each, others = COUPLINGS[kind]
    return blocks * each + others


def count_couplings(graph: Graph) -> int:
    return len(find_couplings(graph.nodes, {param.name for param in graph.params}))


@pytest.mark.parametrize("kind", SHAPES)
def test_every_coupling_is_found(kind: type[nn.Module]) -> None:
    """With our modules or written out: halves or swapped halves, sums or differences, two streams or three."""
    assert count_couplings(network(kind, 3)[1]) == couplings(kind, 3)


@pytest.mark.parametrize("kind", ORDINARY)
def test_nothing_is_found_where_nothing_is(kind: type[nn.Module]) -> None:
    """A residual block is no coupling: its branch reads what it is added to."""
    graph = api.load(make_ordinary(kind), example=[np.zeros(ORDINARY[kind], np.float32)])
    assert count_couplings(graph) == 0


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("kind", [ReversibleCnn, ReversibleTransformer])
def test_couplings_are_found_in_onnx_files(kind: type[nn.Module], dynamo: bool, tmp_path: Path) -> None:
    """Both of PyTorch's exporters write files in which every block is found."""
    graph = export(make(kind, 2), SHAPES[kind], tmp_path / "net.onnx", dynamo=dynamo)
    assert count_couplings(graph) == couplings(kind, 2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", SHAPES)
def test_rebuilt_gradients_are_the_stored_ones(kind: type[nn.Module], method: str) -> None:
    """Every gradient agrees with that of the step which keeps what it reads, within 1e-5 of its norm."""
    stored = library(kind, 4, method, reversible=False).step
    assert stored is not None
    rebuilt = reverse(stored)
    assert rebuilt is not stored
    ((x, y),) = samples(kind, 1)
    inputs = [port.from_user(each) for port, each in zip(stored.graph.inputs, (x, y), strict=True)]
    expected, found = (run_step(step, inputs) for step in (stored, rebuilt))
    assert found.loss == expected.loss
    for name, gradient in stored.gradients.items():
        difference = found.values[rebuilt.gradients[name].name] - expected.values[gradient.name]
        assert np.linalg.norm(difference) <= 1e-5 * max(float(np.linalg.norm(expected.values[gradient.name])), 1e-3)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", SHAPES)
def test_training_agrees_with_pytorch(kind: type[nn.Module], method: str) -> None:
    """Ten steps in C with rebuilt values end where PyTorch's autograd ends, which keeps them."""
    module, graph = network(kind, 4)
    step = library(kind, 4, method).step
    assert step is not None and any("_rebuilt" in node.outputs[0].name for node in step.graph.nodes)
    names = [name for name, _ in module.named_parameters()] if method == "full" else ["head.weight", "head.bias"]
    agree(module, graph, samples(kind, 10), METHODS[method], names)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "method"), [(ReversibleCnn, "full"), (ReversibleTransformer, "lora")])
def test_memory_does_not_grow_with_the_number_of_blocks(kind: type[nn.Module], method: str) -> None:
    """From 4 to 32 blocks RAM grows by less than 1 % beside the parameters, in the plan and in the emulator."""
    board = find_board("stm32h743")
    roomy = replace(board, ram=replace(board.ram, size=64 << 20), flash=replace(board.flash, size=64 << 20))
    sizes = []
    for blocks in (4, 32):
        found = library(kind, blocks, method)
        planned = api.plan(found, api.Recipe(METHODS[method], name="net"), roomy).ram
        with api.emulated(found, roomy) as runner:
            assert isinstance(runner.device, Emulator)
            measured = measure_ram(runner, runner.device, *samples(kind, 1)[0])
        assert measured.arena == planned.arena
        assert measured.stack <= planned.stack <= measured.stack + 256
        sizes.append(planned.total - planned.state - planned.optimizer)
    assert sizes[1] < 1.01 * sizes[0]


def test_host_and_board_agree_in_every_bit() -> None:
    """Rebuilt values are the same bits on the host and on an emulated board."""
    found = library(ReversibleCnn, 2, "full")
    states = []
    for device in (api.host(found), api.emulated(found, find_board("stm32h743"))):
        with device as runner:
            losses = [runner.train_step(x, y) for x, y in samples(ReversibleCnn, 5)]
            states.append((losses, runner.state()))
    assert states[0] == states[1]


def test_it_can_be_switched_off() -> None:
    """Without it the step keeps what it reads, and needs more memory."""
    kept, rebuilt = (library(ReversibleCnn, 4, "full", reversible=each) for each in (False, True))
    assert kept.step is not None and rebuilt.memory.arena < 0.5 * kept.memory.arena
    assert not any("_rebuilt" in node.outputs[0].name for node in kept.step.graph.nodes)
