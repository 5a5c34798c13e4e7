"""Between which real numbers an activation's int8 codes lie, decided from its values over a few samples.

An observer reads a histogram. Every range holds 0, which has a code of its own: padding and the zeros of a ReLU
are then exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.types import Array, Quantization
from micrograft.ops.fixed_point import HIGH, LOW

Range = tuple[float, float]
"""The least and the largest real number that codes stand for."""

Ranges = Mapping[str, Range]
"""Of activations, by the names of their values."""

BINS = 2048
_SHRINKS = np.linspace(0.2, 1.0, 81)
"""Shares of each end that are tried for the least mean squared error."""

_ROUNDS = 2
"""How often each end is tried again."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often a value lay in each of `BINS` equal stretches between `low` and `high`."""

    low: float
    high: float
    counts: Array

    @property
    def centers(self) -> Array:
        """The middle of each stretch; that of the one with 0 in it is 0."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        return np.where((edges[:-1] <= 0) & (edges[1:] >= 0), 0.0, (edges[:-1] + edges[1:]) / 2)


@dataclass(frozen=True)
class Observer(ABC):
    """Base of all observers."""

    name: ClassVar[str]

    @abstractmethod
    def range(self, histogram: Histogram) -> Range:
        """The range to keep."""


@dataclass(frozen=True)
class MinMax(Observer):
    """Keep everything that was seen."""

    name: ClassVar[str] = "minmax"

    def range(self, histogram: Histogram) -> Range:
        return with_zero(histogram.low, histogram.high)


@dataclass(frozen=True)
class Percentile(Observer):
    """Keep so many percent of the values; as many are cut off below as above."""

    name: ClassVar[str] = "percentile"
    percent: float = 99.99

    def range(self, histogram: Histogram) -> Range:
        if not 50.0 < self.percent <= 100.0:
            raise MicrograftError(f"a percentile of {self.percent} makes no range", fix="take one from 50 to 100")
        shares = np.cumsum(histogram.counts) / histogram.counts.sum()
        cut = (1.0 - self.percent / 100.0) / 2.0
        first, last = np.searchsorted(shares, [cut, 1.0 - cut], side="left")
        edges = np.linspace(histogram.low, histogram.high, len(shares) + 1)
        return with_zero(float(edges[first]), float(edges[min(int(last), len(shares) - 1) + 1]))


@dataclass(frozen=True)
class MSE(Observer):
    """Keep the range whose codes have the least mean squared error, cut off and rounded together."""

    name: ClassVar[str] = "mse"

    def range(self, histogram: Histogram) -> Range:
        low, high = best = with_zero(histogram.low, histogram.high)
        for _ in range(_ROUNDS):
            best = _least([(float(low * share), best[1]) for share in _SHRINKS], histogram)
            best = _least([(best[0], float(high * share)) for share in _SHRINKS], histogram)
        return best


OBSERVERS: tuple[type[Observer], ...] = (MinMax, Percentile, MSE)


def with_zero(low: float, high: float) -> Range:
    """The range, widened to hold 0, and to be one at all."""
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high - low > 1e-12 else (0.0, 1.0)


def codes_of(bounds: Range) -> Quantization:
    """The asymmetric int8 codes of a range: 0 has a code, the ends lie within half a step of the outermost.

    >>> codes_of((0.0, 255.0))
    Quantization(scales=(1.0,), zero_points=(-128,), axis=None)
    """
    low, high = with_zero(*bounds)
    scale = float(np.float32((high - low) / (HIGH - LOW)))
    return Quantization((scale,), (int(np.clip(round(LOW - low / scale), LOW, HIGH)),))


def _least(tried: list[Range], histogram: Histogram) -> Range:
    return min(reversed(tried), key=lambda bounds: _squared_error(histogram, bounds))


def _squared_error(histogram: Histogram, bounds: Range) -> float:
    quant, centers = codes_of(bounds), histogram.centers
    errors = quant.real(quant.codes(centers)).astype(np.float64) - centers
    return float(np.sum(histogram.counts * errors * errors))
