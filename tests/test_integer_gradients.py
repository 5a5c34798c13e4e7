"""Gradients of an int8 network in integers: what they are worth, and the same promises as in float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from micrograft import api
from micrograft.ir.graph import TrainStep
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.recipe import Gradients
from micrograft.reference import Memory, run_step
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import measure_ram
from tests.int8_networks import drawn
from tests.test_int8_training import samples

METHODS: list[tuple[Method, ...]] = [(LoRA(rank=3), Head()), (Full(),)]


def adapted(gradients: Gradients, methods: tuple[Method, ...]) -> api.Library:
    network = fuse_quantization(drawn())
    recipe = api.Recipe(methods, SGD(lr=0.1), clip=None, name="net", gradients=gradients)
    return api.adapt(network, recipe, samples(network, 4))


def found(step: TrainStep, memory: Memory, sample: Array, label: int) -> tuple[dict[str, Array], Memory]:
    """The gradient of each trained tensor, and what the step leaves."""
    result = run_step(step, [sample, np.array([label], np.int32)], memory)
    gradients = {name: result.values[value.name] for name, value in step.gradients.items()}
    for name, block in step.blocks.items():
        exponent = int(result.values[block.scale.name][1])
        gradients[name] = np.ldexp(result.values[block.codes.name] * block.unit, exponent)
    return gradients, result.memory


@pytest.mark.parametrize("methods", METHODS)
@pytest.mark.parametrize(("gradients", "within"), [("int16", 2e-3), ("int8", 0.15)])
def test_gradients_are_those_of_float32(gradients: Gradients, within: float, methods: tuple[Method, ...]) -> None:
    """Every trained tensor's gradient is float32's, within the precision of codes, from the first step on.

    Later steps start from the shifts that earlier ones left, whatever the size of their loss.
    """
    exact, ours = adapted("float32", methods).step, adapted(gradients, methods).step
    assert exact is not None and ours is not None
    generator = np.random.default_rng(8)
    start = {
        p.name: (p.data + 0.1 * generator.standard_normal(p.data.shape)).astype(p.data.dtype)
        for p in exact.graph.trainable
    }
    memory = replace(Memory.initial(ours), params=start)
    for label, sample in enumerate(samples(exact.graph, 5)):
        expected, _ = found(exact, replace(Memory.initial(exact), params=start), sample, label)
        gradient, after = found(ours, memory, sample, label)
        memory = replace(after, params=start)
        errors = [np.linalg.norm(gradient[name] - array) / np.linalg.norm(array) for name, array in expected.items()]
        assert 0 < max(errors) < within


@pytest.mark.parametrize("methods", METHODS)
@pytest.mark.parametrize(("gradients", "place"), [("int16", "rp2040"), ("int8", "stm32f103"), ("int16", "stm32f446")])
def test_board_and_host_agree_in_every_bit_and_the_plan_in_every_byte(
    gradients: Gradients, place: str, methods: tuple[Method, ...]
) -> None:
    """Five steps leave the same parameters and scales on the emulated board; RAM planned is RAM measured there."""
    library, where = adapted(gradients, methods), api.board(place)
    bill = api.plan(library, api.Recipe(methods, SGD(lr=0.1), name="net", gradients=gradients), where)
    data = samples(library.graph, 5)
    with api.host(library) as host, api.emulated(library, where) as board:
        for index, sample in enumerate(data):
            target = np.array([index], np.int32)
            assert host.train_step(sample, target) == board.train_step(sample, target)
        assert host.state() == board.state()
        assert isinstance(board.device, Emulator)
        measured = measure_ram(board, board.device, data[0], np.array([0], np.int32))
    assert replace(measured, stack=bill.ram.stack) == bill.ram
    assert 0 <= bill.ram.stack - measured.stack < 8  # the bound is rounded up to the stack's alignment


@pytest.mark.parametrize("methods", METHODS)
def test_the_c_computes_what_the_reference_does(methods: tuple[Method, ...]) -> None:
    """Three steps in C leave every scale as the reference leaves it, and every parameter within float rounding."""
    library = adapted("int16", methods)
    step = library.step
    assert step is not None
    memory = Memory.initial(step)
    with api.host(library) as runner:
        for label, sample in enumerate(samples(library.graph, 3)):
            target = np.array([label], np.int32)
            runner.train_step(sample, target)
            memory = run_step(step, [sample, target], memory).memory
        state = runner.state()
    for slot in library.memory.states:
        raw = np.frombuffer(state[slot.offset : slot.offset + slot.size], slot.value.dtype.numpy)
        np.testing.assert_array_equal(raw.reshape(slot.value.shape), memory.states[slot.value.name])


@pytest.mark.parametrize("methods", METHODS)
@pytest.mark.parametrize("gradients", ["int16", "int8"])
def test_the_loss_falls(gradients: Gradients, methods: tuple[Method, ...]) -> None:
    """Thirty steps on one sample lower its loss."""
    library = adapted(gradients, methods)
    (sample,) = samples(library.graph, 1)
    with api.host(library) as runner:
        losses = [runner.train_step(sample, np.array([2], np.int32)) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]
