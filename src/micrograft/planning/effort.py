"""How hard the exact solvers try."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How long a solver may look for a better answer or a proof.

    seconds: of wall time, at most. work: at most, in the solver's own deterministic unit. workers: threads, each of
    which searches in another way; eight prove most. With one, ended by `work`, the answer is the same every time;
    with several, two runs may give different answers of equal worth, or other ones where time ran out.
    """

    seconds: float = 50.0
    work: float = float("inf")
    workers: int = 8


NONE = Effort(0.0, 0.0)
"""The heuristics alone."""


def solver_is_there() -> bool:
    """Whether ortools is installed."""
    return importlib.util.find_spec("ortools") is not None
