"""The same function on many jobs on a Ray cluster: `run_all`, for those who outgrow a machine.

Every machine of the cluster needs micrograft and Python of the same versions.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from micrograft.errors import MicrograftError
from micrograft.search.workers import Job, Result, Shared, Work, attempt

PATIENCE = 5.0
"""Seconds in which a cluster must answer."""

SPARE = 2
"""Jobs that wait on the cluster for each of its cores, so that none is idle."""


def run_on_cluster(
    work: Work[Shared, Job, Result], shared: Shared, jobs: Sequence[Job], address: str
) -> Iterator[tuple[Job, Result | MicrograftError]]:
    """Run `work` on each job, on the cluster at `address`, or on the one that is found where that is "auto".

    Results come as they are ready, each with its job. Raises MicrograftError where Ray or the cluster is absent.
    """
    if not jobs:
        return
    ray = _connected(address)
    remote = ray.remote(num_cpus=1)(attempt)
    there = ray.put(shared)
    waiting = list(jobs)
    running: dict[Any, Job] = {}
    most = SPARE * max(1, int(ray.cluster_resources().get("CPU", 1)))
    try:
        while waiting or running:
            while waiting and len(running) < most:
                job = waiting.pop(0)
                running[remote.remote(work, there, job)] = job
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                yield running.pop(reference), ray.get(reference)
    finally:
        for reference in running:
            ray.cancel(reference)


def _connected(address: str) -> Any:
    """Ray, connected to the cluster."""
    try:
        import ray
    except ImportError:
        fix = "install it with `pip install micrograft[cluster]`, or leave --cluster out"
        raise MicrograftError("Ray is not installed", where="--cluster", fix=fix) from None
    if not ray.is_initialized():
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            fix = "start one with `ray start --head`, or leave --cluster out"
            raise MicrograftError(f"no cluster answers at {address}", where="--cluster", fix=fix) from error
    return ray


def _knock(address: str) -> None:
    """Whether somebody listens there: Ray itself would try for minutes. Raises OSError or ValueError."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), PATIENCE).close()
