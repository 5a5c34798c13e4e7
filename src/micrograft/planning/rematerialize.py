"""Chooses what is computed again so that a training step fits a budget: activation checkpointing, planned.

Forward nodes that run a second time are ordinary nodes with outputs of their own, so whoever reads a plan need not
know that there is such a thing. They read what the first ones read and give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from micrograft.ir.graph import Node, Phase
from micrograft.ir.types import Value
from micrograft.ops import operator_of
from micrograft.ops.builder import Builder
from micrograft.planning.effort import Effort, solver_is_there
from micrograft.planning.plan import Recomputation
from micrograft.planning.recompute_bound import Row, any_order_rows, impossible, least_work, rows
from micrograft.planning.recompute_exact import Proof, search_exactly
from micrograft.planning.recompute_greedy import search_greedily, smallest_peak
from micrograft.planning.recompute_joint import search_jointly
from micrograft.planning.recompute_problem import Choice, Ordered, Problem, peak, pose, roots
from micrograft.planning.recompute_relaxed import Relaxed, relax
from micrograft.planning.schedule import orders

_SOLVED = 800
"""Tensors, at most, for CP-SAT where it is to end by its own count of work: where there are more, that is spent before
it finds anything. Other orders are not tried then either."""

_ORDERED = 200
"""Nodes, at most, for a solver that chooses their order too."""

_PROVEN = 200
"""Tensors, at most, where a solver mostly proves what it finds."""

_MINOR = 1e-4
"""Share of a step's work that is not worth another look where there are more tensors than `_PROVEN`."""

_ROUNDS = 3
"""How often the order follows the answer and the answer the order."""


@dataclass(frozen=True)
class Rematerialized:
    """schedule: with the nodes that run again. peak: bytes alive in it, as the model counts them."""

    schedule: tuple[Node, ...]
    peak: int
    recomputation: Recomputation


@dataclass(frozen=True)
class Unreachable:
    """No answer was found. smallest: bytes, the lowest peak that is known to be possible. proven: there is none, in any
    order."""

    smallest: int
    proven: bool


def rematerialize(
    schedule: Sequence[Node], results: Iterable[Value], budget: int, effort: Effort, sample: Value | None = None
) -> Rematerialized | Unreachable:
    """The schedule with the least work whose live bytes never exceed `budget`; the order of its nodes may change.

    schedule: forward nodes first. results: values read behind the last node. sample: the network's input, if it lies
    in the arena. Where ortools is not installed, or there is too much for it, a greedy search answers, with a weaker
    bound.
    """
    search = _Search(tuple(results), sample, budget, effort)
    start = Ordered(tuple(schedule), pose(schedule, search.results, sample), Choice())
    if peak(start.problem, start.choice) <= budget:
        return _written(start, 0, 0)
    relaxed = search.relax(start.problem)
    found, bound = search.follow(start, relaxed)
    found, proof = search.solve(found, start, relaxed)
    if found is not None and found.work <= bound:
        return _written(found, bound, bound)
    ordered, joint = search.order(found, start)
    bound = max(bound, joint.bound)
    if ordered is not found:
        found, proof = ordered, joint
        if found is not None and found.work > bound:
            found, proof = search.solve(found, start, relaxed)
    if found is None:
        proven = joint.infeasible or impossible(start.problem, search.any_order(start))
        return Unreachable(smallest_peak(start.problem), proven)
    return _written(found, bound, max(bound, proof.bound))


def _written(found: Ordered, bound: int, order_bound: int) -> Rematerialized:
    problem, choice = found.problem, found.choice
    nodes = sum(problem.units[unit].last - problem.units[unit].first + 1 for unit in choice.slots)
    done = Recomputation(nodes, found.work, problem.work, bound, order_bound)
    return Rematerialized(tuple(_Rewriting(problem, choice, found.schedule).run()), peak(problem, choice), done)


