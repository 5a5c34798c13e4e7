"""All of an int8 network, trained with quantization-aware scaling, learns a new voice as its float32 twin does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.float_head import float_head
from micrograft.passes.merge_adapters import with_values
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.method import Method
from micrograft.samples import check_inputs
from tests.int8_networks import KEYWORDS, SHARED, model

SPEAKER, SHOTS, TESTED_FROM = "lucas", 5, 10
DATA = SHARED / "data" / "spoken_digits_mfcc.npz"


def network_of(path: Path, archive: dict[str, Array]) -> tuple[Graph, Array]:
    """A keyword network whose head knows digits as five other people speak them, and all inputs as it takes them."""
    network = float_head(api.load(path, classes=10))
    x = check_inputs(archive["x"], network.inputs[0])
    others = np.flatnonzero((archive["speaker"] != SPEAKER) & (archive["take"] < 20))
    values, _ = learned(network, (Head(),), SGD(lr=0.02), x, archive["y"], others, epochs=2)
    return with_values(network, values), x


def learned(
    network: Graph, methods: tuple[Method, ...], optimizer: SGD, x: Array, y: Array, rows: Array, *,
    epochs: int, test: Array | None = None,
) -> tuple[dict[str, Array], float]:  # fmt: skip
    """What was learned from these rows, and the accuracy on others."""
    library = api.adapt(network, api.Recipe(methods, optimizer, name="net"), x[rows[:16]])
    generator = np.random.default_rng(0)
    with api.host(library) as runner:
        for _ in range(epochs):
            for row in generator.permutation(rows):
                runner.train_step(x[row], y[row : row + 1].astype(np.int32))
        hits = [runner.predict(x[row]).argmax() == y[row] for row in (test if test is not None else ())]
        return runner.parameters(), float(np.mean(hits)) if hits else 0.0


@pytest.mark.slow
def test_scaling_makes_int8_weights_learn_as_float32_ones_do() -> None:
    """After five recordings of each digit: within four points of float32; without the scaling ten points behind."""
    path = model(KEYWORDS)
    if not DATA.is_file():
        pytest.skip(f"{DATA} is not there")
    with np.load(DATA) as file:
        archive = dict(file)
    own = archive["speaker"] == SPEAKER
    rows, test = (np.flatnonzero(own & chosen) for chosen in (archive["take"] < SHOTS, archive["take"] >= TESTED_FROM))

    def accuracy(start: tuple[Graph, Array], optimizer: SGD) -> float:
        return learned(start[0], (Full(),), optimizer, start[1], archive["y"], rows, epochs=5, test=test)[1]

    real = accuracy(network_of(path.with_name("kws_dscnn_float32.tflite"), archive), SGD(lr=0.01))
    codes = network_of(path, archive)
    scaled, unscaled = accuracy(codes, SGD(lr=0.01)), accuracy(codes, SGD(lr=0.01, qas=False))
    assert scaled > real - 0.04
    assert unscaled < scaled - 0.1
    assert scaled > 0.85
