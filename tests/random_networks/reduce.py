"""Makes a failing case small: it leaves out layers and settings for as long as the case still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.random_networks.case import Call, Case

PLAIN = Case((), ())
"""The simplest settings."""


def reduced(case: Case, fails: Callable[[Case], bool], tries: int = 200) -> Case:
    """The smallest case that `fails`, found by leaving out one thing at a time, in `tries` tries at most."""
    while True:
        for smaller in _smaller(case):
            tries -= 1
            if tries < 0:
                return case
            if fails(smaller):
                case = smaller
                break
        else:
            return case


def _smaller(case: Case) -> Iterator[Case]:
    """The case without one of its layers, or with one of its settings as plain as can be."""
    for index in reversed(range(len(case.calls))):
        for position in case.calls[index].inputs:
            yield replace(case, calls=_without(case.calls, index, position))
    for setting in ("accumulate", "clip", "optimizer", "calibrated", "exporter", "methods", "loss", "seed"):
        plain = getattr(PLAIN, setting)
        if getattr(case, setting) != plain:
            yield replace(case, **{setting: plain})
    parts = case.methods.split("+")
    for index in range(len(parts) if len(parts) > 1 else 0):
        yield replace(case, methods="+".join(parts[:index] + parts[index + 1 :]))


def _without(calls: tuple[Call, ...], index: int, position: int) -> tuple[Call, ...]:
    """The calls without one of them, whose readers read `position` instead. The first call that ran its layer again
    has the layer for its own then."""

    def moved(place: int) -> int:
        place = position if place == index + 1 else place
        return place - 1 if place > index + 1 else place

    heirs: dict[str, int] = {}
    kept = []
    for number, call in enumerate(calls):
        if number == index:
            continue
        now = number - 1 if number > index else number
        changes = {}
        for role in ("again", "tied"):
            other = getattr(call, role)
            if other is not None and other == index:
                changes[role] = heirs.get(role)
                heirs.setdefault(role, now)
            elif other is not None:
                changes[role] = other - 1 if other > index else other
        kept.append(replace(call, inputs=tuple(map(moved, call.inputs)), **changes))
    return tuple(kept)