@dataclass(frozen=True)
class _Search:
    """The ways to an answer. results, sample: as of `rematerialize`. capacity: bytes."""

    results: tuple[Value, ...]
    sample: Value | None
    capacity: int
    effort: Effort

    def relax(self, problem: Problem) -> Relaxed:
        """A bound for an order and what it proposes."""
        if not self.effort.work or not solver_is_there():
            return Relaxed(least_work(problem, rows(problem, self.capacity)))
        return relax(problem, self.capacity)

    def follow(self, start: Ordered, relaxed: Relaxed) -> tuple[Ordered | None, int]:
        """An answer by search, the order and what is computed again in turn until neither is better; and a bound that
        holds for every order."""
        bound = least_work(start.problem, self.any_order(start))
        best = self._answer(start, relaxed, max(bound, relaxed.enough))
        if len(start.problem.tensors) > _SOLVED:
            return best, bound
        for _ in range(_ROUNDS):
            if best is not None and best.work <= bound:
                break
            others = [self._greedy(other, bound, best) for other in self._other_orders(best or start)]
            found = min((each for each in others if each is not None), key=lambda each: each.work, default=best)
            if found is None or (best is not None and self._minor(best, found.work)):
                break
            best = found
        return best, bound

    def _answer(self, start: Ordered, relaxed: Relaxed, enough: int, like: Ordered | None = None) -> Ordered | None:
        """The programme's answer if there is none with less work, else what the search finds, whichever is better."""
        best = None if relaxed.choice is None else replace(start, choice=relaxed.choice)
        if best is not None and best.work <= enough:
            return best
        found = self._greedy(start, enough, like, relaxed.proposals)
        return min((each for each in (best, found) if each is not None), key=lambda each: each.work, default=None)

    def any_order(self, start: Ordered) -> list[Row]:
        """Moments that hold too much in every order."""
        return any_order_rows(start.schedule, start.problem, self.capacity)

    def _greedy(
        self, start: Ordered, enough: int, like: Ordered | None = None, proposals: Sequence[frozenset[int]] = ()
    ) -> Ordered | None:
        """An answer in one order. like: one in another order, to start from."""
        first = None
        if like is not None:
            gone = {like.problem.tensors[index].name for index in like.choice.gone}
            first = frozenset(i for i, each in enumerate(start.problem.tensors) if each.name not in gone)
        choice = search_greedily(start.problem, self.capacity, enough, first, proposals)
        return None if choice is None else replace(start, choice=choice)

    def _other_orders(self, answer: Ordered) -> Iterator[Ordered]:
        """Orders that suit the nodes with those that run again."""
        written = tuple(_Rewriting(answer.problem, answer.choice, answer.schedule).run())
        original = {node.outputs[0].name: node for node in answer.schedule}
        seen = {tuple(map(id, answer.problem.nodes))}
        for order in orders(written, self.results):
            names = (node.outputs[0].name for node in order)
            schedule = tuple(original[name] for name in names if name in original)
            problem = pose(schedule, self.results, self.sample)
            nodes = tuple(map(id, problem.nodes))
            if nodes not in seen:
                seen.add(nodes)
                yield Ordered(schedule, problem, Choice())

    def solve(self, found: Ordered | None, start: Ordered, relaxed: Relaxed) -> tuple[Ordered | None, Proof]:
        """The least work in the order of the answer, by the solver if it has a chance. relaxed: of the start."""
        problem = (found or start).problem
        if found is not None and problem is not start.problem:
            relaxed = self.relax(problem)
            found = self._answer(found, relaxed, relaxed.enough, found) or found
        bound = relaxed.bound
        if (found is not None and self._minor(found, relaxed.enough)) or not self._solves(problem):
            return found, Proof(bound)
        choice, proof = search_exactly(problem, self.capacity, found.choice if found else None, self.effort, bound)
        return (replace(found or start, choice=choice) if choice is not None else None), proof

    def order(self, found: Ordered | None, start: Ordered) -> tuple[Ordered | None, Proof]:
        """The least work in any order, by the solver if it has a chance."""
        if not self._solves(start.problem) or len(start.problem.nodes) > _ORDERED:
            return found, Proof(0)
        return search_jointly(start.schedule, self.results, self.sample, self.capacity, found, self.effort)

    def _minor(self, found: Ordered, work: int) -> bool:
        """Whether an answer with so little work, if there is one, is not worth what it takes to find it."""
        large = len(found.problem.tensors) > _PROVEN and not math.isinf(self.effort.work)
        return found.work <= work + (_MINOR * found.problem.work if large else 0)

    def _solves(self, problem: Problem) -> bool:
        small = len(problem.tensors) <= _SOLVED or math.isinf(self.effort.work)
        return self.effort.work > 0 and small and solver_is_there()


