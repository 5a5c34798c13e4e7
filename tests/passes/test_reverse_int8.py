"""Promises of reversible blocks in int8: sums that wrap are undone in every bit, and training does not notice."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from micrograft import api, precision
from micrograft.boards import find_board
from micrograft.codegen.artifact import Library
from micrograft.couplings import find_couplings
from micrograft.ir.graph import Graph, Phase
from micrograft.ir.types import Array, DType, Quantization
from micrograft.ops.wrapping_add import WRAPPING_ADD, WRAPPING_SUB, WrappingAttrs
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.reverse import reverse
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse
from micrograft.precision import Quantized
from micrograft.quantization.calibrate import calibrate
from micrograft.quantization.observers import MinMax, Percentile
from micrograft.quantization.scheme import scheme
from micrograft.recipe import Gradients
from micrograft.reference import run, run_step
from micrograft.samples import check_inputs
from tests.passes.test_reverse import METHODS, couplings
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

KINDS = tuple(SHAPES)


def inputs(kind: type[nn.Module], count: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((count, *SHAPES[kind][1:])).astype(np.float32)


@functools.cache
def network(kind: type[nn.Module], blocks: int) -> tuple[Graph, Quantized]:
    torch.set_num_threads(1)
    floats = api.load(make(kind, blocks), example=[np.zeros(SHAPES[kind], np.float32)])
    return floats, precision.quantize(floats, inputs(kind, 32, 0))


def library(
    kind: type[nn.Module], blocks: int, method: str, reversible: bool, gradients: Gradients = "float32"
) -> Library:
    graph = network(kind, blocks)[1].graph
    methods = METHODS[method] if method in METHODS else (half_of_each_weight(graph),)
    recipe = api.Recipe(methods, SGD(lr=0.05), clip=None, name="net", reversible=reversible, gradients=gradients)
    return api.adapt(graph, recipe, inputs(kind, 16, 0))


def half_of_each_weight(graph: Graph) -> Sparse:
    """A sparse update of all layers that have more than one channel to choose from."""
    weights = [param for param in graph.params if param.learnable and len(param.value.shape) > 1]
    names = [param.source.removesuffix(".weight") for param in weights if param.source.endswith(".weight")]
    return Sparse(Scheme(tuple(LayerScheme(name, weight=0.5) for name in names)))


def answers(graph: Graph, x: Array) -> Array:
    port, name = graph.inputs[0], graph.outputs[0].value.name
    return np.stack([run(graph, [port.from_user(each)])[name] for each in check_inputs(x, port)])


def samples(kind: type[nn.Module], found: Library, count: int) -> list[tuple[Array, Array]]:
    y = np.random.default_rng(4).integers(0, 4, count)
    data = api.check_samples(found, api.Samples(inputs(kind, count, 3), y))
    assert data.y is not None
    return list(zip(data.x, data.y, strict=True))


@pytest.mark.parametrize("zero", [-128, -3, 0, 127])
def test_a_sum_that_wraps_is_undone(zero: int) -> None:
    """For all pairs of codes: (a + b) − b and (a − b) + b are a."""
    every = np.arange(-128, 128, dtype=np.int8)
    a, b = np.repeat(every, 256), np.tile(every, 256)
    attrs = WrappingAttrs(Quantization((0.5,), (zero,)))
    for one, other in ((WRAPPING_ADD, WRAPPING_SUB), (WRAPPING_SUB, WRAPPING_ADD)):
        (y,) = one.evaluate(attrs, [a, b])
        np.testing.assert_array_equal(other.evaluate(attrs, [y, b])[0], a)


@pytest.mark.parametrize("kind", KINDS)
def test_every_coupling_becomes_one_of_codes(kind: type[nn.Module]) -> None:
    """Quantized, every coupling is still found, of a block alone too; all of its streams are int8, none saturates."""
    for blocks in (1, 3):
        floats, quantized = network(kind, blocks)
        names = {param.name for param in quantized.graph.params}
        found = find_couplings(quantized.graph.nodes, names)
        assert len(found) == len(find_couplings(floats.nodes, {param.name for param in floats.params}))
        assert len(found) == couplings(kind, blocks)
        assert all(value.dtype is DType.INT8 for each in found for value in (each.x, each.f, each.y))


@pytest.mark.parametrize("kind", KINDS)
def test_answers_stay_near_those_of_the_float_network(kind: type[nn.Module]) -> None:
    """On samples that calibration did not see, within 20 dB and with the same winner for nine in ten."""
    floats, quantized = network(kind, 3)
    x = inputs(kind, 64, 7)
    expected, found = answers(floats, x), answers(quantized.graph, x)
    assert 10 * np.log10(np.mean(expected**2) / np.mean((expected - found) ** 2)) > 20
    assert np.mean(expected.argmax(axis=-1) == found.argmax(axis=-1)) >= 0.9


def test_nothing_of_a_stream_is_cut_off() -> None:
    """An observer that cuts tails leaves those of streams alone, and the ranges bring the same network back."""
    floats, quantized = network(ReversibleCnn, 3)
    cut = precision.quantize(floats, inputs(ReversibleCnn, 32, 0), observer=Percentile(99.0))
    couplings = find_couplings(cut.floats.nodes, {param.name for param in cut.floats.params})
    same = scheme(cut.floats).same
    streams = {same.get(value.name, value.name) for each in couplings for value in (each.x, each.f, each.y)}
    assert streams and all(cut.ranges[name] == quantized.ranges[name] for name in streams)
    assert any(cut.ranges[name] != quantized.ranges[name] for name in cut.ranges)
    assert precision.quantize_as(floats, cut.ranges).nodes == cut.graph.nodes


def test_training_for_int8_leaves_no_stream_outside_its_range() -> None:
    """Weights that learn on the int8 grid make streams larger; their one range grows with them, so no sum wraps."""
    x, y = inputs(Handwritten, 32, 0), np.random.default_rng(1).integers(0, 4, 32)
    found = precision.quantize_in_training(network(Handwritten, 2)[0], x, y, epochs=20, lr=0.02, seed=0)
    plan = scheme(found.floats)
    seen = plan.ranges(calibrate(found.floats, found.samples, plan.observed, MinMax()))
    (stream,) = plan.streams
    assert len({found.ranges[name] for name in stream}) == 1
    assert found.ranges[stream[0]] != network(Handwritten, 2)[1].ranges[stream[0]]
    assert all(found.ranges[name][0] <= seen[name][0] and seen[name][1] <= found.ranges[name][1] for name in stream)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_rebuilt_codes_are_the_stored_ones(kind: type[nn.Module], method: str) -> None:
    """Every bit of every code that is rebuilt, of the loss and of every gradient."""
    stored = library(kind, 3, method, reversible=False).step
    assert stored is not None
    rebuilt = reverse(stored)
    assert rebuilt is not stored
    generator = np.random.default_rng(5)
    for _ in range(2):
        x = generator.standard_normal(SHAPES[kind][1:]).astype(np.float32)
        port, target = stored.graph.inputs
        y = np.array([generator.integers(0, 4)], np.int32)
        given = [port.from_user(check_inputs(4 * x[None], port)[0]), target.from_user(y)]
        expected, found = (run_step(step, given) for step in (stored, rebuilt))
        assert found.loss == expected.loss
        again = [value.name for node in rebuilt.graph.nodes for value in node.outputs if "_rebuilt" in value.name]
        assert again
        for name in again:
            np.testing.assert_array_equal(found.values[name], expected.values[name.rpartition("_rebuilt")[0]])
        for name, gradient in stored.gradients.items():
            theirs = found.values[rebuilt.gradients[name].name]
            np.testing.assert_array_equal(theirs, expected.values[gradient.name])


TRAINED: tuple[tuple[type[nn.Module], int, str, Gradients], ...] = (
    (ReversibleCnn, 4, "full", "float32"),
    (ReversibleCnn, 3, "lora", "int16"),
    (ReversibleTransformer, 2, "sparse", "float32"),
    (Stages, 2, "full", "int8"),
    (Stages, 2, "sparse", "int16"),
    (ThreeStreams, 3, "lora", "float32"),
    (ThreeStreams, 3, "full", "int8"),
    (Leapfrog, 4, "bias", "float32"),
    (Leapfrog, 4, "full", "int16"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "blocks", "method", "gradients"), TRAINED)
def test_training_gives_the_same_parameters(
    kind: type[nn.Module], blocks: int, method: str, gradients: Gradients
) -> None:
    """Five steps in C with and without rebuilding, on the host and on an emulated board: the same bits."""
    board = find_board("stm32h743")
    kept, rebuilt = (library(kind, blocks, method, each, gradients) for each in (False, True))
    assert rebuilt.step is not None and any("_rebuilt" in node.outputs[0].name for node in rebuilt.step.graph.nodes)
    assert rebuilt.memory.arena < kept.memory.arena
    results = []
    for device in (api.host(kept), api.host(rebuilt), api.emulated(rebuilt, board)):
        with device as runner:
            losses = [runner.train_step(x, y) for x, y in samples(kind, kept, 5)]
            results.append((losses, runner.state()))
    assert results[0] == results[1] == results[2]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [ReversibleCnn, ReversibleTransformer])
def test_memory_does_not_grow_with_the_number_of_blocks(kind: type[nn.Module], method: str) -> None:
    """From 4 to 16 blocks the arena of the rebuilding step grows by less than 1 %."""
    sizes = []
    for blocks in (4, 16):
        plan = library(kind, blocks, method, reversible=True).train
        assert plan is not None
        sizes.append(plan.arena)
    assert sizes[1] < 1.01 * sizes[0]


def test_the_backward_pass_keeps_only_the_last_streams() -> None:
    """Of the codes of streams the backward pass reads those of the last block alone."""
    step = library(ReversibleTransformer, 3, "lora", reversible=True).step
    assert step is not None
    forward = {value.name for node in step.graph.nodes if node.phase is Phase.FORWARD for value in node.outputs}
    sums = {value.name for node in step.graph.nodes if node.op == "wrapping_add" for value in node.outputs}
    read = {value.name for node in step.graph.nodes if node.phase is not Phase.FORWARD for value in node.inputs}
    assert len(sums & forward) == 6 and len(sums & forward & read) == 2
