"""`python -m tests.random_networks --cases 3000 --seed 1 --jobs 2`: thousands of random networks, C against PyTorch.

Prints how many agreed, how many were put aside and why, the smallest form of every failure, and the arena that lies
furthest above its lower bound. Leaves with 1 where a case failed.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import click

from tests.random_networks.case import Case
from tests.random_networks.check import Outcome
from tests.random_networks.many import SHARE, WAYS, Report, reports


@click.command(help=__doc__)
@click.option("--cases", default=1000, help="How many.")
@click.option("--seed", default=1, help="Number of the first case, in thousands of thousands.")
@click.option("--jobs", default=1, help="Processes.")
@click.option("--reduce/--whole", default=True, help="Whether a failing case is made small.")
def main(cases: int, seed: int, jobs: int, reduce: bool) -> None:
    start = time.monotonic()
    verdicts: Counter[str] = Counter()
    worst = Report(0, Case((), ()), Outcome("none"))
    above = []
    for count, report in enumerate(
        reports(range(seed * 10**6, seed * 10**6 + -(-cases // WAYS)), jobs, reduce), start=1
    ):
        verdicts[report.outcome.verdict] += 1
        worst = max(worst, report, key=lambda each: each.outcome.excess)
        above += [report.outcome.arena] if report.outcome.excess > 1.02 else []
        if report.problem:
            print(f"\nnumber {report.seed}: {report.problem}\n  {report.case!r}", flush=True)
        if count % (SHARE * WAYS) == 0:
            print(f"\r{count} of {cases}, {verdicts['failed']} failed", end="", file=sys.stderr, flush=True)
    networks, seconds = -(-cases // WAYS), time.monotonic() - start
    print(f"\n{verdicts.total()} cases ({networks} networks, {WAYS} ways of training each) in {seconds:.0f} s")
    for verdict, count in verdicts.most_common():
        print(f"{count:8} {verdict}")
    large = sum(arena >= 1024 for arena in above)
    print(f"{len(above)} arenas more than 2 % above their bound, {large} of them of 1 KiB or more; the worst:")
    print(f"  {worst.outcome.arena} bytes for {worst.outcome.bound}, number {worst.seed}\n  {worst.case!r}")
    sys.exit(1 if verdicts["failed"] else 0)


if __name__ == "__main__":
    main()
