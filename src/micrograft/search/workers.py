"""The same function on many jobs, on all cores: results come as they are ready, each with its job.

What every job shares is sent to each process once. A job that fails with a MicrograftError gives that error as its
result; any other error ends the work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

from micrograft.errors import MicrograftError

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")

Work = Callable[[Shared, Job], Result]
"""A function of a module, so that other processes find it."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    work: Work[Shared, Job, Result], shared: Shared, jobs: Sequence[Job], processes: int
) -> Iterator[tuple[Job, Result | MicrograftError]]:
    """Run `work` on each job, `processes` at a time, in this process where that is 1 or there is one job."""
    if processes <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, attempt(work, shared, job)
        return
    context = multiprocessing.get_context("spawn")
    count = min(processes, len(jobs))
    with ProcessPoolExecutor(count, mp_context=context, initializer=_receive, initargs=(work, shared)) as pool:
        running = {pool.submit(_do, job): job for job in jobs}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def attempt(work: Work[Shared, Job, Result], shared: Shared, job: Job) -> Result | MicrograftError:
    """The result, or the sentence that says why there is none."""
    try:
        return work(shared, job)
    except MicrograftError as error:
        return error


_received: list[Any] = []
"""In a process of the pool: the function and what its jobs share."""


def _receive(work: Any, shared: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started the work ends it, and keeps what is finished
    _received[:] = [work, shared]


def _do(job: Any) -> Any:
    work, shared = _received
    return attempt(work, shared, job)
