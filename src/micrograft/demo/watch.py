"""Real recordings of ten people doing seven physiotherapy exercises with a watch, cut into windows.

The data ship with the package `seglearn` (BSD; the study is arXiv:1802.01489). They are read as a plain NumPy file,
so neither its code nor pandas is needed. No instant is ever in both training and testing: for the base network
people are kept apart, for the new person time is, recording by recording.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micrograft.errors import MicrograftError

SAMPLE_RATE = 50  # samples per second
WINDOW = 150  # samples: 3 seconds; the slowest of the repetitions take 2.6
STRIDE = 75  # samples from one window's start to the next's: 1.5 seconds
LEARNING_TIME = 12 * SAMPLE_RATE  # samples: of each recording, what a new person's network learns from

EXERCISES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")
SCALE = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)  # channels are divided by these: 1 g, and 2 rad/s

DEMO_PERSON = 2
"""The person shipped as unseen: the one whom a base network trained on the other nine recognises worst
(`examples/watch/train_base.py --all` prints the table)."""


@dataclass(frozen=True)
class Recording:
    """One person doing one exercise with the watch on one arm.

    Attributes:
        index: the recording's place in the file; it identifies the recording.
        person: 1 to 10.
        exercise: index into `EXERCISES`.
        arm: the arm that wears the watch; 0 is left, 1 is right.
        signal: (length, 6) float32 at 50 Hz, the channels divided by `SCALE`: g, and units of 2 rad/s.
    """

    index: int
    person: int
    exercise: int
    arm: int
    signal: NDArray[np.float32]


@dataclass(frozen=True)
class Windows:
    """Windows of `WINDOW` samples, in the layout of the shipped network's input.

    Attributes:
        x: (count, 6, 150) float32, scaled as in `Recording.signal`.
        y: (count,) int64, the exercise.
        recording: (count,) int64, `Recording.index` of the source.
        start: (count,) int64, the first sample's position in its recording (50 per second).
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    recording: NDArray[np.int64]
    start: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


def load_recordings() -> tuple[Recording, ...]:
    """Read all 140 recordings: ten people × seven exercises × two arms, 19 to 52 seconds each.

    Raises:
        MicrograftError: the package `seglearn` is not installed, or its data are not the expected ones.

    >>> recordings = load_recordings()
    >>> len(recordings), recordings[0].signal.shape
    (140, (1333, 6))
    """
    path = _installed_data()
    content = np.load(path, allow_pickle=True).item()
    if (tuple(content["y_labels"]), tuple(content["X_labels"])) != (EXERCISES, CHANNELS):
        raise MicrograftError(
            "these are not the exercises and channels that the demo was made for",
            where=str(path),
            fix="install seglearn 1.2.5",
        )
    scale = np.array(SCALE, dtype=np.float32)
    columns = zip(content["subject"], content["y"], content["side"], content["X"], strict=True)
    return tuple(
        Recording(index, int(person), int(exercise), int(arm), signal.astype(np.float32) / scale)
        for index, (person, exercise, arm, signal) in enumerate(columns)
    )


def people(recordings: Iterable[Recording]) -> tuple[int, ...]:
    """The people in the recordings, in ascending order."""
    return tuple(sorted({recording.person for recording in recordings}))


def of_others(recordings: Iterable[Recording], person: int) -> tuple[Recording, ...]:
    """What a base network may learn from: every recording that is not this person's."""
    return tuple(recording for recording in recordings if recording.person != person)


def of_person(recordings: Iterable[Recording], person: int) -> tuple[Recording, ...]:
    """This person's recordings.

    Raises:
        MicrograftError: there is no such person.
    """
    recordings = tuple(recordings)
    found = tuple(recording for recording in recordings if recording.person == person)
    if not found:
        raise MicrograftError(
            f"there is no person {person} in the watch data", fix=f"choose among {people(recordings)}"
        )
    return found


def cut_windows(
    recordings: Iterable[Recording], first: int = 0, last: int | None = None, stride: int = STRIDE
) -> Windows:
    """Cut the stretch from sample `first` up to (not including) `last` of each recording into windows.

    A window lies wholly inside the stretch. The order is that of a person who does all exercises in turn: first
    the first window of every recording (each exercise with one arm, then each with the other), then the second
    of every recording, and so on, so that neighbours in the sequence show different exercises.

    Args:
        recordings: what to cut.
        first, last: in samples; `last` None means the recording's end.
        stride: in samples, from one window's start to the next's.

    >>> cut_windows(of_person(load_recordings(), 2), last=600).y[:9]
    array([0, 1, 2, 3, 4, 5, 6, 0, 1])
    """
    pieces = [
        (start, recording)
        for recording in recordings
        for start in range(first, _end(recording, last) - WINDOW + 1, stride)
    ]
    pieces.sort(key=lambda piece: (piece[0], piece[1].arm, piece[1].exercise, piece[1].index))
    signals = [recording.signal[start : start + WINDOW].T for start, recording in pieces]
    return Windows(
        x=np.array(signals, dtype=np.float32).reshape(-1, len(CHANNELS), WINDOW),
        y=np.array([recording.exercise for _, recording in pieces], dtype=np.int64),
        recording=np.array([recording.index for _, recording in pieces], dtype=np.int64),
        start=np.array([start for start, _ in pieces], dtype=np.int64),
    )


def split_person(recordings: Iterable[Recording], person: int) -> tuple[Windows, Windows]:
    """Split a new person's recordings by time: `(learn, test)`.

    Windows to learn from lie wholly in the first `LEARNING_TIME` samples (12 seconds) of each recording, windows to
    test on wholly after them, so no instant is in both. Each exercise was recorded once with each arm, in one
    sitting: the test says how well the network does later in the same exercise, not on another day.

    Raises:
        MicrograftError: there is no such person.

    >>> learn, test = split_person(load_recordings(), 2)
    >>> len(learn), len(test), learn.x.shape[1:]
    (98, 243, (6, 150))
    """
    own = of_person(recordings, person)
    return cut_windows(own, last=LEARNING_TIME), cut_windows(own, first=LEARNING_TIME)


def _installed_data() -> Path:
    """Where pip put the file. The package is located, not imported: importing it would need pandas."""
    package = importlib.util.find_spec("seglearn")
    if package is None or package.origin is None:
        raise MicrograftError(
            "the demo's recordings are in the package seglearn, which is not installed",
            fix="run: pip install 'micrograft[demo]'",
        )
    return Path(package.origin).parent / "data" / "watch_dataset.npy"


def _end(recording: Recording, last: int | None) -> int:
    length = len(recording.signal)
    return length if last is None else min(last, length)
