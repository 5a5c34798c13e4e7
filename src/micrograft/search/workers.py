"""The same function on many jobs, on all cores: results come as they are ready, each with its job.

What every job shares is sent to each process once. A job that fails with a MicrograftError gives that error as its
result; any other error ends the work.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import Connection
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
    there, here = context.Pipe(duplex=False)
    with here, ProcessPoolExecutor(count, context, initializer=_receive, initargs=(there, work, shared)) as pool:
        try:
            running = {pool.submit(_do, job): job for job in jobs}
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            here.close()  # which ends them, whatever they are at
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def attempt(work: Work[Shared, Job, Result], shared: Shared, job: Job) -> Result | MicrograftError:
    """The result, or the sentence that says why there is none."""
    try:
        return work(shared, job)
    except MicrograftError as error:
        return error


_received: list[Any] = []
"""In a process of the pool: the function and what its jobs share."""


def _receive(alive: Connection, work: Any, shared: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started the work ends it, and keeps what is finished
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    _received[:] = [work, shared]


def _end_with(alive: Connection) -> None:
    """End this process where the one that started it is gone or wants no more: the pipe's other end is then closed."""
    with contextlib.suppress(EOFError, OSError):
        alive.recv()
    os._exit(1)


def _do(job: Any) -> Any:
    work, shared = _received
    return attempt(work, shared, job)
