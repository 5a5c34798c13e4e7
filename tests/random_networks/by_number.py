"""The command that checks random networks one by one, each told by its number."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable

import click


def command(check: Callable[[int], str], words: str | None) -> click.Command:
    """Prints how often `check` says what of a network, and each failure with its number; leaves with 1 after one."""

    @click.command(help=words)
    @click.option("--cases", default=100, help="How many.")
    @click.option("--seed", default=1, help="Number of the first case, in thousands of thousands.")
    def main(cases: int, seed: int) -> None:
        warnings.simplefilter("ignore")
        verdicts: Counter[str] = Counter()
        for number in range(seed * 10**6, seed * 10**6 + cases):
            try:
                verdict = check(number)
            except Exception as error:  # any failure of any part is what we look for
                verdict = "failed"
                print(f"number {number}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            verdicts[verdict] += 1
        for verdict, count in verdicts.most_common():
            print(f"{count:8} {verdict}")
        sys.exit(1 if verdicts["failed"] else 0)

    return main
