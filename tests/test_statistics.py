"""Ranges and moments are those of the values themselves."""

from __future__ import annotations

import numpy as np
import pytest

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node, Port, param_of
from micrograft.ir.types import DType, TensorType, Value
from micrograft.statistics import measure

X = Value("x", TensorType((1, 4)))
Y, MASK = Value("y", TensorType((1, 4))), Value("mask", TensorType((1, 4), DType.BIT))
Z = Value("z", TensorType((1, 2)))
WEIGHT = param_of("weight", np.array([[1, 0, 0, 0], [0, -2, 0, 0]], np.float32))
GRAPH = Graph(
    "small",
    (Port(X, (0, 1)),),
    (Port(Z, (0, 1)),),
    (WEIGHT,),
    (Node("relu", (X,), (Y, MASK)), Node("linear", (Y, WEIGHT.value), (Z,))),
)
SAMPLES = [np.array([[1, -2, 3, -4]], np.float32), np.array([[-1, 2, -3, 5]], np.float32)]


def test_statistics_are_taken_over_all_samples() -> None:
    """Minimum, maximum and mean square run over every element of every sample."""
    found = measure(GRAPH, [[x] for x in SAMPLES])
    everything = np.concatenate(SAMPLES)
    assert found["x"].minimum == -4
    assert found["x"].maximum == 5
    assert found["x"].mean_square == pytest.approx(np.mean(everything**2))
    assert found["y"].minimum == 0
    assert found["y"].mean_square == pytest.approx(np.mean(np.maximum(everything, 0) ** 2))
    assert (found["z"].minimum, found["z"].maximum) == (-4, 1)


def test_every_float_value_is_measured_and_nothing_else() -> None:
    """Inputs, parameters and results are there; a mask of bits is not."""
    assert set(measure(GRAPH, [{"x": SAMPLES[0]}])) == {"x", "weight", "y", "z"}


def test_no_samples_are_refused() -> None:
    """Statistics of nothing are refused in a sentence."""
    with pytest.raises(MicrograftError, match="small: there are no samples to measure; pass at least one"):
        measure(GRAPH, [])
