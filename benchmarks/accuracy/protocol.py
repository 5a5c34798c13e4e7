"""How a learning rate is found without those it is judged on, and the table of what came of it.

Each rate of a row is tried with seed 0 on every held-out group. A group (a person, a fold) then gets the rate that did
best on the *other* groups, on average, of equals the smallest; and with that one the other seeds are run. So what a
group is judged by never chooses what it is judged with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

import numpy as np

from benchmarks.accuracy.trials import Row, Store, Trial
from micrograft.ir.types import Array
from micrograft.report.progress import showing_progress


class Study(Protocol):
    """A module that says what is compared, on whom, and how one trial is run."""

    def rows(self) -> list[Row]: ...
    def groups(self) -> list[str]: ...
    def run(self, trial: Trial) -> float: ...


def run_all(store: Store, study: Study, seeds: int, minutes: float, only: str) -> None:
    """Run what the store lacks, until it has all or so many minutes are over."""
    end = time.monotonic() + 60 * minutes
    rows, groups = study.rows(), study.groups()
    with showing_progress("loading") as progress:
        for seed in range(seeds):
            trials = [trial for row in rows for trial in _trials(store, row, groups, seed)]
            left = [trial for trial in trials if store.accuracy(trial) is None and fnmatchcase(trial.name, f"*{only}*")]
            for done, trial in enumerate(left):
                if time.monotonic() > end:
                    return
                progress(f"trials with seed {seed}", done, len(left), None)
                store.run(trial, study.run)


def _trials(store: Store, row: Row, groups: Sequence[str], seed: int) -> Iterator[Trial]:
    """Those of a row with one seed: of all rates with the first; of the chosen ones, where known, with others."""
    if not row.method:
        yield from (Trial(row, 0.0, group, 0) for group in groups if seed == 0)
    elif seed == 0 and row.like is None:
        yield from (Trial(row, rate, group, 0) for rate in row.rates for group in groups)
    else:
        chosen = {group: chosen_rate(store, row, group, groups) for group in groups}
        yield from (Trial(row, rate, group, seed) for group, rate in chosen.items() if rate is not None)


def chosen_rate(store: Store, row: Row, group: str, groups: Sequence[str]) -> float | None:
    """The rate that did best on the other groups with seed 0; None where trials are missing."""
    row = row.like or row
    others = [other for other in groups if other != group]
    found = np.array([[_accuracy(store, Trial(row, rate, other, 0)) for other in others] for rate in row.rates])
    return None if np.isnan(found).any() else row.rates[int(found.mean(axis=1).argmax())]


def table(store: Store, study: Study, seeds: int) -> str:
    """A line for each way of learning, float32 beside int8: the mean over groups and seeds, the standard deviation of
    the seeds' means, the worst and best group, and the learning rates that were chosen."""
    rows = {(row.start, row.name, row.precision): row for row in study.rows()}
    names = dict.fromkeys((start, name) for start, name, _ in rows)
    head = "| start | learned | float32 | worst, best | rates | int8 | worst, best | rates |"
    lines = [head, "|" + "---|" * 8]
    for start, name in names:
        cells = []
        for precision in ("float32", "int8"):
            row = rows.get((start, name, precision))
            cells += [""] * 3 if row is None else _cells(store, row, study.groups(), seeds)
        if any(cells):
            lines.append(f"| {start} | {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, _time(store, study, seeds)])


def _cells(store: Store, row: Row, groups: Sequence[str], seeds: int) -> list[str]:
    rates = [(row.method and chosen_rate(store, row, group, groups)) or 0.0 for group in groups]
    found = 100 * np.array(
        [
            [_accuracy(store, Trial(row, rate, group, seed)) for group, rate in zip(groups, rates, strict=True)]
            for seed in range(seeds if row.method else 1)
        ]
    )
    whole = ~np.isnan(found).any(axis=1)
    if not whole.any():
        return [""] * 3
    used = ", ".join(f"{rate:g}" for rate in sorted(set(rates)) if rate)
    return [_spread(found[whole], len(found)), _ends(found[whole]), used]


def _spread(found: Array, wanted: int) -> str:
    """found: (seeds, groups). The mean, the standard deviation of the seeds' means, and what is missing."""
    means = found.mean(axis=1)
    spread = f" ± {means.std(ddof=1):.1f}" if len(means) > 1 else ""
    return f"{means.mean():.1f}{spread}" + (f" ({len(found)} of {wanted} seeds)" if len(found) < wanted else "")


def _ends(found: Array) -> str:
    by_group = found.mean(axis=0)
    return f"{by_group.min():.0f}, {by_group.max():.0f}"


def _time(store: Store, study: Study, seeds: int) -> str:
    used = {
        trial.key: store.seconds(trial)
        for row in study.rows()
        for seed in range(seeds)
        for trial in _trials(store, row, study.groups(), seed)
        if store.accuracy(trial) is not None
    }
    return f"{len(used):,} trials took {sum(used.values()) / 60:.0f} minutes on one core."


def _accuracy(store: Store, trial: Trial) -> float:
    found = store.accuracy(trial)
    return np.nan if found is None else found
