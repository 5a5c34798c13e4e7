"""Gradients of an int8 network in integers: what they are worth, and the same promises as in float32."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from micrograft import api
from micrograft.codegen.model import node_calls
from micrograft.errors import MicrograftError
from micrograft.hugging_face import save_peft
from micrograft.ir.graph import TrainStep
from micrograft.ir.types import Array, DType
from micrograft.model import PeftModel, get_peft_model
from micrograft.passes.attach_optimizer import SGD, Adam, Clip
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.recipe import Additions, Gradients
from micrograft.reference import Memory, run, run_step
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import measure_ram
from micrograft.toolchain.stack import reached
from tests.int8_networks import drawn
from tests.test_int8_training import SPARSE, samples

LORA, FULL = (LoRA(rank=3), Head()), (Full(),)
FROZEN_A: tuple[Method, ...] = (LoRA(rank=2, alpha=4, freeze_a=True, targets="pointwise"), Head())
METHODS: list[tuple[Method, ...]] = [LORA, FULL]
INTEGERS: list[tuple[tuple[Method, ...], Gradients, Additions]] = [
    (LORA, "int16", "float32"), (LORA, "int16", "int16"), (LORA, "int8", "int8"), (FROZEN_A, "int16", "int8"),
    (FULL, "int16", "int16"),
]  # fmt: skip
SOFT_FLOAT = re.compile(r"__aeabi_([fd].*|.*2[fd])|__\w+[sd]f\d?(vfp)?$|mg_soft_\w+")
OF_A_FEW = ("cross_entropy", "cross_entropy_gradient", "clip_scale")
"""Operators of a step that compute in float32: on the logits, and on one number for each tensor."""


def recipe(methods: tuple[Method, ...], gradients: Gradients, additions: Additions = "float32") -> api.Recipe:
    return api.Recipe(methods, SGD(lr=0.1), clip=None, name="net", gradients=gradients, additions=additions)


def adapted(
    gradients: Gradients,
    methods: tuple[Method, ...],
    additions: Additions = "float32",
    clip: Clip | None = None,
    optimizer: SGD | Adam | None = None,
    accumulate: int = 1,
) -> api.Library:
    network = fuse_quantization(drawn())
    given = replace(recipe(methods, gradients, additions), clip=clip, accumulate=accumulate)
    return api.adapt(network, replace(given, optimizer=optimizer or given.optimizer), samples(network, 4))


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "gradients", "additions", "place"),
    [(*case, "rp2040") for case in INTEGERS] + [(*INTEGERS[1], "stm32f446"), (*INTEGERS[2], "stm32f103")],
)
def test_board_and_host_agree_in_every_bit_and_the_plan_in_every_byte(
    methods: tuple[Method, ...], gradients: Gradients, additions: Additions, place: str
) -> None:
    """Five steps leave the same parameters and scales on the emulated board; RAM planned is RAM measured there."""
    library, where = adapted(gradients, methods, additions), api.board(place)
    bill = api.plan(library, recipe(methods, gradients, additions), where)
    data = samples(library.graph, 5)
    with api.host(library) as host, api.emulated(library, where) as board:
        for index, sample in enumerate(data):
            target = np.array([index], np.int32)
            assert host.train_step(sample, target) == board.train_step(sample, target)
        assert host.state() == board.state()
        assert isinstance(board.device, Emulator)
        measured = measure_ram(board, board.device, data[0], np.array([0], np.int32))
    assert replace(measured, stack=bill.ram.stack) == bill.ram
    assert measured.stack <= bill.ram.stack  # a bound: not every path through soft float and wide sums is taken


@pytest.mark.parametrize(("methods", "gradients", "additions"), INTEGERS)
def test_the_c_computes_what_the_reference_does(
    methods: tuple[Method, ...], gradients: Gradients, additions: Additions
) -> None:
    """Three steps in C leave every integer as the reference leaves it: scales, shifts, codes of weights."""
    agree(adapted(gradients, methods, additions))


@pytest.mark.parametrize("gradients", ["int16", "int8"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_momentum_and_accumulation_in_c_are_the_references(gradients: Gradients, accumulate: int) -> None:
    """Clipping by the global norm is part of it; what outlives a step are int16 sums and their exponents."""
    library = adapted(gradients, FULL, "int16", Clip(0.5, "global"), SGD(lr=0.1, momentum=0.9), accumulate)
    assert library.step is not None
    kept = [state.value for state in library.step.states if state.owner and state.value.dtype is DType.INT16]
    assert len(kept) == (2 if accumulate > 1 else 1) * len(library.step.graph.trainable)
    agree(library)


@pytest.mark.parametrize("optimizer", [SGD(lr=0.02, momentum=0.9), SGD(lr=0.1)])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_momentum_and_accumulation_are_those_of_float32(optimizer: SGD, accumulate: int) -> None:
    """After the first update with unrounded sums: what momentum and accumulation hold is float32's within 1 %."""
    sums: dict[str, dict[str, Array]] = {}
    for gradients in ("float32", "int16"):
        library = adapted(gradients, FULL, "float32", None, replace(optimizer, lr=0.0), accumulate)
        step = library.step
        assert step is not None
        memory = Memory.initial(step)
        for index, sample in enumerate(samples(library.graph, 5)):
            memory = run_step(step, [sample, np.array([index], np.int32)], memory).memory
        sums[gradients] = real_sums(step, memory)
    for name, expected in sums["float32"].items():
        ours = sums["int16"][name]
        assert np.linalg.norm(ours - expected) <= 0.01 * np.linalg.norm(expected), name
    assert sums["float32"] or (not optimizer.momentum and accumulate == 1)


