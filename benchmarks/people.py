"""Who teaches a network beforehand, whom a search learns, who judges it: people, or cameras, of the shared data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import nn

from benchmarks import cameras
from benchmarks.accuracy.activity import carried, untrained
from benchmarks.accuracy.trials import SHARED
from micrograft import api, get_peft_model
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.head import Head
from micrograft.samples import Samples
from micrograft.search.holdout import Episode, some_shots


@dataclass(frozen=True)
class Study:
    """network, searched, judging: of a part. episode: of a person and fold, as the search splits what it has.

    drawn: of a person and a seed, for judging. ram: bytes. judged: samples that judge in a trial of the search.
    again: rounds of the race. rate: the learning rate that is tried first.
    """

    network: Callable[[int], Graph]
    searched: Callable[[int], list[str]]
    judging: Callable[[int], list[str]]
    episode: Callable[[str, int], Episode]
    drawn: Callable[[str, int], Episode]
    board: str
    ram: int
    epochs: int
    judged: int
    again: int
    rate: float


SHOTS = 5
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


@cache
def _recordings() -> dict[str, Array]:
    with np.load(SHARED / "data" / "spoken_digits_mfcc.npz") as archive:
        return {name: archive[name] for name in archive.files}


def _speakers(part: int, places: slice) -> list[str]:
    """Place 0 teaches beforehand, 1 to 3 are searched, 4 and 5 judge."""
    return list(np.roll(SPEAKERS, -2 * part)[places])


def _keywords(part: int) -> Graph:
    """The keyword network with a head of ten classes that one speaker has taught."""
    data = _recordings()
    network = api.load(SHARED / "models" / "kws_dscnn_float32.tflite", classes=10)
    x, y = (data[name][np.isin(data["speaker"], _speakers(part, slice(1)))] for name in ("x", "y"))
    model = get_peft_model(network, Head(), optimizer=SGD(lr=0.02))
    model.train(x, y, epochs=4, shuffle=0, x_test=x[:1], y_test=y[:1])
    return model.merge_and_unload()


def _takes(chosen: Array) -> Samples:
    return Samples(_recordings()["x"][chosen], _recordings()["y"][chosen])


def _digits(speaker: str, fold: int) -> Episode:
    """Each fold learns from five other takes of each digit and is judged by the rest."""
    data = _recordings()
    own = np.flatnonzero(data["speaker"] == speaker)
    return some_shots(_takes(own[np.lexsort((data["take"][own], data["y"][own]))]), SHOTS, fold)


def _drawn_digits(speaker: str, seed: int) -> Episode:
    """Five of the takes 0 to 9 of each digit are learned from, takes 10 to 49 judge."""
    data, generator = _recordings(), np.random.default_rng(seed)
    own, take = data["speaker"] == speaker, data["take"]
    learned = np.zeros(len(take), bool)
    for digit in range(10):
        learned |= own & (data["y"] == digit) & np.isin(take, generator.permutation(10)[:SHOTS])
    return Episode(_takes(learned), _takes(own & (take >= 10)))


def _watchers(part: int, places: slice) -> list[str]:
    """Places 0 to 7 are searched, 8 to 15 judge, the phones of the others teach beforehand."""
    return list(np.roll(np.unique(carried()["subject"]), -8 * part)[places])


def _phones(part: int) -> Graph:
    """A network that knows the phones of everybody else."""
    data = carried()
    chosen = np.isin(data["subject"], _watchers(part, slice(16, None))) & (data["device"] == "phone")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = untrained()
    x, y = torch.from_numpy(data["x"][chosen]), torch.from_numpy(data["y"][chosen])
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3, weight_decay=1e-2)
    for _ in range(15):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
            optimizer.step()
    return api.load(module.eval(), example=[np.zeros((1, 6, 64), np.float32)])


def _windows(person: str) -> list[Array]:
    """Of each activity on the watch, in the order of time."""
    data = carried()
    own = (data["subject"] == person) & (data["device"] == "watch")
    return [np.flatnonzero(own & (data["y"] == label)) for label in np.unique(data["y"][own])]


def _stretches(person: str, learned: Callable[[int], slice], judged: Callable[[int], slice]) -> Episode:
    data, windows = carried(), _windows(person)
    given, asked = (np.concatenate([each[part(len(each))] for each in windows]) for part in (learned, judged))
    return Episode(*(Samples(data["x"][places], data["y"][places]) for places in (given, asked)))


def _activity(person: str, fold: int) -> Episode:
    """The first or the last part of each activity is learned from, the other end judges."""
    early, late = (lambda n: slice(0, int(0.4 * n))), (lambda n: slice(n - int(0.4 * n), n))
    return _stretches(person, *((early, late) if fold % 2 == 0 else (late, early)))


def _drawn_activity(person: str, seed: int) -> Episode:
    """The first 40 % of each activity is learned from, the last half judges; draws differ in order alone."""
    return _stretches(person, lambda n: slice(0, int(0.4 * n)), lambda n: slice(n - int(0.5 * n), n))


STUDIES = {
    "digits": Study(
        _keywords,
        lambda part: _speakers(part, slice(1, 4)),
        lambda part: _speakers(part, slice(4, 6)),
        _digits,
        _drawn_digits,
        *("stm32f746", 160_000, 3, 80, 2, 0.2),
    ),
    "activity": Study(
        _phones,
        lambda part: _watchers(part, slice(8)),
        lambda part: _watchers(part, slice(8, 16)),
        _activity,
        _drawn_activity,
        *("nrf52840", 65_536, 3, 80, 3, 0.2),
    ),
    "signs": Study(
        cameras.network,
        cameras.searched,
        cameras.judging,
        cameras.episode,
        cameras.drawn,
        *("stm32f446", 98_304, 2, 80, 3, 0.05),
    ),
}
