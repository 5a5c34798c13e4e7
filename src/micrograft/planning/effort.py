"""How hard the exact solvers try."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ortools.sat.python import cp_model


@dataclass(frozen=True)
class Effort:
    """How long a solver may look for a better answer or a proof.

    work: at most, in the solver's own deterministic unit (one to ten seconds of one core). workers: threads, each of
    which searches in another way; eight prove most. With one, ended by `work`, the answer is the same every time, on
    every machine: that is the default, since the same input shall give the same C. seconds: of wall time, at most.
    With several workers, or where the time ends first, two runs may differ.
    """

    seconds: float = float("inf")
    work: float = 2.0
    workers: int = 1


THOROUGH = Effort(seconds=50.0, work=float("inf"), workers=8)
"""The best that there is time for, which may be another answer each time."""

NONE = Effort(0.0, 0.0)
"""The heuristics alone."""


def solver_is_there() -> bool:
    """Whether ortools is installed."""
    return importlib.util.find_spec("ortools") is not None


def new_solver(effort: Effort) -> cp_model.CpSolver:
    """A solver that tries so hard. Raises ImportError where ortools is not installed."""
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.catch_sigint_signal = False  # it would leave the process without Python's handler
    solver.parameters.num_workers = effort.workers
    solver.parameters.max_deterministic_time = effort.work
    solver.parameters.max_time_in_seconds = effort.seconds
    solver.parameters.random_seed = 0
    return solver
