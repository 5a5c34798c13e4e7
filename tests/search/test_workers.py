"""Work on several processes ends when whoever started it ends, wants no more, or is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from micrograft.search.workers import run_all

PATIENCE = 30.0
"""Seconds in which processes must be gone; they sleep for longer."""

STARTER = """
import pathlib, sys
from micrograft.search.workers import run_all
from tests.search.test_workers import sleeps
if __name__ == "__main__":
    list(run_all(sleeps, pathlib.Path(sys.argv[1]), [1, 2], 2))
"""

SOLVER = """
import signal
from tests.search.test_select import drawn
from micrograft.search.select import Budget, select
items, forward = drawn(0, 6)
select(items, Budget(3000), forward)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted as ever")
"""


def sleeps(folder: Path, seconds: int) -> int:
    """Say which process this is, and take long; but for 0, which is done at once."""
    (folder / f"{os.getpid()}").touch()
    time.sleep(100 * seconds)
    return seconds


def are_gone(folder: Path, count: int) -> bool:
    """Whether so many processes came and none of them is there any more."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        names = [int(path.name) for path in folder.iterdir()]
        if len(names) >= count and not any(Path(f"/proc/{name}").exists() for name in names):
            return True
        time.sleep(0.1)
    return False


def test_who_wants_no_more_results_does_not_wait_for_them(tmp_path: Path) -> None:
    """What was finished came before."""
    results = run_all(sleeps, tmp_path, [0, 1, 2], 2)
    assert next(results) == (0, 0)
    start = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < PATIENCE and are_gone(tmp_path, 1)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="it looks for processes in /proc")
def test_a_killed_starter_leaves_no_processes_behind(tmp_path: Path) -> None:
    """However it was killed."""
    script = tmp_path / "starter.py"
    script.write_text(STARTER)
    (tmp_path / "pids").mkdir()
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "src"), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "pids")], env={**os.environ, "PYTHONPATH": paths}
    ) as starter:
        end = time.monotonic() + 2 * PATIENCE
        while len(list((tmp_path / "pids").iterdir())) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        starter.send_signal(signal.SIGKILL)
    assert are_gone(tmp_path / "pids", 2)


def test_the_solver_leaves_interruptions_to_python() -> None:
    """After a selection an interruption is an exception as before, so that what was measured is kept."""
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "src"), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", SOLVER], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert run.stdout == "interrupted as ever\n", run.stderr