class _Rewriting:
    """Writes an answer out as a schedule."""

    def __init__(self, problem: Problem, choice: Choice, schedule: Sequence[Node]) -> None:
        self._problem = problem
        self._choice = choice
        self._root = roots(schedule)
        self._tensor_of = {each.name: index for index, each in enumerate(problem.tensors)}
        self._views: dict[str, list[Node]] = {}  # memory to the views of it, in order
        for node in schedule:
            if operator_of(node).view:
                self._views.setdefault(self._root[node.outputs[0].name], []).append(node)
        self._builder = Builder(value.name for node in schedule for value in (*node.inputs, *node.outputs))
        self._copies: dict[str, Value] = {}
        self._used = {self._root.get(value.name, value.name) for value in self._read_first()}

    def run(self) -> Iterator[Node]:
        """The schedule."""
        problem = self._problem
        defined = {value.name for node in problem.nodes for value in node.outputs}
        for name in [name for name in self._views if name not in defined]:
            yield from self._views[name]
        in_slot: dict[int, list[int]] = {}
        for unit in sorted(self._choice.slots):
            in_slot.setdefault(self._choice.slots[unit], []).append(unit)
        for position, node in enumerate(problem.nodes):
            for unit in in_slot.get(position, ()):
                for again in range(problem.units[unit].first, problem.units[unit].last + 1):
                    yield from self._second(problem.nodes[again], unit)
            yield from self._first(position, node)

    def _read_first(self) -> Iterator[Value]:
        """Every value whose first computation somebody reads."""
        for position, node in enumerate(self._problem.nodes):
            unit = self._problem.unit_of[position] if position < self._problem.forward else None
            for value in node.inputs:
                if unit is not None:
                    yield value  # by the forward pass itself
                elif (self._index(value), position) not in self._choice.again:
                    yield value

    def _index(self, value: Value) -> int:
        return self._tensor_of.get(self._root.get(value.name, value.name), -1)

    def _first(self, position: int, node: Node) -> Iterator[Node]:
        """A node as it was, with the inputs that it shall read and without masks that nobody reads any more."""
        if position >= self._problem.forward:
            inputs = tuple(
                self._copies[value.name] if (self._index(value), position) in self._choice.again else value
                for value in node.inputs
            )
            node = replace(node, inputs=inputs)
        else:
            node = replace(node, outputs=_trimmed(node.outputs, self._used))
        yield node
        for value in node.outputs:
            yield from self._views.get(value.name, ())

    def _second(self, node: Node, unit: int) -> Iterator[Node]:
        """A forward node as it runs again, and the views of what it gives."""
        choice = self._choice

        def source(value: Value) -> Value:
            index = self._index(value)
            inside = index < 0 and value.name in self._copies  # written by the unit itself
            return self._copies[value.name] if inside or (index, unit) in choice.again_in else value

        wanted = {self._problem.tensors[index].name for index, _ in (*choice.again, *choice.again_in)}
        outputs = []
        for value in _trimmed(node.outputs, wanted):
            copy = replace(value, name=self._builder.unique(f"{value.name}_again"))
            self._copies[value.name] = copy
            outputs.append(copy)
        yield replace(node, inputs=tuple(map(source, node.inputs)), outputs=tuple(outputs), phase=Phase.BACKWARD)
        for value in node.outputs[: len(outputs)]:
            for view in self._views.get(value.name, ()):
                result = view.outputs[0]
                copy = replace(result, name=self._builder.unique(f"{result.name}_again"))
                inputs = (self._copies[view.inputs[0].name],)
                self._copies[result.name] = copy
                yield replace(view, inputs=inputs, outputs=(copy,), phase=Phase.BACKWARD)


def _trimmed(outputs: tuple[Value, ...], used: set[str]) -> tuple[Value, ...]:
    """The outputs up to the last one that is used, the first in any case."""
    count = max((index for index, value in enumerate(outputs) if value.name in used), default=0)
    return outputs[: count + 1]
