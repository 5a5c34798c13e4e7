"""What is learned from and what is judged by, where the data are not split already.

Neighbouring samples of a recording are alike, so nothing is drawn at random: of each class, in the order given, one
stretch is held out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.types import Array
from micrograft.samples import Samples

FOLDS = 4


@dataclass(frozen=True, eq=False)
class Episode:
    """One task: what is learned from, and what is judged by."""

    learn: Samples
    judge: Samples


def hold_out(samples: Samples, fold: int = 0, folds: int = FOLDS) -> Episode:
    """One of `folds` equal stretches of each class is judged by, counted from the last; the rest is learned from.

    Where the targets are not classes there is one stretch of all samples. Raises MicrograftError where either part
    would be empty.
    """
    judged = np.zeros(len(samples), bool)
    for members in _groups(samples):
        stretch = np.arange(len(members)) * folds // len(members)
        judged[members] = stretch == folds - 1 - fold
    return _episode(samples, judged)


def some_shots(samples: Samples, shots: int, fold: int = 0) -> Episode:
    """A stretch of `shots` samples of each class is learned from, the others judged by. Raises MicrograftError.

    fold: which stretch, 0 for the first one. Of a class too small for it an earlier stretch is taken.
    """
    judged = np.ones(len(samples), bool)
    groups = list(_groups(samples))
    if max(map(len, groups)) <= shots:
        fix = "learn from fewer with --shots, or give more samples"
        problem = f"of no class there are more than {shots} samples, so none would be left to judge by"
        raise MicrograftError(problem, where="data", fix=fix)
    for members in groups:
        stretches = max(1, len(members) // shots - 1)
        first = fold % stretches * shots
        judged[members[first : first + shots]] = False
    return _episode(samples, judged)


def episodes_of(samples: Samples, tasks: Array | None, shots: int | None, fold: int = 0) -> tuple[Episode, ...]:
    """One episode for each task, in the order in which they come.

    tasks: of each sample, its task; without them each quarter of each class is held out in turn. shots: how many of
    each class are learned from; None for three quarters. fold: each splits the tasks otherwise. Raises MicrograftError
    where an episode has too few samples.
    """
    if tasks is not None:
        assert samples.y is not None
        places = [np.flatnonzero(tasks == task) for task in dict.fromkeys(tasks.tolist())]
        parts = [Samples(samples.x[place], samples.y[place]) for place in places]
    elif shots is None:
        return tuple(hold_out(samples, fold) for fold in range(FOLDS))
    else:
        parts = [samples]
    split = [hold_out(each, fold % FOLDS) if shots is None else some_shots(each, shots, fold) for each in parts]
    return tuple(split)


def spread(samples: Samples, most: int) -> Samples:
    """At most so many of the samples, spread evenly over them."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int))
    assert samples.y is not None
    return Samples(samples.x[chosen], samples.y[chosen])


def _groups(samples: Samples) -> Iterator[Array]:
    """Positions of the samples of each class, in the order given."""
    y = samples.y
    assert y is not None, "there is nothing to judge without targets"
    labels = y.reshape(len(samples), -1)
    if not np.issubdtype(y.dtype, np.integer) or labels.shape[1] != 1:
        yield np.arange(len(samples))
        return
    for label in np.unique(labels):
        yield np.flatnonzero(labels[:, 0] == label)


def _episode(samples: Samples, judged: Array) -> Episode:
    if judged.all() or not judged.any():
        fix = "give at least four samples of each class"
        raise MicrograftError(f"{len(samples)} samples are too few to hold some out", where="data", fix=fix)
    assert samples.y is not None
    learn, judge = np.flatnonzero(~judged), np.flatnonzero(judged)
    return Episode(Samples(samples.x[learn], samples.y[learn]), Samples(samples.x[judge], samples.y[judge]))
