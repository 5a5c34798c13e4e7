"""Promises of the generated C library, as an application sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from micrograft import api
from micrograft.codegen.artifact import Library
from micrograft.codegen.emit import emit, library_files
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Port
from micrograft.ir.types import Value
from micrograft.passes.attach_optimizer import SGD, Adam
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.toolchain.runner import Runner
from tests.networks import Sketch, mlp, residual_cnn

MEMORY_TOO_SMALL, BAD_TARGET, BAD_ADAPTER = 1, 2, 3


def library(*methods: Method, **settings: object) -> Library:
    recipe = api.Recipe(methods or (LoRA(rank=2),), name="net", **settings)  # type: ignore[arg-type]
    return api.adapt(mlp(), recipe)


def sample(index: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(index)
    return generator.standard_normal((1, 12)).astype(np.float32), np.array([index % 5], np.int32)


def learn(runner: Runner, steps: int) -> None:
    for index in range(steps):
        runner.train_step(*sample(index))


def misnamed(graph: Graph) -> Graph:
    """The graph under names that would end a comment, begin one, or go on behind the end of the line."""
    odd = "a*/b /* c\n\u202e \\"
    params = tuple(replace(param, source=f"{param.source}{odd}") for param in graph.params)
    return replace(
        graph, params=params, nodes=tuple(replace(node, origin=f"{node.origin}{odd}") for node in graph.nodes)
    )


def test_the_written_library_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written compiles and links by itself, without a warning, with another compiler and no libm."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no gcc on this machine")
    for index, (graph, calls) in enumerate([(misnamed(mlp()), 1000), (residual_cnn(), 1000), (residual_cnn(), 7)]):
        directory = tmp_path / str(index)
        monkeypatch.setattr("micrograft.codegen.model.MOST_CALLS", calls)
        emit(api.adapt(graph, api.Recipe((Full(),), Adam(), name="net", accumulate=3)), directory)
        strict = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O2", "-ffp-contract=off"]
        files = sorted(map(str, directory.rglob("*.c")))
        includes = [f"-I{directory}", f"-I{directory / 'runtime'}"]
        command = [compiler, *strict, *includes, *files, "-o", str(directory / "net")]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_same_library_gives_the_same_bytes() -> None:
    """Written twice from the same network and recipe, every file is the same, and none bears a path or a date."""
    first, second = library_files(library()), library_files(library())
    assert first == second
    assert not re.search(r"/tmp|/home|/work|20\d\d-\d\d", "".join(first.values()))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_of_very_many_calls_is_several_functions(monkeypatch: pytest.MonkeyPatch, accumulate: int) -> None:
    """They learn the same bits, and the stack that the plan states is enough."""
    recipe = api.Recipe((Full(),), Adam(), name="net", accumulate=accumulate)
    lib, states = api.adapt(residual_cnn(), recipe), []
    x = np.random.default_rng(0).standard_normal(lib.input.user_shape).astype(np.float32)
    for calls in (1000, 7):
        monkeypatch.setattr("micrograft.codegen.model.MOST_CALLS", calls)
        text = library_files(lib)["net.c"]
        assert ("APART static void train_step_3" in text) == (calls == 7)
        for where in (None, api.board("nrf52840")):
            with api.running(lib, where) as runner:
                for target in (0, 1, 2, 1):
                    runner.train_step(x, np.array([target], np.int32))
                states.append(runner.state())
    assert len(set(states)) == 1


def test_layer_names_stand_in_the_code() -> None:
    """A person finds the user's layer names in the comments of the model's file."""
    text = library_files(library())["net.c"]
    assert "/* fc0: linear (1, 12) -> (1, 9) */" in text
    assert "fc1.lora_B.weight" in text


def test_too_small_a_memory_is_refused() -> None:
    """init refuses a block that is too small, null or not aligned, and says so."""
    lib = library()
    with api.host(lib) as runner:
        device = runner.device
        model, memory = device.buffer("model", 16), device.buffer("memory", lib.memory.total)
        assert device.call("net_init", model, memory, lib.memory.total) == 0
        assert device.call("net_init", model, memory, lib.memory.total - 1) == MEMORY_TOO_SMALL
        assert device.call("net_init", model, memory + 2, lib.memory.total) == MEMORY_TOO_SMALL
        assert device.call("net_init", model, 0, lib.memory.total) == MEMORY_TOO_SMALL


def test_a_wrong_label_changes_nothing() -> None:
    """A class index out of range is refused before anything is computed."""
    with api.host(library()) as runner:
        learn(runner, 2)
        before = runner.state()
        for label in (-1, 5, 2**31 - 1):
            with pytest.raises(MicrograftError, match="class index is out of range"):
                runner.train_step(sample(0)[0], np.array([label], np.int32))
        assert runner.state() == before


def test_an_adapter_survives_a_restart() -> None:
    """What export wrote, import takes over after init: the predictions are the same bits."""
    lib = library(LoRA(rank=2), Head())
    x = sample(9)[0]
    with api.host(lib) as runner:
        learn(runner, 10)
        expected = runner.predict(x)
        adapter = runner.export_adapter(runner.device.buffer("adapter", lib.adapter_bytes))
    with api.host(lib) as restarted:
        assert not np.array_equal(restarted.predict(x), expected)
        restarted.import_adapter(adapter, restarted.device.buffer("adapter", lib.adapter_bytes))
        assert np.array_equal(restarted.predict(x), expected)


def test_a_damaged_adapter_is_refused_and_changes_nothing() -> None:
    """One flipped bit anywhere, a cut, or another network's adapter: refused, and the network stays as it was."""
    lib = library()
    with api.host(lib) as runner:
        buffer = runner.device.buffer("adapter", lib.adapter_bytes)
        learn(runner, 3)
        adapter = runner.export_adapter(buffer)
        learn(runner, 3)
        before = runner.state()
        for position in range(len(adapter)):
            damaged = bytearray(adapter)
            damaged[position] ^= 1 << position % 8
            runner.device.write(buffer, bytes(damaged))
            assert runner.device.call("net_import", runner._model, buffer, len(damaged)) == BAD_ADAPTER
        runner.device.write(buffer, adapter)
        assert runner.device.call("net_import", runner._model, buffer, len(adapter) - 1) == BAD_ADAPTER
        assert runner.state() == before
    other = api.adapt(mlp((12, 9, 5), "tanh"), api.Recipe((LoRA(rank=2),), name="net"))
    with api.host(other) as foreign, pytest.raises(MicrograftError, match="belongs to another network"):
        foreign.import_adapter(adapter, foreign.device.buffer("adapter", lib.adapter_bytes))


