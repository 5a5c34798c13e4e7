"""A transposed convolution is one convolution for all phases of its stride, moved beside one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.separate_phases import separate_phases
from micrograft.reference import run

CASES = [
    (axes, *each)
    for axes in (1, 2)
    for each in [(2, 2, 0, 0), (3, 2, 1, 1), (4, 2, 1, 0), (3, 1, 1, 0), (5, 3, 2, 1), (2, 3, 0, 2), (4, 3, 0, 0)]
]


@pytest.mark.parametrize(("axes", "kernel", "stride", "padding", "more"), CASES)
def test_the_sums_are_the_same(axes: int, kernel: int, stride: int, padding: int, more: int) -> None:
    """Whatever kernel, stride and padding, outputs that no window reaches included, an activation behind it too."""
    torch.manual_seed(0)
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d)[axes - 1]
    module = nn.Sequential(kind(3, 4, kernel, stride, padding, more), nn.ReLU()).eval()
    x = np.random.default_rng(0).standard_normal((1, 3, *(5, 4)[:axes])).astype(np.float32)
    network = api.load(module, example=[x])
    separated = separate_phases(network)
    assert {"conv_transpose"} & {node.op for node in network.nodes}
    assert not {"conv_transpose"} & {node.op for node in separated.nodes}
    np.testing.assert_allclose(_answer(separated, x), _answer(network, x), rtol=1e-5, atol=1e-6)


def test_what_is_no_plain_one_stays() -> None:
    """Groups and dilations are left alone."""
    x = np.zeros((1, 4, 6), np.float32)
    for module in (nn.ConvTranspose1d(4, 4, 3, groups=2), nn.ConvTranspose1d(4, 4, 3, dilation=2)):
        network = api.load(module.eval(), example=[x])
        assert separate_phases(network) is network


def _answer(network: Graph, x: Array) -> Array:
    (given,), (result,) = network.inputs, network.outputs
    return result.to_user(run(network, [given.from_user(x)])[result.value.name])
