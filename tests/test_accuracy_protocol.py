"""The protocol of benchmarks.accuracy: how learning rates are picked, and what is run."""

from pathlib import Path

import pytest

from benchmarks.accuracy import trials
from benchmarks.accuracy.protocol import chosen_rate, run_all, table
from benchmarks.accuracy.trials import Row, Store, Trial

ROW = Row("start", "head", "int8", "head", (0.1, 0.2))
ACCURACIES = {"ann": (0.9, 0.1), "bob": (0.5, 0.6), "cyd": (0.5, 0.6)}
GROUPS = list(ACCURACIES)


class Made:
    """A study whose accuracies are written down."""

    def __init__(self) -> None:
        self.ran: list[Trial] = []

    def rows(self) -> list[Row]:
        return [ROW]

    def groups(self) -> list[str]:
        return GROUPS

    def run(self, trial: Trial) -> float:
        self.ran.append(trial)
        return ACCURACIES[trial.group][ROW.rates.index(trial.rate)]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    monkeypatch.setattr(trials, "FOLDER", tmp_path)
    return Store("made")


def test_rate_of_a_person_is_what_did_best_on_the_others(store: Store) -> None:
    """Ann does best at 0.1 by far, and gets what Bob and Cyd did best with."""
    study = Made()
    run_all(store, study, seeds=1, minutes=1, only="")
    assert [chosen_rate(store, ROW, group, GROUPS) for group in GROUPS] == [0.2, 0.1, 0.1]


def test_other_seeds_run_with_the_chosen_rates_alone(store: Store) -> None:
    """Six trials with seed 0, three with each other seed; the table is of the chosen ones."""
    study = Made()
    run_all(store, study, seeds=3, minutes=1, only="")
    later = {(trial.group, trial.rate) for trial in study.ran if trial.seed}
    assert len(study.ran) == 12 and later == {("ann", 0.2), ("bob", 0.1), ("cyd", 0.1)}
    assert "| 36.7 ± 0.0 | 10, 50 | 0.1, 0.2 |" in table(store, study, seeds=3)


def test_finished_trials_are_not_run_again(store: Store) -> None:
    """A study that was interrupted goes on from its file."""
    run_all(store, Made(), seeds=1, minutes=1, only="ann")
    again = Made()
    run_all(Store("made"), again, seeds=1, minutes=1, only="")
    assert {trial.group for trial in again.ran} == {"bob", "cyd"}
