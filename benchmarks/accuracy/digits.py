"""Spoken digits: each of six speakers is new in turn, and learned from five recordings of each digit.

The network is MLPerf Tiny's keyword network. "Head start": a head of ten classes has learned the other five speakers,
the rest is as published. "Tuned start": the whole network has, in training for int8. Five of the new speaker's takes 0
to 9 of each digit are to learn from (seed 0: takes 0 to 4), takes 10 to 49 to judge by.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.accuracy.trials import FOLDER, SHARED, Row, Trial, learn, read_start, save_start
from micrograft import api, precision
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.merge_adapters import with_values
from micrograft.peft.head import Head
from micrograft.quantization.observers import MSE
from micrograft.samples import Samples

SHOTS = 5
FIRST_TEST_TAKE = 10


@cache
def _data() -> tuple[Array, Array, Array, Array]:
    with np.load(SHARED / "data" / "spoken_digits_mfcc.npz") as archive:
        return archive["x"].astype(np.float32), archive["y"].astype(np.int64), archive["speaker"], archive["take"]


def groups() -> list[str]:
    return sorted(set(_data()[2].tolist()))


LORA = "lora:rank=4"
BEHIND = "lora:rank=4,targets=conv2d_*|dense"
"""Not in the first layer, which reads the recording as it is."""

RATES = {
    "": (),
    "head": (0.2, 0.5, 1.0),
    "bias": (0.1, 0.2, 0.4),
    "full": (0.01, 0.03, 0.1),
    LORA: (0.05, 0.1, 0.15, 0.2),
    f"{LORA}+head": (0.05, 0.1, 0.2),
    BEHIND: (0.1, 0.2, 0.4),
    f"{BEHIND}+head": (0.1, 0.2, 0.4),
}


def rows() -> list[Row]:
    """Each method in float32 and int8, what there is in int8 alone, and a better start."""
    start, full, kinds = "head start", "full", ("float32", "int8")
    without_scaling = Row(start, "full, without QAS", "int8", full, (0.1, 0.3, 1.0), optimizer="sgd:qas=false")
    return [
        *(row for kind in kinds for row in _rows(start, kind, "", "head", "bias", LORA, f"{LORA}+head")),
        *(row for kind in kinds for row in _rows(start, kind, BEHIND, f"{BEHIND}+head", full)),
        without_scaling,
        *_integer_rows(start),
        *(row for kind in kinds for row in _rows("tuned start", kind, "", BEHIND)),
    ]


def _rows(start: str, kind: str, *methods: str) -> list[Row]:
    return [Row(start, _name(method), kind, method, RATES[method]) for method in methods]


def _name(method: str) -> str:
    """What the table calls it."""
    lora = method.replace(BEHIND, "LoRA but in the first layer").replace(LORA, "LoRA")
    return lora.replace("+head", " and head") or "nothing"


def _integer_rows(start: str) -> list[Row]:
    """Learning in integers, gradients or what is added too, at the rates that were picked for float32 gradients."""
    lora = Row(start, "LoRA and head", "int8", f"{LORA}+head", RATES[f"{LORA}+head"])
    full = Row(start, "full", "int8", "full", RATES["full"])
    return [
        replace(lora, name="LoRA and head, gradients in int16", gradients="int16", like=lora),
        replace(lora, name="LoRA and head, gradients in int8", gradients="int8", like=lora),
        replace(lora, name="LoRA and head, all in int16", gradients="int16", additions="int16", like=lora),
        replace(lora, name="LoRA and head, all in int8", gradients="int8", additions="int8", like=lora),
        replace(full, name="full, gradients in int16", gradients="int16", like=full),
        replace(full, name="full, gradients in int8", gradients="int8", like=full),
    ]


def run(trial: Trial) -> float:
    x, y, speaker, take = _data()
    own = speaker == trial.group
    chosen = _chosen(y, take, own, trial.seed)
    test = own & (take >= FIRST_TEST_TAKE)
    network = _start(trial.row.start, trial.row.precision, trial.group)
    return learn(network, trial, Samples(x[chosen], y[chosen]), Samples(x[test], y[test]))


def _chosen(y: Array, take: Array, own: Array, seed: int) -> Array:
    """Indices of the recordings to learn from."""
    generator = np.random.default_rng(seed)
    found = []
    for digit in range(10):
        takes = np.arange(SHOTS) if seed == 0 else generator.permutation(FIRST_TEST_TAKE)[:SHOTS]
        found.append(np.flatnonzero(own & (y == digit) & np.isin(take, takes)))
    return np.concatenate(found)


@cache
def _start(start: str, kind: str, speaker: str) -> Graph:
    return _head_start(kind, speaker) if start == "head start" else _tuned_start(kind, speaker)


def _head_start(kind: str, speaker: str) -> Graph:
    """A head that knows the others, learned by our own C in four epochs."""
    network = api.load(SHARED / "models" / f"kws_dscnn_{kind}.tflite", classes=10)
    path = FOLDER / "starts" / f"digits_{kind}_{speaker}.npz"
    if not path.is_file():
        x, y, speakers, _ = _data()
        others = speakers != speaker
        rate, epochs, generator = 0.02, 4, np.random.default_rng(0)
        library = api.adapt(network, api.Recipe((Head(),), SGD(lr=rate)), x[:16])
        samples = api.check_samples(library, Samples(x[others], y[others]))
        with api.host(library) as runner:
            for epoch in range(epochs):
                runner.set_learning_rate(rate * (1 - epoch / epochs))
                for index in generator.permutation(len(samples)):
                    assert samples.y is not None
                    runner.train_step(samples.x[index], samples.y[index])
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **runner.parameters())
    with np.load(path) as archive:
        return with_values(network, dict(archive))


def _tuned_start(kind: str, speaker: str) -> Graph:
    """The whole network learned the others in training for int8; its weights before rounding are the float32 start."""
    network = _head_start("float32", speaker)
    path = FOLDER / "starts" / f"digits_tuned_{speaker}.npz"
    if not path.is_file():
        x, y, speakers, _ = _data()
        others = speakers != speaker
        tuned = precision.quantize_in_training(
            network, x[others], y[others], epochs=6, lr=5e-4, observer=MSE(), augment=_shifted
        )
        save_start(path, tuned)
    return read_start(path, network, kind)


def _shifted(x: Array, generator: np.random.Generator) -> Array:
    """Up to five frames earlier or later, somewhat louder or quieter."""
    moved = np.stack([np.roll(sample, generator.integers(-5, 6), axis=-3) for sample in x])
    moved[..., 0, :] += generator.normal(0, 5, (len(x), *[1] * (x.ndim - 2))).astype(np.float32)
    return moved
