"""Calibration: the ranges of a float network's activations over samples, as the reference computes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.quantization.observers import BINS, Histogram, MinMax, Observer, Ranges
from micrograft.reference import Inputs, run

Progress = Callable[[int, int], None]
"""Called with (runs done, runs in all)."""


def calibrate(
    graph: Graph,
    samples: Sequence[Inputs],
    names: Collection[str],
    observer: Observer,
    progress: Progress | None = None,
) -> Ranges:
    """The range that `observer` keeps of each value in `names`.

    samples: inputs as `reference.run` takes them; the network runs once over each for the ends and once more for a
    histogram where the observer looks inside. Raises MicrograftError where there are none, or a value is not finite.
    """
    if not samples:
        raise MicrograftError("there are no samples to calibrate with", where=graph.name, fix="pass at least one")
    inside = not isinstance(observer, MinMax)
    total = len(samples) * (2 if inside else 1)
    ends: dict[str, tuple[float, float]] = {}
    for done, values in enumerate(_values(graph, samples), start=1):
        for name in names:
            low, high = float(values[name].min()), float(values[name].max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise MicrograftError(f"calibration sample {done - 1} makes {name} infinite", where=graph.name)
            before = ends.get(name, (low, high))
            ends[name] = min(low, before[0]), max(high, before[1])
        if progress is not None:
            progress(done, total)
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for done, values in enumerate(_values(graph, samples) if inside else (), start=len(samples) + 1):
        for name in names:
            counts[name] += np.histogram(values[name], BINS, _widened(*ends[name]))[0]
        if progress is not None:
            progress(done, total)
    return {name: observer.range(Histogram(*_widened(*ends[name]), counts[name])) for name in names}


def _values(graph: Graph, samples: Sequence[Inputs]) -> Iterator[dict[str, Array]]:
    return (run(graph, sample) for sample in samples)


def _widened(low: float, high: float) -> tuple[float, float]:
    """A constant has a histogram too."""
    return (low, high) if high > low else (low, low + 1e-6 + abs(low) * 1e-6)
