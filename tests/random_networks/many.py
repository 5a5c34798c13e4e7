"""Many random networks, checked by several processes."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.random_networks.case import Case, random_cases
from tests.random_networks.check import Outcome, Workbench, build_kernels, workbench
from tests.random_networks.reduce import reduced

WAYS = 4
"""In how many ways each network is trained: to import it takes longer than all of them."""

SHARE = 5
"""Networks that a process checks between two reports."""


@dataclass(frozen=True)
class Report:
    """What became of one case. problem: what went wrong, "" where nothing did; `case` is then its smallest form."""

    seed: int
    case: Case
    outcome: Outcome
    problem: str = ""


def check(bench: Workbench, seed: int, reduce: bool) -> list[Report]:
    """The network of a number, trained in several ways; only the first failure of each kind is made small."""
    found = []
    kinds: set[str] = set()
    for case, result in zip(cases := random_cases(seed, WAYS), bench.check_all(cases), strict=True):
        if not isinstance(result, Exception):
            found.append(Report(seed, case, result))
            continue
        kind = _kind(problem := _problem(result))
        if reduce and kind not in kinds:
            case = reduced(case, lambda smaller, kind=kind: _kind(attempt(bench, smaller)) == kind)
            problem = attempt(bench, case)
        kinds.add(kind)
        found.append(Report(seed, case, Outcome("failed"), problem))
    return found


def attempt(bench: Workbench, case: Case) -> str:
    """What goes wrong with a case, "" where nothing does."""
    try:
        bench.check(case)
    except Exception as error:  # any failure of any part is what we look for
        return _problem(error)
    return ""


def _problem(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _kind(problem: str) -> str:
    """What failures of one cause have in common: all but the numbers and names behind the first words."""
    return problem[:45]


def _share(arguments: tuple[range, bool, Path]) -> list[Report]:
    seeds, reduce, kernels = arguments
    with workbench(kernels) as bench:
        return [report for seed in seeds for report in check(bench, seed, reduce)]


def reports(seeds: range, jobs: int, reduce: bool) -> Iterator[Report]:
    """Those of each seed, in whatever order they get done."""
    with tempfile.TemporaryDirectory() as directory:
        kernels = build_kernels(Path(directory))
        shares = [(seeds[start : start + SHARE], reduce, kernels) for start in range(0, len(seeds), SHARE)]
        with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=20) as pool:
            for share in pool.imap_unordered(_share, shares):
                yield from share
