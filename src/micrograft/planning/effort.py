"""How hard the exact solvers try."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How long a solver may look for a better answer or a proof.

    seconds: of wall time, at most. work: in the solver's own deterministic unit, about a second each on an idle
    machine; where this ends the search, the answer is the same every time. workers: threads.
    """

    seconds: float = 50.0
    work: float = 20.0
    workers: int = 4


NONE = Effort(0.0, 0.0)
"""The heuristics alone."""


def solver_is_there() -> bool:
    """Whether ortools is installed."""
    return importlib.util.find_spec("ortools") is not None