def real_sums(step: TrainStep, memory: Memory) -> dict[str, Array]:
    """What momentum and accumulation hold of weights of codes, as gradients of the numbers that the codes stand for."""
    found = {}
    for state in step.states:
        block = step.blocks.get(state.owner)
        param = next((each for each in step.graph.trainable if each.name == state.owner), None)
        if param is None or param.value.type.quant is None:
            continue
        held = memory.states[state.value.name]
        if block is not None:
            exponent = int(memory.states[f"{state.value.name}_scale"][1])
            shape = [1] * held.ndim
            shape[param.value.type.quant.axis or 0] = -1
            scales = np.asarray(param.value.type.quant.scales).reshape(shape)
            held = np.ldexp(held * block.unit, exponent) / scales
        found[state.value.name] = held
    return found


def agree(library: api.Library) -> None:
    """Raise AssertionError unless three steps in C leave every integer as the reference leaves it."""
    step = library.step
    assert step is not None
    memory = Memory.initial(step)
    with api.host(library) as runner:
        for label, sample in enumerate(samples(library.graph, 3)):
            target = np.array([label], np.int32)
            runner.train_step(sample, target)
            memory = run_step(step, [sample, target], memory).memory
        state = runner.state()
    for slot in (*library.memory.states, *library.memory.parameters):
        raw = np.frombuffer(state[slot.offset : slot.offset + slot.size], slot.value.dtype.numpy)
        expected = {**memory.states, **memory.params}[slot.value.name]
        if raw.dtype.kind == "i":
            np.testing.assert_array_equal(raw.reshape(slot.value.shape), expected)


@pytest.mark.parametrize(
    ("methods", "gradients", "additions"),
    [*INTEGERS, (LORA, "float32", "int16"), ((SPARSE,), "int16", "float32"), ((SPARSE,), "int8", "float32")],
)
def test_the_loss_falls(methods: tuple[Method, ...], gradients: Gradients, additions: Additions) -> None:
    """Thirty steps on one sample lower its loss."""
    library = adapted(gradients, methods, additions)
    (sample,) = samples(library.graph, 1)
    with api.host(library) as runner:
        losses = [runner.train_step(sample, np.array([2], np.int32)) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("additions", ["int8", "int16"])
def test_a_detour_of_codes_changes_nothing_at_start(additions: Additions) -> None:
    """With B at zero the network gives the bits of the one that has only a head in codes."""
    plain, library = adapted("int16", (Head(),), additions), adapted("int16", LORA, additions)
    for sample in samples(plain.graph, 5):
        before, after = (run(each.graph, [sample])[each.output.value.name] for each in (plain, library))
        np.testing.assert_array_equal(before, after)


@pytest.mark.slow
@pytest.mark.parametrize("methods", [LORA, FULL])
def test_a_core_without_a_float_unit_trains_in_integers(methods: tuple[Method, ...]) -> None:
    """In the image of a Cortex-M0+, no kernel of the step reaches soft float but those of a handful of numbers."""
    integers = adapted("int16", methods, "int16", Clip(1.0))
    assert soft(integers) <= set(OF_A_FEW)
    held = adapted("int16", methods, "int16", Clip(1.0), SGD(lr=0.1, momentum=0.9), 2)
    assert soft(held) <= set(OF_A_FEW)
    assert soft(adapted("float32", methods, "float32", Clip(1.0))) > set(OF_A_FEW)
    assert integers.train is not None
    assert all(node.inputs[0].type.size <= 5 for node in integers.train.schedule if node.op in OF_A_FEW)


@pytest.mark.parametrize("optimizer", [Adam(), SGD(weight_decay=0.1), SGD(residue=True)])
def test_updates_in_soft_float_are_refused(optimizer: SGD | Adam) -> None:
    """A core without a float unit takes none unnoticed: not with gradients in integers, but with float32 ones."""
    library, board = adapted("int16", FULL, "int16", None, optimizer), api.board("rp2040")
    with pytest.raises(MicrograftError, match=r"rp2040 has no float unit.*use sgd.*--gradients float32"):
        api.plan(library, recipe(FULL, "int16", "int16"), board)
    api.plan(library, recipe(FULL, "int16", "int16"), api.board("nrf52840"))
    real = adapted("float32", FULL, "float32", None, optimizer)
    api.plan(real, recipe(FULL, "float32"), board)


def soft(library: api.Library) -> set[str]:
    """The operators of a step with a kernel that can call soft float, in the image for a Cortex-M0+."""
    assert library.train is not None
    with api.emulated(library, api.board("rp2040")) as runner:
        assert isinstance(runner.device, Emulator)
        elf = runner.device.firmware.elf
        kernels = {kernel.function: node.op for node in library.train.schedule for kernel in node_calls(node)}
        return {op for kernel, op in kernels.items() if any(map(SOFT_FLOAT.fullmatch, reached(elf, kernel)))}


@pytest.mark.parametrize("additions", ["int8", "int16"])
def test_what_was_learned_in_codes_is_saved_and_loaded_to_the_same_bits(additions: Additions, tmp_path: Path) -> None:
    """A saved adapter of codes predicts the same, loaded without the samples that its A was drawn from."""
    network = fuse_quantization(drawn())
    data = samples(network, 6)
    labels = np.arange(6, dtype=np.int32) % 5
    model = get_peft_model(network, LORA, data, optimizer=SGD(lr=0.1), gradients="int16", additions=additions)
    model.train(data, labels)
    model.save(tmp_path)
    again = PeftModel.from_pretrained(network, tmp_path)
    np.testing.assert_array_equal(model.predict(data), again.predict(data))
    assert again.recipe == model.recipe
    with pytest.raises(MicrograftError, match="holds codes, which PEFT has not"):
        save_peft(model, tmp_path / "peft")
