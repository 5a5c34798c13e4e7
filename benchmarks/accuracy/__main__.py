"""python -m benchmarks.accuracy digits|activity|signs [--seeds 3] [--minutes M] [--only LoRA] [--show]

Runs what is missing and prints the table. Finished trials lie below out/accuracy; an interrupted run goes on where it
was. --minutes: stop after so many. --only: trials that fit, written as `start, learned, precision, group, seed, rate`
("head start, LoRA*int8"). --show: run nothing.
"""

from __future__ import annotations

import argparse

from benchmarks.accuracy import activity, digits, signs
from benchmarks.accuracy.protocol import Study, run_all, table
from benchmarks.accuracy.trials import Store

STUDIES: dict[str, Study] = {"digits": digits, "activity": activity, "signs": signs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=24 * 60)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true")
    words = parser.parse_args()
    study, store = STUDIES[words.study], Store(words.study)
    if not words.show:
        run_all(store, study, words.seeds, words.minutes, words.only)
    print(table(store, study, words.seeds))


if __name__ == "__main__":
    main()
