"""Channels of a sparse scheme that are chosen by what they contribute, against PyTorch's gradients and on every way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import micrograft
from micrograft import LayerScheme, Scheme, Sparse, api
from micrograft.cli import main
from micrograft.contribution import choose_channels
from micrograft.ir.graph import Graph
from micrograft.samples import Samples
from tests.tiny import write_data, write_network


class Small(nn.Module):
    """Convolutions, one over each channel alone, a batch normalisation, and a linear layer behind a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.down = nn.Conv2d(8, 6, 3, stride=2)
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.depth(torch.relu(self.norm(self.stem(x)))))
        logits: Tensor = self.head(torch.relu(self.down(x)).flatten(1))
        return logits


LINES = (
    LayerScheme("stem", weight=0.5, side="output", choose="contribution"),
    LayerScheme("depth", weight=0.4, choose="contribution"),
    LayerScheme("down", bias=True, weight=0.5, choose="contribution"),
    LayerScheme("head", weight=0.25, choose="contribution"),
)


def _case() -> tuple[nn.Module, Graph, Samples]:
    torch.manual_seed(1)
    module = Small().eval()
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((40, 3, 6, 6)).astype(np.float32), generator.integers(0, 4, 40)
    return module, api.load(module, example=[x[:1]]), Samples(x, y)


def _largest(gradient: Tensor, axis: int, count: int) -> tuple[int, ...]:
    """Channels of the largest sum of squares, as PyTorch counts them."""
    squares = gradient.square().transpose(0, axis).flatten(1).sum(1)
    return tuple(sorted(squares.topk(count).indices.tolist()))


def test_the_channels_are_those_whose_step_lowers_the_mean_loss_most() -> None:
    """By PyTorch's gradients of that loss, on either side, of each kind of layer, in PyTorch's numbering."""
    module, graph, samples = _case()
    assert samples.y is not None
    loss = nn.functional.cross_entropy(module(torch.from_numpy(samples.x)), torch.from_numpy(samples.y))
    names, weights = zip(*module.named_parameters(), strict=True)
    gradients = dict(zip(names, torch.autograd.grad(loss, weights), strict=True))
    (found,) = choose_channels(graph, api.Recipe((Sparse(Scheme(LINES)),)), samples).methods
    assert isinstance(found, Sparse)
    for line, axis, count in zip(found.scheme.layers, (0, 0, 1, 1), (4, 3, 4, 6), strict=True):
        assert line.channels == _largest(gradients[f"{line.layer}.weight"], axis, count), line.layer
    assert [line.bias for line in found.scheme.layers] == [False, False, True, False]


def test_int8_weights_are_told_by_the_gradients_of_what_they_stand_for() -> None:
    """The quantized network, whose scales differ from channel to channel, chooses as the float one does, or nearly."""
    _, graph, samples = _case()
    recipe = api.Recipe((Sparse(Scheme(LINES[:1])),))
    chosen = [
        set(found.scheme.layers[0].channels or ())
        for each in (graph, api.quantize(graph, samples.x))
        for found in choose_channels(each, recipe, samples).methods
        if isinstance(found, Sparse)
    ]
    assert len(chosen[0] & chosen[1]) >= 3


def test_a_plan_costs_the_same_whichever_channels_data_choose() -> None:
    """So it needs no data; what is written does."""
    _, graph, samples = _case()
    model = micrograft.get_peft_model(graph, Sparse(Scheme(LINES)))
    before = model.plan()
    with pytest.raises(micrograft.MicrograftError, match="'stem': which channels contribute most has not been"):
        model.build("nowhere")
    assert samples.y is not None
    model.train(samples.x, samples.y)
    assert replace(model.plan(), method=before.method) == before


def test_what_was_trained_needs_no_data_again(tmp_path: Path) -> None:
    """The record lists the channels, so `predict` and `build` start from the file alone; `build` without it refuses."""
    network, samples = write_network(tmp_path / "net.onnx"), write_data(tmp_path / "data.npz")
    scheme = tmp_path / "scheme.toml"
    scheme.write_text('[layers]\nconv = { weight = 0.5, side = "output", choose = "contribution" }\n')
    method = ["--method", f"sparse:{scheme}"]

    def run(*words: object, status: int = 0) -> str:
        found = CliRunner().invoke(main, [str(word) for word in words])
        assert found.exit_code == status, found.output
        return found.output

    run("plan", network, *method)
    assert 'or set choose = "magnitude"' in run("build", network, *method, "--out", tmp_path / "c", status=1)
    adapter = tmp_path / "adapter"
    run("train", network, "--data", samples, *method, "--out", adapter)
    assert "channels" in json.loads((adapter / "record.json").read_text())["recipe"]["method"]
    scheme.unlink()
    run("predict", network, "--adapter", adapter, "--data", samples, "--out", tmp_path / "answers.npz")
    run("build", network, "--adapter", adapter, "--out", tmp_path / "c")
