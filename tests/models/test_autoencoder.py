"""Autoencoders import from PyTorch and from both ONNX exporters, and learn what PyTorch would have learned."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from micrograft import api
from micrograft.boards import find_board
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.full import Full
from tests.models.agreement import METHODS, agree, export, trained_names

SHAPE = (1, 2, 12, 8)
HEAD = ("out.weight", "out.bias")


class Transposed(nn.Module):
    """Convolutions down, transposed convolutions up, the zoo's activations between them."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Conv2d(2, 6, 3, stride=2, padding=1)
        self.slope = nn.PReLU(6, 0.2)
        self.down2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.up1 = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1)
        self.out = nn.ConvTranspose2d(6, 2, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.hardswish(self.down2(self.slope(self.down1(x))))
        return self.out(nn.functional.elu(self.up1(y)))


class Upsampled(nn.Module):
    """Pools down, upsampling up: nearest and bilinear, reflected at the border."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.LeakyReLU(0.1), nn.MaxPool2d(2))
        self.latent = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 6, 3, padding=1), nn.Hardsigmoid())
        self.wide = nn.Upsample(scale_factor=2, mode="bilinear")
        self.out = nn.Conv2d(6, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(self.up(nn.functional.softplus(self.latent(self.down(x)))))
        return self.out(nn.functional.pad(y, (1, 1, 1, 1), mode="reflect"))


KINDS = (Transposed, Upsampled)


@functools.cache
def network(kind: type[nn.Module]) -> tuple[nn.Module, Graph]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = kind().eval()
    return module, api.load(module, example=[np.zeros(SHAPE, np.float32)])


def samples(count: int) -> list[tuple[Array, Array]]:
    x = np.random.default_rng(5).standard_normal((count, *SHAPE)).astype(np.float32)
    return [(each, each) for each in x]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_steps_agree_with_pytorch(kind: type[nn.Module], method: str) -> None:
    """From torch.export: answers, 20 losses and every trained parameter agree with PyTorch within 1e-4."""
    module, graph = network(kind)
    assert "transpose" not in [node.op for node in graph.nodes]
    agree(module, graph, samples(20), METHODS[method], trained_names(module, method, HEAD), loss="mse", rate=0.2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "legacy"])
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_steps_agree_through_onnx(kind: type[nn.Module], dynamo: bool, method: str, tmp_path: Path) -> None:
    """From either ONNX exporter likewise."""
    module, _ = network(kind)
    graph = export(module, SHAPE, tmp_path / "model.onnx", dynamo=dynamo)
    agree(module, graph, samples(20), METHODS[method], trained_names(module, method, HEAD), loss="mse", rate=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_host_and_board_agree_in_every_bit(kind: type[nn.Module]) -> None:
    """After two full steps every byte of state is the same on the host and on an emulated Cortex-M7."""
    library = api.adapt(network(kind)[1], api.Recipe((Full(),), SGD(lr=0.1), "mse", name="net"))
    states = []
    for device in (api.host(library), api.emulated(library, find_board("stm32f746"))):
        with device as runner:
            for x, y in samples(2):
                runner.train_step(x, y)
            states.append(runner.state())
    assert states[0] == states[1]


def test_an_index_ends_a_network() -> None:
    """A network that ends in an argmax predicts int32, and its loss reads what stands before it."""

    class Labelled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, stride=2)
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.log_softmax(self.fc(torch.relu(self.conv(x)).amax((2, 3))), 1).argmax(1)

    torch.manual_seed(1)
    module = Labelled().eval()
    graph = api.load(module, example=[np.zeros(SHAPE, np.float32)])
    library = api.adapt(graph, api.Recipe((Full(),), SGD(lr=0.1), name="net"))
    reference = nn.CrossEntropyLoss()
    with api.host(library) as runner:
        for x, _ in samples(6):
            with torch.no_grad():
                logits = module.fc(torch.relu(module.conv(torch.from_numpy(x))).amax((2, 3)))
                wanted = module(torch.from_numpy(x)).numpy()
            found = runner.predict(x)
            assert found.dtype == np.int32 and found.tolist() == wanted.tolist()
            target = np.array([2], np.int32)
            assert runner.evaluate(x, target) == pytest.approx(reference(logits, torch.tensor([2])).item(), rel=1e-5)
        x, target = samples(1)[0][0], np.array([2], np.int32)
        losses = [runner.train_step(x, target) for _ in range(30)]
        assert losses[-1] < losses[0] and runner.predict(x).tolist() == [2]
