"""Trials: what is learned how from what, kept in a file as each one ends, so that an interruption costs one trial."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from micrograft import api
from micrograft.codegen.artifact import Library
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.merge_adapters import with_values
from micrograft.precision import Quantized, quantize_as
from micrograft.recipe import Additions, Gradients
from micrograft.samples import Samples
from micrograft.spec import parse_methods, parse_optimizer

FOLDER = Path(__file__).parents[2] / "out" / "accuracy"
SHARED = Path(__file__).parents[3] / "shared"


@dataclass(frozen=True)
class Row:
    """A way of learning. start: which network it starts from. method, optimizer: as on the command line.

    rates: learning rates to choose from, the smaller first; one falls to 0 along a line. shift: each time a sample is
    shown it is moved by up to so many places along its first axis, which costs a device nothing. An empty method is the
    start itself. like: a row whose learning rates this one takes, whatever they are.
    """

    start: str
    name: str
    precision: str
    method: str = ""
    rates: tuple[float, ...] = ()
    epochs: int = 20
    shift: int = 0
    optimizer: str = "sgd"
    gradients: Gradients = "float32"
    additions: Additions = "float32"
    like: Row | None = None


@dataclass(frozen=True)
class Trial:
    """One row at one learning rate on one held-out group (a person, a fold) with one seed."""

    row: Row
    rate: float
    group: str
    seed: int

    @property
    def key(self) -> str:
        """What the result follows from."""
        settings = {name: value for name, value in vars(self.row).items() if name not in ("name", "rates", "like")}
        return json.dumps({**settings, "rate": self.rate, "group": self.group, "seed": self.seed})

    @property
    def name(self) -> str:
        row = self.row
        return f"{row.start}, {row.name}, {row.precision}, {self.group}, seed {self.seed}, rate {self.rate}"


Run = Callable[[Trial], float]
"""The accuracy, a share of 1, after learning."""


class Store:
    """Finished trials, in a file of one line each."""

    def __init__(self, name: str) -> None:
        self._path = FOLDER / f"{name}.jsonl"
        self._found: dict[str, tuple[float, float]] = {}
        if self._path.is_file():
            for line in self._path.read_text().splitlines():
                record = json.loads(line)
                self._found[record["key"]] = record["accuracy"], record["seconds"]

    def accuracy(self, trial: Trial) -> float | None:
        return self._found.get(trial.key, (None, 0.0))[0]

    def seconds(self, trial: Trial) -> float:
        return self._found.get(trial.key, (None, 0.0))[1]

    def run(self, trial: Trial, run: Run) -> None:
        start = time.monotonic()
        accuracy = run(trial)
        found = self._found[trial.key] = accuracy, round(time.monotonic() - start, 2)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as stream:
            stream.write(json.dumps({"key": trial.key, "accuracy": found[0], "seconds": found[1]}) + "\n")


def learn(network: Graph, trial: Trial, samples: Samples, test: Samples) -> float:
    """Adapt, compile for this computer, learn sample by sample, and judge. The share of `test` that is right."""
    row = trial.row
    if not row.method:
        return _judge(api.freeze(network), test)
    recipe = api.Recipe(
        parse_methods(row.method),
        parse_optimizer(row.optimizer),
        seed=trial.seed,
        gradients=row.gradients,
        additions=row.additions,
    )
    library = api.adapt(network, recipe, samples.x[:16])
    given = api.check_samples(library, samples)
    assert given.y is not None
    generator = np.random.default_rng(trial.seed)
    order = np.concatenate([generator.permutation(len(given)) for _ in range(row.epochs)])
    with api.host(library) as runner:
        for step, index in enumerate(order):
            runner.set_learning_rate(trial.rate * (1 - step / len(order)))
            sample = given.x[index]
            if row.shift:
                sample = np.roll(sample, generator.integers(-row.shift, row.shift + 1), axis=-3)
            if not np.isfinite(runner.train_step(sample, given.y[index])):
                return 0.0  # it exploded, and knows nothing any more
        return _right(api.predict(runner, api.check_samples(library, test).x), test)


def _judge(library: Library, test: Samples) -> float:
    with api.host(library) as runner:
        return _right(api.predict(runner, api.check_samples(library, test).x), test)


def _right(answers: Array, test: Samples) -> float:
    assert test.y is not None
    return float(np.mean(answers.reshape(len(answers), -1).argmax(axis=1) == test.y.ravel()))


def save_start(path: Path, trained: Quantized) -> None:
    """Weights by the user's names, and the ranges of activations."""
    values = {f"value {param.source}": param.to_user(param.data) for param in trained.floats.params}
    ranges = {f"range {name}": np.array(ends) for name, ends in trained.ranges.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **values, **ranges)


def read_start(path: Path, network: Graph, kind: str) -> Graph:
    """The network as it was saved, in float32 or int8."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    floats = with_values(network, {name[6:]: data for name, data in arrays.items() if name.startswith("value ")})
    if kind == "float32":
        return floats
    ends = {name: data for name, data in arrays.items() if name.startswith("range ")}
    ranges = {name[6:]: (float(low), float(high)) for name, (low, high) in ends.items()}
    return quantize_as(floats, ranges)
