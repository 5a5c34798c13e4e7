"""python -m benchmarks.accuracy digits|activity|signs [--seeds 3] [--minutes M] [--only LoRA] [--show]

Runs what is missing and prints the table. Finished trials lie below out/accuracy; an interrupted run goes on where it
was. --minutes: stop after so many. --only: trials that fit, written as `start, learned, precision, group, seed`
("head start, LoRA*int8"). --show: run nothing.
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase

from benchmarks.accuracy import activity, digits, signs
from benchmarks.accuracy.trials import Store, Trial, run_all, table

STUDIES = {"digits": digits, "activity": activity, "signs": signs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=24 * 60)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true")
    words = parser.parse_args()
    study, store = STUDIES[words.study], Store(words.study)
    trials = [
        Trial(row, group, seed)
        for seed in range(words.seeds)
        for row in study.rows()
        for group in study.groups()
        if seed == 0 or row.method
    ]
    wanted = [trial for trial in trials if fnmatchcase(trial.name, f"*{words.only}*")]
    if not words.show:
        run_all(store, wanted, study.run, words.minutes)
    print(table(store, trials, study.groups(), words.seeds))


if __name__ == "__main__":
    main()
