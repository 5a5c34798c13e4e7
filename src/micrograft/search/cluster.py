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
            listens = _knock(address)
        except (ValueError, OSError) as error:
            raise _unanswered(address) from error
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise (_refused(address) if listens else _unanswered(address)) from error
    return ray


def _knock(address: str) -> bool:
    """Whether somebody listens there, False where the address names no port: Ray itself would try for minutes.

    Raises OSError or ValueError where nobody does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), PATIENCE).close()
    return bool(colon)


def _unanswered(address: str) -> MicrograftError:
    fix = "start one with `ray start --head`, or leave --cluster out"
    return MicrograftError(f"no cluster answers at {address}", where="--cluster", fix=fix)


def _refused(address: str) -> MicrograftError:
    fix = "set RAY_AUTH_TOKEN where it asks for a token, use the same Ray there and here, or `auto` for this machine's"
    return MicrograftError(f"somebody listens at {address}, but Ray could not connect", where="--cluster", fix=fix)