def test_import_forgets_momenta_and_keeps_the_learning_rate() -> None:
    """After import a step with momentum is that of a fresh start at the learning rate that was set."""
    lib = library(optimizer=SGD(lr=0.1, momentum=0.9))
    with api.host(lib) as runner, api.host(lib) as fresh:
        buffer = runner.device.buffer("adapter", lib.adapter_bytes)
        adapter = runner.export_adapter(buffer)
        learn(runner, 4)
        runner.set_learning_rate(0.02)
        runner.import_adapter(adapter, buffer)
        fresh.set_learning_rate(0.02)
        learn(runner, 3)
        learn(fresh, 3)
        assert runner.state() == fresh.state()


def first_operators() -> dict[str, Graph]:
    """A convolution; a view of the sample; an operator that works in place of the sample."""
    viewed, rectified = Sketch("viewed", (1, 4, 3)), Sketch("rectified", (1, 12))
    return {
        "conv": residual_cnn(),
        "view": viewed.done(viewed.linear(viewed.flatten(viewed.input), 5, "head")),
        "in place": rectified.done(rectified.linear(rectified.apply("relu", rectified.input), 5, "head")),
    }


@pytest.mark.parametrize("first", first_operators())
def test_a_sample_is_read_where_it_lies(first: str) -> None:
    """In the arena or in the application's own buffer, which is left alone: the same bits either way."""
    graph = first_operators()[first]
    lib = api.adapt(graph, api.Recipe((Full(),), SGD(lr=0.1), name="net"))
    data = np.random.default_rng(1).standard_normal((4, *lib.input.user_shape)).astype(np.float32)
    with api.host(lib) as inside, api.host(lib) as outside:
        device = outside.device
        own = device.buffer("own", lib.input.value.type.bytes)
        place = device.call("net_input", outside._model)
        assert place & 0xFFFFFFFF == outside.sample & 0xFFFFFFFF
        outside.sample = own
        for index, x in enumerate(data):
            label = np.array([index % 4], np.int32)
            assert np.array_equal(inside.predict(x), outside.predict(x))
            assert inside.evaluate(x, label) == outside.evaluate(x, label)
            assert inside.train_step(x, label) == outside.train_step(x, label)
            assert device.read(own, lib.input.value.type.bytes) == lib.input.from_user(x).tobytes()
        assert inside.state() == outside.state()


