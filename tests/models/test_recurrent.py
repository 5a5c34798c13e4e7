"""Recurrent networks import from PyTorch and from both ONNX exporters, and learn what PyTorch would have learned."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from micrograft import api, get_peft_model
from micrograft.adapter import read_adapter
from micrograft.boards import find_board
from micrograft.cli import main
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.full import Full
from micrograft.peft.lora import LoRA
from micrograft.samples import Samples
from tests.models.agreement import METHODS, agree, close, export, trained_names

STEPS, CHANNELS, CLASSES = 11, 5, 4
SHAPE = (1, STEPS, CHANNELS)
HEAD = ("head.weight", "head.bias")


class Classifier(nn.Module):
    """A recurrent layer, and a head on its last output."""

    def __init__(self, layer: nn.RNNBase, width: int) -> None:
        super().__init__()
        self.rnn = layer
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Stateful(nn.Module):
    """An encoder whose states a decoder starts from, and an encoder's learned first state."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(0.3 * torch.randn(1, 1, 6))
        self.encoder = nn.LSTM(CHANNELS, 6, batch_first=True)
        self.decoder = nn.LSTM(CHANNELS, 6, batch_first=True)
        self.gate = nn.GRU(6, 5, batch_first=True)
        self.head = nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, cell) = self.encoder(x, (self.start, 0.5 * self.start))
        y, (last, _) = self.decoder(x, (hidden, cell))
        _, gated = self.gate(y, last[:, :, :5])
        return self.head(torch.cat([gated[0], y[:, 0, :5]], 1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Classifier(nn.LSTM(CHANNELS, 8, batch_first=True), 8),
    "gru": lambda: Classifier(nn.GRU(CHANNELS, 9, batch_first=True), 9),
    "rnn": lambda: Classifier(nn.RNN(CHANNELS, 7, nonlinearity="relu", batch_first=True), 7),
    "deep_lstm": lambda: Classifier(nn.LSTM(CHANNELS, 5, 2, batch_first=True, bidirectional=True), 10),
    "deep_gru": lambda: Classifier(nn.GRU(CHANNELS, 4, 2, batch_first=True, bidirectional=True, bias=False), 8),
    "stateful": Stateful,
}


@functools.cache
def network(name: str) -> tuple[nn.Module, Graph]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = NETWORKS[name]().eval()
    return module, api.load(module, example=[np.zeros(SHAPE, np.float32)])


def samples(count: int) -> list[tuple[Array, Array]]:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((count, *SHAPE)).astype(np.float32)
    return list(zip(x, generator.integers(0, CLASSES, (count, 1)).astype(np.int32), strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_twenty_steps_agree_with_pytorch(name: str, method: str) -> None:
    """From torch.export: answers, 20 losses and every trained parameter agree with PyTorch within 1e-4."""
    module, graph = network(name)
    agree(module, graph, samples(20), METHODS[method], trained_names(module, method, HEAD))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "legacy"])
@pytest.mark.parametrize("name", ["lstm", "gru", "deep_lstm"])
def test_twenty_steps_agree_through_onnx(name: str, dynamo: bool, method: str, tmp_path: Path) -> None:
    """From either ONNX exporter, with gates in ONNX's order and joined biases, likewise. LoRA adapts the head."""
    module, _ = network(name)
    graph = export(module, SHAPE, tmp_path / "model.onnx", dynamo=dynamo)
    methods = (LoRA(rank=3, targets="head"),) if method == "lora" else METHODS[method]
    agree(module, graph, samples(20), methods, trained_names(module, method, HEAD))


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_truncation_is_detaching(name: str) -> None:
    """Gradients cut every 4 steps are PyTorch's with the state detached there, for 20 steps."""
    module, graph = network(name)
    with api.host(_full(graph, truncate=4)) as runner:
        losses = [runner.train_step(x, y) for x, y in samples(20)]
        trained = runner.parameters()
    reference = copy.deepcopy(module).double()
    optimizer = torch.optim.SGD(reference.parameters(), 0.05)
    expected = []
    for x, y in samples(20):
        state = None
        for chunk in torch.from_numpy(x).double().split(4, dim=1):
            output, state = reference.rnn(chunk, state)
            state = tuple(each.detach() for each in state) if isinstance(state, tuple) else state.detach()
        loss = nn.functional.cross_entropy(reference.head(output[:, -1]), torch.from_numpy(y).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    close(np.array(losses), np.array(expected))
    for source, tensor in reference.named_parameters():
        close(trained[source], tensor.detach().numpy())


def _full(graph: Graph, **settings: int) -> api.Library:
    return api.adapt(graph, api.Recipe((Full(),), SGD(lr=0.05), clip=None, name="net", **settings))


def test_truncation_needs_a_recurrent_layer() -> None:
    """There is nothing to truncate in a network without time."""
    graph = api.load(nn.Linear(3, 2), example=[np.zeros((1, 3), np.float32)])
    with pytest.raises(MicrograftError, match="no recurrent layer"):
        _full(graph, truncate=4)


def test_truncation_is_an_option(tmp_path: Path) -> None:
    """`--truncate` trains what `Recipe(truncate=...)` does, which is not what all steps train, and is recorded."""
    module, _ = network("gru")
    export(module, SHAPE, tmp_path / "gru.onnx", dynamo=False)
    x, y = (np.stack(each) for each in zip(*samples(4), strict=True))
    np.savez(tmp_path / "data.npz", x=x[:, 0], y=y[:, 0])
    learned = []
    for words in (["--truncate", "3"], []):
        out = tmp_path / f"out{len(words)}"
        arguments = ["train", tmp_path / "gru.onnx", "--data", tmp_path / "data.npz", "--method", "full", "--out", out]
        result = CliRunner().invoke(main, [*map(str, arguments), *words])
        assert result.exit_code == 0, result.output
        adapter = read_adapter(out)
        assert adapter.recipe.truncate == (3 if words else 0)
        learned.append(adapter.tensors)
    assert any(not np.array_equal(learned[0][name], learned[1][name]) for name in learned[0])
    ours = get_peft_model(api.load(tmp_path / "gru.onnx"), Full(), truncate=3)
    ours.train(x[:, 0], y[:, 0])
    assert all(np.array_equal(tensor, ours.tensors[name]) for name, tensor in learned[0].items())


def test_gates_are_kept_in_place() -> None:
    """The backward pass keeps 5 floats per unit and step of an LSTM, 4 of a GRU, beside the outputs."""
    for name, kept in (("lstm", 5), ("gru", 4)):
        library = _full(network(name)[1])
        assert library.train is not None
        node = next(node for node in library.train.schedule if node.op == name)
        y, gates, others = node.outputs
        assert library.train.aliases[gates.name] == library.train.aliases[node.inputs[0].name]
        assert gates.type.size + others.type.size - y.shape[2] == kept * y.type.size


@pytest.mark.parametrize("name", ["lstm", "deep_gru"])
def test_host_and_board_agree_in_every_bit(name: str) -> None:
    """After three full steps every byte of state is the same on the host and on an emulated Cortex-M4F."""
    library = _full(network(name)[1])
    states = []
    for device in (api.host(library), api.emulated(library, find_board("nrf52840"))):
        with device as runner:
            for x, y in samples(3):
                runner.train_step(x, y)
            states.append(runner.state())
    assert states[0] == states[1]


def test_planned_ram_is_measured_ram() -> None:
    """Each part of the planned RAM is what a step reaches, to the byte, scratch of the recurrences included."""
    library, board = _full(network("stateful")[1]), find_board("stm32h743")
    planned = api.plan(library, api.Recipe((Full(),), name="net"), board).ram
    x, y = zip(*samples(2), strict=True)
    with api.emulated(library, board) as runner:
        measured = api.train(runner, Samples(np.stack(x), np.stack(y))).ram_measured
    assert measured is not None
    assert measured.stack <= planned.stack <= measured.stack + 256
    for part in ("arena", "state", "optimizer", "runtime"):
        assert getattr(measured, part) == getattr(planned, part), part
