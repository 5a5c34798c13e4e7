"""Promises of the pass that reads interleaved tensors where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.full import Full
from micrograft.reference import run

EXAMPLE = np.random.default_rng(0).standard_normal((1, 3, 6, 6)).astype(np.float32)


class Checkered(nn.Module):
    """Additive couplings on every second channel, which each block interleaves again."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.even, self.odd = (
            nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(blocks)) for _ in ("even", "odd")
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for even, odd in zip(self.even, self.odd, strict=True):
            a, b = x[:, ::2], x[:, 1::2]
            b = b - 0.5 * torch.relu(odd(a))
            a = a + torch.tanh(even(b))
            x = torch.stack([a, b], 2).flatten(1, 2)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _imported(blocks: int, folder: Path | None = None) -> tuple[nn.Module, Graph]:
    """The network, and its graph: from PyTorch, or from ONNX by way of a folder."""
    torch.manual_seed(0)
    module = Checkered(blocks).eval()
    if folder is None:
        return module, api.load(module, example=[EXAMPLE])
    torch.onnx.export(module, (torch.from_numpy(EXAMPLE),), folder / "net.onnx", dynamo=False)
    return module, api.load(folder / "net.onnx")


@pytest.mark.parametrize("onnx", [False, True])
def test_couplings_of_even_and_odd_channels_are_rebuilt(onnx: bool, tmp_path: Path) -> None:
    """The network is the same, and its arena does not grow with the blocks."""
    module, graph = _imported(3, tmp_path if onnx else None)
    wanted = module(torch.from_numpy(EXAMPLE)).detach().numpy()
    port = graph.outputs[0]
    answer = run(graph, [graph.inputs[0].from_user(EXAMPLE)])[port.value.name]
    np.testing.assert_allclose(port.to_user(answer), wanted, atol=1e-5)
    assert sum(node.op == "slice" for node in graph.nodes) == 2
    recipe = api.Recipe((Full(),), SGD(), clip=None)
    longer = api.load(Checkered(9).eval(), example=[EXAMPLE])
    assert api.adapt(longer, recipe).memory.arena == api.adapt(graph, recipe).memory.arena


def test_other_strides_and_places_stay_slices() -> None:
    """Every second of three, or not from the first on, is no tensor of its own."""

    class Others(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            joined = torch.stack([x, 2 * x, x - 1], 2).flatten(1, 2)
            return joined[:, ::2] + joined[:, 4:9]

    x = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    graph = api.load(Others(), example=[x])
    port = graph.outputs[0]
    answer = port.to_user(run(graph, [graph.inputs[0].from_user(x)])[port.value.name])
    np.testing.assert_allclose(answer, Others()(torch.from_numpy(x)).numpy(), atol=1e-6)
    assert any(node.op == "slice" for node in graph.nodes)
