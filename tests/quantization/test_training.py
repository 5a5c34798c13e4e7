"""Quantization-aware training in PyTorch happens on the grid of the int8 C."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import micrograft
from micrograft import api, precision
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.quantization.fake_quantized import FakeQuantized
from micrograft.samples import check_inputs
from tests.frontends.torch_networks import Case, trained
from tests.int8_networks import SHARED
from tests.networks import residual_cnn
from tests.quantization.test_quantize import ONE_INPUT, answers, real

KEYWORDS = SHARED / "models" / "kws_dscnn_float32.tflite"
DIGITS = SHARED / "data" / "spoken_digits_mfcc.npz"


def labelled(count: int = 240) -> tuple[Array, Array]:
    """Noisy images whose class is their colour: one channel is brighter than the others, or none."""
    generator = np.random.default_rng(3)
    y = generator.integers(0, 4, count)
    colours = np.concatenate([np.eye(3), np.zeros((1, 3))])
    x = generator.standard_normal((count, 8, 8, 3)) + colours[y][:, None, None]
    return x.astype(np.float32), y


def step_of(graph: Graph) -> float:
    quant = graph.nodes[-1].inputs[0].type.quant
    return quant.scale if quant is not None else 0.0


def share_within_a_step(module: FakeQuantized, graph: Graph, x: Array, steps: float = 1.001) -> float:
    """Of the answers of PyTorch and of the int8 network's C."""
    with api.host(api.freeze(graph)) as runner:
        ours = api.predict(runner, check_inputs(x, graph.inputs[0]))
    theirs = module.answers(check_inputs(x, module._graph.inputs[0])).reshape(ours.shape)
    return float(np.mean(np.abs(ours - theirs) <= steps * step_of(graph)))


def test_what_pytorch_predicts_the_c_predicts() -> None:
    """After training: every answer to 2,000 images has the same bits."""
    x, y = labelled()
    quantized = precision.quantize_in_training(residual_cnn(), x, y, epochs=2)
    module = FakeQuantized(quantized.floats, quantized.ranges)
    assert share_within_a_step(module, quantized.graph, real((1, 8, 8, 3), 2000), steps=0.0) == 1.0


def test_the_keyword_network_in_pytorch_is_the_one_in_c() -> None:
    """MLPerf Tiny's network, its average pool full of ties, on 500 spoken digits: 99.9 % within one step."""
    if not (KEYWORDS.is_file() and DIGITS.is_file()):
        pytest.skip(f"{KEYWORDS} or {DIGITS} is not there")
    with np.load(DIGITS) as archive:
        x = archive["x"].astype(np.float32)
    quantized = precision.quantize(api.load(KEYWORDS, classes=10), x[::60])
    module = FakeQuantized(quantized.floats, quantized.ranges)
    again = precision.quantize_as(module.graph(), module.ranges())
    assert share_within_a_step(module, again, x[::6]) >= 0.999


@pytest.mark.parametrize("case", ONE_INPUT, ids=lambda case: case.name)
def test_every_network_has_its_grid_in_pytorch(case: Case) -> None:
    """What post-training quantization takes, PyTorch computes: alone or as a batch, as the int8 reference does."""
    network = api.load(trained(case), example=[np.zeros(shape, np.float32) for shape in case.shapes])
    x = real(case.shapes[0], 12)
    try:
        quantized = precision.quantize(network, x)
    except MicrograftError:
        pytest.skip("it has no layer with an int8 operator")
    module = FakeQuantized(quantized.floats, quantized.ranges)
    expected, found = answers(quantized.graph, x), module.answers(x)
    differing = np.abs(found.astype(float) - expected) > 0.02 * np.abs(expected).max()
    assert differing.mean() <= (0.1 if expected.dtype.kind == "i" else 0.001)


def accuracy(graph: Graph, x: Array, y: Array) -> float:
    return float(np.mean(answers(graph, x).argmax(axis=-1).ravel() == y))


def test_a_network_learns_in_int8() -> None:
    """What it learned in PyTorch the int8 network knows; without training it knows nothing."""
    x, y = labelled()
    learned = precision.quantize_in_training(residual_cnn(), x, y, epochs=16, lr=5e-3)
    assert accuracy(learned.graph, x, y) > 0.9 > 0.6 > accuracy(api.quantize(residual_cnn(), x), x, y)


def test_gradients_pass_straight_through() -> None:
    """Every weight, bias and clipped range has a gradient; the loss falls from step to step on one batch."""
    x, y = labelled(32)
    quantized = precision.quantize(residual_cnn(), x, observer=micrograft.Percentile(percent=98.0))
    module = FakeQuantized(quantized.floats, quantized.ranges).train()
    optimizer = torch.optim.Adam(module.groups(3e-3))
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        logits = module.before(module.inputs(x), ()).reshape(len(x), -1)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
        loss.backward()
        assert all(each.grad is not None and each.grad.abs().max() > 0 for each in module._params.values())
        assert any(each.grad is not None and each.grad.abs().max() > 0 for each in module._growth.values())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_seed_gives_the_same_network() -> None:
    """Bit for bit; another seed gives another one."""
    x, y = labelled(64)
    digests = [
        api.freeze(precision.quantize_in_training(residual_cnn(), x, y, epochs=1, seed=seed).graph).digest
        for seed in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_wrong_targets_are_refused() -> None:
    """Too few, a class that there is none of, and a loss that nobody knows."""
    x, y = labelled(16)
    for targets, loss, sentence in ((y[:3], None, "3 targets"), (y + 3, None, "classes"), (y, "hinge", "no loss")):
        with pytest.raises(MicrograftError, match=sentence):
            precision.quantize_in_training(residual_cnn(), x, targets, loss=loss)
