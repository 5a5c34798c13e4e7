"""Observers keep the range that their rule says, and every range has a code for 0."""

from __future__ import annotations

import numpy as np
import pytest

from micrograft.errors import MicrograftError
from micrograft.quantization.observers import BINS, MSE, OBSERVERS, Histogram, MinMax, Observer, Percentile, codes_of


def histogram(x: np.ndarray) -> Histogram:
    counts, _ = np.histogram(x, BINS)
    return Histogram(float(x.min()), float(x.max()), counts)


def heavy_tails() -> np.ndarray:
    return np.random.default_rng(1).standard_t(3, 100_000)


def squared_error(observer: Observer, x: np.ndarray) -> float:
    quant = codes_of(observer.range(histogram(x)))
    return float(np.mean((quant.real(quant.codes(x)) - x) ** 2))


@pytest.mark.parametrize("kind", OBSERVERS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("shift", [-30.0, 0.0, 30.0])
def test_zero_has_a_code(kind: type[Observer], shift: float) -> None:
    """Exactly, also where all values lie on one side of it."""
    quant = codes_of(kind().range(histogram(np.random.default_rng(0).uniform(-1, 1, 1000) + shift)))
    assert quant.real(quant.codes(np.zeros(1)))[0] == 0.0


def test_min_max_keeps_all() -> None:
    """No value is farther than half a step from what its code stands for."""
    x = heavy_tails()
    quant = codes_of(MinMax().range(histogram(x)))
    assert np.abs(quant.real(quant.codes(x)) - x).max() <= 0.501 * quant.scale


def test_a_percentile_cuts_as_many_as_it_says() -> None:
    """Half of the rest below, half above, within a bin."""
    x = heavy_tails()
    low, high = Percentile(percent=98.0).range(histogram(x))
    assert np.quantile(x, [0.01, 0.99]) == pytest.approx([low, high], abs=0.05)
    with pytest.raises(MicrograftError, match="percentile"):
        Percentile(percent=10.0).range(histogram(x))


def test_mse_has_the_least_error() -> None:
    """No percentile has less, a few outliers are cut off, and where nothing sticks out all is kept."""
    x = heavy_tails()
    others = [MinMax(), *(Percentile(percent) for percent in (99.0, 99.9, 99.99, 99.999))]
    assert squared_error(MSE(), x) < 1.01 * min(squared_error(other, x) for other in others)
    outlier = np.append(np.random.default_rng(0).standard_normal(1_000_000), 40.0)
    assert squared_error(MSE(), outlier) < 0.5 * squared_error(MinMax(), outlier)
    even = np.linspace(-3, 5, 10_000)
    assert MSE().range(histogram(even)) == pytest.approx((-3, 5), rel=0.03)
