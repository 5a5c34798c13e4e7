"""Graph in, plan out: schedule, lifetimes, placement."""

from __future__ import annotations

from collections.abc import Iterable

from micrograft.ir.graph import Graph
from micrograft.ir.types import Value
from micrograft.planning.lifetimes import lifetimes
from micrograft.planning.place import place
from micrograft.planning.plan import Plan
from micrograft.planning.schedule import schedule


def make_plan(graph: Graph, results: Iterable[Value]) -> Plan:
    """Order the nodes of `graph`, share and place their buffers.

    results: values that are read after the last node. The plan's arena is exact, in bytes.
    """
    results = tuple(results)
    order = schedule(graph, results)
    shared = lifetimes(order, results)
    buffers = place(shared.buffers)
    arena = max((buffer.end for buffer in buffers), default=0)
    return Plan(order, shared.aliases, buffers, arena, shared.lower_bound)
