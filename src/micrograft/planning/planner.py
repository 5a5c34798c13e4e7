"""Graph in, plan out: schedule, what is computed again, lifetimes, placement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Value
from micrograft.planning.effort import NONE, Effort
from micrograft.planning.lifetimes import lifetimes, live_bytes
from micrograft.planning.place import place
from micrograft.planning.plan import Plan, Recomputation
from micrograft.planning.rematerialize import Rematerialized, Unreachable, rematerialize
from micrograft.planning.schedule import schedule
from micrograft.planning.stream import stream_rows

_ATTEMPTS = 4
"""How often a tighter budget is tried where the placement does not reach its lower bound."""

Orders = tuple[tuple[Node, ...], ...]
"""Schedules of one graph; the best is chosen among them."""


def make_plan(
    graph: Graph,
    results: Iterable[Value],
    budget: int | None = None,
    effort: Effort | None = None,
    orders: Orders | None = None,
) -> Plan:
    """Order the nodes of `graph`, share and place their buffers.

    results: values that are read after the last node. budget: bytes that the arena may have; forward values are
    computed again where that is needed, as few as possible. effort: of the solver that chooses them. orders: from
    `peak`, if that was asked before. The plan's arena is exact, in bytes. Raises MicrograftError where the budget
    cannot be met.
    """
    results = tuple(results)
    plans = (_placed(order, results, graph.sample) for order in orders or _orders(graph, results))
    plan = min(plans, key=lambda each: each.arena)
    return plan if budget is None else fit_plan(plan, results, budget, effort)


@dataclass(frozen=True)
class Peak:
    """Where most bytes are alive. alive: names of the values there. later: of those that are computed behind it."""

    size: int
    alive: frozenset[str]
    later: frozenset[str]


def peak(graph: Graph, results: Sequence[Value]) -> tuple[Peak, Orders]:
    """The peak of `graph` in its best order, and the orders that were looked at."""
    orders = tuple(_orders(graph, results))
    return min((_peak(order, results, graph.sample) for order in orders), key=lambda each: each.size), orders


def _peak(order: Sequence[Node], results: Sequence[Value], sample: Value | None) -> Peak:
    buffers = lifetimes(order, results, sample).buffers
    alive = live_bytes(buffers)
    position = max(range(len(alive)), key=alive.__getitem__, default=0)
    names = (name for each in buffers if each.first <= position <= each.last for name in each.values)
    later = (value.name for node in order[position + 1 :] for value in node.outputs)
    return Peak(max(alive, default=0), frozenset(names), frozenset(later))


def _orders(graph: Graph, results: Sequence[Value]) -> Iterator[tuple[Node, ...]]:
    """The nodes as they are, and if it differs, with those joined that are better computed row by row."""
    order = schedule(graph, results)
    yield order
    streamed = stream_rows(order, lifetimes(order, results, graph.sample), results)
    if streamed != order:
        yield streamed


def fit_plan(plan: Plan, results: Sequence[Value], budget: int, effort: Effort | None = None) -> Plan:
    """The same step in an arena of at most `budget` bytes. Raises MicrograftError where that cannot be.

    Where the buffers of the best answers do not lie within the budget, those of the heuristics' often do: a solver that
    fills every byte at many moments leaves them no room to move. It is asked again only if it has proven its answer.
    What is proven is proven of `budget`.
    """
    if plan.arena <= budget:
        return plan
    aim, least, first = budget, plan.arena, None
    for left in reversed(range(_ATTEMPTS + 1)):
        hard = effort or Effort() if left and (first is None or first.recomputation.proven) else NONE
        found = rematerialize(plan.schedule, results, aim if left else budget, hard, plan.sample)
        if isinstance(found, Unreachable):
            if aim == budget:
                return _fit_otherwise(plan, found, results, budget, effort or Effort())
            aim = (aim + budget) // 2
            continue
        first = first or found
        smaller = _placed(found.schedule, results, plan.sample)
        if smaller.arena <= budget:
            return replace(smaller, recomputation=_within(first, found, plan.schedule))
        aim, least = aim - max(smaller.arena - budget, 4), min(least, smaller.arena)
    raise _too_small(plan, Unreachable(least, proven=False), budget)


def _fit_otherwise(plan: Plan, refused: Unreachable, results: Sequence[Value], budget: int, effort: Effort) -> Plan:
    """A step that was sought for the least room that is known: in another order it may end far below, and again from
    there. Raises MicrograftError where it does not meet the budget either."""
    attempts = _ATTEMPTS if not refused.proven and refused.smallest < plan.arena else 0
    for _ in range(attempts):
        found = rematerialize(plan.schedule, results, refused.smallest, effort, plan.sample)
        if isinstance(found, Unreachable):
            break
        other = _placed(found.schedule, results, plan.sample)
        if other.arena <= budget:
            return replace(other, recomputation=found.recomputation)  # less room never takes less work
        if other.arena >= refused.smallest:
            break
        refused = replace(refused, smallest=other.arena)
    raise _too_small(plan, refused, budget)


def _within(first: Rematerialized, found: Rematerialized, nodes: Sequence[Node]) -> Recomputation:
    """What `found`, which may have been sought for less room, spends, and what is proven of the room of `first`."""
    there = {node.outputs[0].name for node in nodes}
    orders = [[name for node in each.schedule if (name := node.outputs[0].name) in there] for each in (first, found)]
    proven = first.recomputation
    order_bound = proven.order_bound if orders[0] == orders[1] else proven.bound
    return replace(found.recomputation, bound=proven.bound, order_bound=order_bound)


def _too_small(plan: Plan, found: Unreachable, budget: int) -> MicrograftError:
    known = "no recomputation makes it fit" if found.proven else "no recomputation was found that makes it fit"
    again = f", or {found.smallest:,} if much is computed again" if found.smallest < plan.arena else ""
    problem = f"the step needs an arena of {plan.arena:,} bytes{again}, and it may have {budget:,}; {known}"
    fix = "take a larger arena, or a method that keeps less: head keeps least, then bias and lora:freeze_a=true"
    return MicrograftError(problem, where="planning", fix=fix)


def _placed(order: tuple[Node, ...], results: Sequence[Value], sample: Value | None) -> Plan:
    """The plan of nodes in this order."""
    shared = lifetimes(order, results, sample)
    placement = place(shared.buffers)
    return Plan(
        order, shared.aliases, placement.buffers, placement.arena, shared.lower_bound, placement.bound, sample=sample
    )