def test_a_sample_costs_nothing_where_the_peak_lies_behind_it() -> None:
    """The arena grows by less than the sample where it is over before most is alive."""
    sketch = Sketch("narrow_then_wide", (1, 64))
    y = sketch.linear(sketch.apply("relu", sketch.linear(sketch.input, 16, "first")), 256, "wide")
    lib = api.adapt(sketch.done(sketch.linear(y, 4, "head")), api.Recipe((Head(),), name="net"))
    assert lib.train is not None
    (sample,) = (buffer for buffer in lib.train.buffers if buffer.fixed)
    assert sample.size == 4 * 64
    assert (
        lib.memory.arena == lib.train.lower_bound == sum(each.size for each in lib.train.live(lib.train.peak_position))
    )
    assert sample not in lib.train.live(lib.train.peak_position)


def test_a_network_of_two_inputs_is_refused() -> None:
    """By name, before anything is planned: the C library takes one sample."""
    graph = mlp()
    other = Port(Value("z", graph.inputs[0].value.type), graph.inputs[0].permutation, "z")
    graph = replace(graph, inputs=(*graph.inputs, other))
    for refused in (lambda: api.adapt(graph, api.Recipe((Head(),), name="net")), lambda: api.freeze(graph, "net")):
        with pytest.raises(MicrograftError, match=r"has 2 inputs \(x, z\), not one"):
            refused()


def test_the_learning_rate_is_set_at_run_time() -> None:
    """At rate 0 a step changes no parameter."""
    with api.host(library(Full())) as runner:
        before = runner.parameters()
        runner.set_learning_rate(0.0)
        learn(runner, 2)
        assert all(np.array_equal(before[name], value) for name, value in runner.parameters().items())


def test_accumulation_moves_at_every_kth_step() -> None:
    """With accumulation over 3 samples, parameters move at the third step and not before."""
    with api.host(library(Full(), accumulate=3)) as runner:
        before = runner.parameters()
        moved = []
        for index in range(6):
            runner.train_step(*sample(index))
            after = runner.parameters()
            moved.append(any(not np.array_equal(before[name], after[name]) for name in after))
            before = after
        assert moved == [False, False, True, False, False, True]


def test_two_networks_live_side_by_side() -> None:
    """The library has no state of its own: two models in one process do not disturb each other."""
    lib = library(Full())
    with api.host(lib) as one, api.host(lib) as two:
        learn(one, 3)
        untouched = two.state()
        assert one.state() != untouched
        learn(two, 3)
        assert one.state() == two.state()


def test_a_parameter_may_be_called_as_a_function() -> None:
    """A file's tensors named `input` or `predict` are tables, and the library's functions keep their names."""
    sketch = Sketch("named", (1, 4))
    frozen = [sketch.param(name, np.ones(4)) for name in ("input", "predict", "export")]
    y = sketch.input
    for value in frozen:
        y = sketch.apply("add", y, value)
    graph = sketch.done(sketch.linear(y, 3, "head"))
    with api.host(api.adapt(graph, api.Recipe((Head(),), name="net"))) as runner:
        assert runner.predict(np.zeros((1, 4), np.float32)).shape == (1, 3)


def test_a_network_of_views_alone() -> None:
    """Nothing is computed, and the sample comes out under its other shape."""
    sketch = Sketch("views", (1, 2, 3))
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    with api.host(api.freeze(sketch.done(sketch.flatten(sketch.input)))) as runner:
        assert runner.predict(x).tolist() == x.reshape(1, 6).tolist()
