"""Networks of every common kind in int8: little stays float32, they answer as before, and they learn."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from micrograft import api, precision
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array, DType
from micrograft.recipe import Gradients
from micrograft.reference import Memory, run, run_step
from micrograft.samples import Samples, check_inputs
from micrograft.spec import parse_methods, parse_optimizer
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import measure_ram
from tests.deployed_networks import DEPLOYED, Deployed, build
from tests.test_integer_gradients import OF_A_FEW, soft

_each = pytest.mark.parametrize("deployed", DEPLOYED, ids=lambda deployed: deployed.name)


def samples(deployed: Deployed) -> Array:
    return np.random.default_rng(0).standard_normal((24, *deployed.shape[1:])).astype(np.float32)


@functools.cache
def quantized(deployed: Deployed) -> precision.Quantized:
    x = samples(deployed)
    return precision.quantize(api.load(build(deployed), example=[x[:1]]), x)


def answers(graph: Graph, x: Array) -> Array:
    port = graph.inputs[0]
    found = [run(graph, [port.from_user(each)]) for each in check_inputs(x, port)]
    return np.stack([values[graph.outputs[0].value.name] for values in found])


@_each
def test_hardly_anything_stays_float32(deployed: Deployed) -> None:
    """Concatenations, gates, squeezes, pads and shuffles have int8 operators; the arena is two fifths at most."""
    network = quantized(deployed)
    floats = {node.op for node in network.graph.nodes if node.outputs[0].dtype is DType.FLOAT32}
    assert floats >= deployed.floats
    if not deployed.floats:
        assert floats == {"dequantize"}
        assert api.freeze(network.graph).memory.arena <= 0.4 * api.freeze(network.floats).memory.arena


@_each
def test_answers_stay(deployed: Deployed) -> None:
    """The int8 network answers as the float one, 25 decibels above its noise, and the C as the reference."""
    network, x = quantized(deployed), samples(deployed)[:6]
    floats, codes = answers(network.floats, x), answers(network.graph, x)
    assert 10 * np.log10(np.mean(floats**2) / np.mean((floats - codes) ** 2)) > 25
    with api.host(api.freeze(network.graph)) as runner:
        port = network.graph.outputs[0]
        ours = np.stack([port.from_user(runner.predict(each)) for each in check_inputs(x, network.graph.inputs[0])])
    np.testing.assert_allclose(ours, codes, rtol=1e-5, atol=1e-5 * np.abs(codes).max())


def gradients(graph: Graph, sample: Array) -> dict[str, Array]:
    """Of the loss with respect to every bias in real numbers, by the user's names."""
    step = api.adapt(graph, api.Recipe(parse_methods("bias"), loss="mse")).step
    assert step is not None
    port, target = step.graph.inputs
    memory = Memory(
        {param.name: param.data for param in step.graph.trainable}, {s.name: s.initial for s in step.states}
    )
    goal = np.full(target.value.shape, 3.0, np.float32)
    batch = sample.reshape(port.user_shape)
    values = run_step(step, [port.from_user(batch), goal], memory, dtype=np.float64).values
    found = {}
    for param in step.graph.trainable:
        quant = param.value.type.quant
        scales = 1.0 if quant is None else np.asarray(quant.scales)
        found[param.source] = values[step.gradients[param.name].name] / scales
    return found


@_each
def test_gradients_pass_as_in_the_float_network(deployed: Deployed) -> None:
    """Through tables, products and concatenations each bias's gradient points where the float network's does."""
    network, x = quantized(deployed), samples(deployed)[:1]
    (sample,) = check_inputs(x, network.graph.inputs[0])
    floats, codes = gradients(network.floats, x[0]), gradients(network.graph, sample)
    assert floats.keys() <= codes.keys()  # those that folding made are trained in int8 alone
    for name, expected in floats.items():
        found = codes[name]
        near = np.sum(found * expected) / np.sqrt(np.sum(found**2) * np.sum(expected**2))
        assert near > 0.97, name


WIDTHS: tuple[Gradients, ...] = ("float32", "int16", "int8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deployed", "gradients_in"),
    [pytest.param(each, WIDTHS[index % 3], id=each.name) for index, each in enumerate(DEPLOYED)],
)
def test_it_learns_with_the_same_bits_in_the_ram_that_was_planned(deployed: Deployed, gradients_in: Gradients) -> None:
    """Full training: host and board agree in every bit, measured RAM is the plan's, and the loss falls."""
    network, x = quantized(deployed), samples(deployed)
    recipe = api.Recipe(
        parse_methods("full"), parse_optimizer("sgd:lr=0.02"), "mse", gradients=gradients_in, additions=gradients_in
    )
    library, place = api.adapt(network.graph, recipe, x), api.board("stm32f446")
    planned = api.plan(library, recipe, place).ram
    target = np.zeros((4, *network.graph.outputs[0].user_shape[1:]), np.float32)
    data = api.check_samples(library, Samples(x[:4], target))
    assert data.y is not None
    with api.host(library) as host, api.emulated(library, place) as board:
        for each in zip(data.x, data.y, strict=True):
            assert host.train_step(*each) == board.train_step(*each)
        assert host.state() == board.state()
        assert isinstance(board.device, Emulator)
        measured = measure_ram(board, board.device, data.x[0], data.y[0])
        assert measured.stack <= planned.stack
        assert measured.total - measured.stack == planned.total - planned.stack
        losses = [[host.train_step(*each) for each in zip(data.x, data.y, strict=True)] for _ in range(12)]
    assert np.mean(losses[-1]) < np.mean(losses[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3", "densenet", "unet", "wavenet"])
def test_a_core_without_a_float_unit_trains_in_integers(name: str) -> None:
    """Through tables, products, concatenations and pads, no kernel but those of the logits reaches soft float."""
    deployed = next(each for each in DEPLOYED if each.name == name)
    recipe = api.Recipe(parse_methods("full"), gradients="int16", additions="int16")
    assert soft(api.adapt(quantized(deployed).graph, recipe, samples(deployed))) <= set(OF_A_FEW)
