"""What range and mean square each value of a graph has over a few samples, as the reference computes them.

A scale for the step, a variance for an initial draw and the scales of quantization are taken from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.reference import Inputs, run


@dataclass(frozen=True)
class ValueStatistics:
    """Of all elements of one value, over all samples; each sample weighs the same.

    >>> of_array(np.array([1.0, -3.0])).mean_square
    5.0
    """

    minimum: float
    maximum: float
    mean_square: float


Statistics = Mapping[str, ValueStatistics]


def of_array(array: Array) -> ValueStatistics:
    """The statistics of one array, summed in float64."""
    wide = array.astype(np.float64)
    return ValueStatistics(float(wide.min()), float(wide.max()), float(np.mean(wide * wide)))


def measure(graph: Graph, samples: Iterable[Inputs]) -> Statistics:
    """Name of every float value, and of int8 codes with a meaning, parameters included, to its statistics.

    samples: inputs as `reference.run` takes them. Raises MicrograftError where there are none.
    """
    found: dict[str, list[ValueStatistics]] = {}
    meanings = {value.name: value.type.quant for value in graph.values}
    for sample in samples:
        for name, array in run(graph, sample).items():
            quant = meanings.get(name)
            if quant is not None and array.dtype.kind == "i":
                array = quant.real(array)
            if array.dtype.kind == "f" and array.size:
                found.setdefault(name, []).append(of_array(array))
    if not found:
        raise MicrograftError("there are no samples to measure", where=graph.name, fix="pass at least one")
    return {name: _over_samples(each) for name, each in found.items()}


def _over_samples(each: list[ValueStatistics]) -> ValueStatistics:
    return ValueStatistics(
        min(one.minimum for one in each),
        max(one.maximum for one in each),
        sum(one.mean_square for one in each) / len(each),
    )
