"""Trials: what is learned how from what, kept in a file as each one ends, so that an interruption costs one trial."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from micrograft import api
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.passes.merge_adapters import with_values
from micrograft.precision import Quantized, quantize_as
from micrograft.report.progress import showing_progress
from micrograft.samples import Samples
from micrograft.spec import parse_clip, parse_methods, parse_optimizer

FOLDER = Path(__file__).parents[2] / "out" / "accuracy"
SHARED = Path(__file__).parents[3] / "shared"


@dataclass(frozen=True)
class Row:
    """A line of the table. start: which network it starts from. method, optimizer, clip: as on the command line.

    The learning rate falls to 0 along a line. shift: each time a sample is shown it is moved by up to so many places
    along its first axis, which costs a device nothing. An empty method is the start itself.
    """

    start: str
    name: str
    precision: str
    method: str = ""
    optimizer: str = "sgd:lr=0.1"
    epochs: int = 20
    clip: str = "tensor:1"
    shift: int = 0


@dataclass(frozen=True)
class Trial:
    """One row on one held-out group with one seed."""

    row: Row
    group: str
    seed: int

    @property
    def key(self) -> str:
        settings = [value for name, value in vars(self.row).items() if name != "shift" or value]
        return json.dumps([*settings, self.group, self.seed])

    @property
    def name(self) -> str:
        return f"{self.row.start}, {self.row.name}, {self.row.precision}, {self.group}, seed {self.seed}"


Run = Callable[[Trial], float]
"""The accuracy, a share of 1, after learning."""


class Store:
    """Finished trials, in a file of one line each."""

    def __init__(self, name: str) -> None:
        self._path = FOLDER / f"{name}.jsonl"
        self._found: dict[str, float] = {}
        if self._path.is_file():
            for line in self._path.read_text().splitlines():
                record = json.loads(line)
                self._found[record["key"]] = record["accuracy"]

    def get(self, trial: Trial) -> float | None:
        return self._found.get(trial.key)

    def put(self, trial: Trial, accuracy: float) -> None:
        self._found[trial.key] = accuracy
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as stream:
            stream.write(json.dumps({"key": trial.key, "accuracy": accuracy}) + "\n")


def run_all(store: Store, trials: Sequence[Trial], run: Run, minutes: float) -> None:
    """Run what the store lacks, until it has all or so many minutes are over; leave out what the library refuses."""
    left = [trial for trial in trials if store.get(trial) is None]
    end = time.monotonic() + 60 * minutes
    refused: set[Row] = set()
    with showing_progress("loading") as progress:
        for done, trial in enumerate(left):
            if time.monotonic() > end:
                return
            progress("trials", done, len(left), None)
            if trial.row in refused:
                continue
            try:
                store.put(trial, run(trial))
            except MicrograftError as error:
                refused.add(trial.row)
                print(f"left out: {trial.row.name} in {trial.row.precision}: {error}", flush=True)


def learn(network: Graph, row: Row, samples: Samples, test: Samples, seed: int) -> float:
    """Adapt, compile for this computer, learn sample by sample, and judge. The share of `test` that is right."""
    if not row.method:
        library = api.freeze(network)
    else:
        optimizer, clip = parse_optimizer(row.optimizer), parse_clip(row.clip)
        recipe = api.Recipe(parse_methods(row.method), optimizer, clip=clip, seed=seed)
        library = api.adapt(network, recipe, samples.x[:16])
    given = api.check_samples(library, samples)
    asked = api.check_samples(library, test)
    generator = np.random.default_rng(seed)
    steps = row.epochs * len(given) if row.method else 0
    with api.host(library) as runner:
        order = np.concatenate([generator.permutation(len(given)) for _ in range(row.epochs)])
        for step, index in enumerate(order[:steps]):
            assert given.y is not None
            runner.set_learning_rate(optimizer.lr * (1 - step / steps))
            sample = given.x[index]
            if row.shift:
                sample = np.roll(sample, generator.integers(-row.shift, row.shift + 1), axis=-3)
            if not np.isfinite(runner.train_step(sample, given.y[index])):
                return 0.0  # it exploded, and knows nothing any more
        answers = np.array([runner.predict(sample).argmax() for sample in asked.x])
    assert test.y is not None
    return float(np.mean(answers == test.y.ravel()))


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


def table(store: Store, trials: Iterable[Trial], groups: Sequence[str], seeds: int) -> str:
    """A line for each way of learning, float32 beside int8: the mean over groups and seeds, the standard deviation of
    the seeds' means, and the worst and best group."""
    names = dict.fromkeys((trial.row.start, trial.row.name) for trial in trials)
    rows = {(trial.row.start, trial.row.name, trial.row.precision): trial.row for trial in trials}
    lines = ["| start | learned | float32 | worst, best | int8 | worst, best |", "|---|---|---|---|---|---|"]
    for start, name in names:
        cells = []
        for precision in ("float32", "int8"):
            row = rows.get((start, name, precision))
            cells += ["", ""] if row is None else _cells(store, row, groups, seeds)
        if any(cells):
            lines.append(f"| {start} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(store: Store, row: Row, groups: Sequence[str], seeds: int) -> list[str]:
    used = range(seeds if row.method else 1)
    found = np.array([[_or_nan(store.get(Trial(row, group, seed))) for group in groups] for seed in used]) * 100
    whole = ~np.isnan(found).any(axis=1)
    if not whole.any():
        return ["", ""]
    means, by_group = found[whole].mean(axis=1), found[whole].mean(axis=0)
    spread = f" ± {means.std(ddof=1):.1f}" if len(means) > 1 else ""
    short = "" if whole.all() else f" ({whole.sum()} of {len(whole)} seeds)"
    return [f"{means.mean():.1f}{spread}{short}", f"{by_group.min():.0f}, {by_group.max():.0f}"]


def _or_nan(accuracy: float | None) -> float:
    return np.nan if accuracy is None else accuracy
