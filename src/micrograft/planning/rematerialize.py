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
from micrograft.planning.recompute_bound import least_work, rows
from micrograft.planning.recompute_exact import search_exactly
from micrograft.planning.recompute_greedy import search_greedily, smallest_peak
from micrograft.planning.recompute_problem import Choice, Problem, peak, pose, roots

_SOLVED = 800
"""Tensors, at most, for a solver that is to end by its own count of work: where there are more, that is spent before
it finds anything."""


@dataclass(frozen=True)
class Rematerialized:
    """schedule: with the nodes that run again. peak: bytes alive in it, as the model counts them."""

    schedule: tuple[Node, ...]
    peak: int
    recomputation: Recomputation


@dataclass(frozen=True)
class Unreachable:
    """No answer was found. smallest: bytes, the lowest peak that is known to be possible. proven: there is none."""

    smallest: int
    proven: bool


def rematerialize(
    schedule: Sequence[Node], results: Iterable[Value], budget: int, effort: Effort, sample: Value | None = None
) -> Rematerialized | Unreachable:
    """The schedule with the least work whose live bytes never exceed `budget`.

    schedule: forward nodes first; their order and that of the others stay. results: values read behind the last
    node. sample: the network's input, if it lies in the arena. Where ortools is not installed, or there is too much for
    it, a greedy search answers, with a weaker bound.
    """
    problem = pose(schedule, results, sample)
    choice = Choice()
    bound = 0
    if peak(problem, choice) > budget:
        found = search_greedily(problem, budget)
        proven, bound = False, least_work(problem, rows(problem, budget))
        unproven = found is None or found.work(problem) > bound
        if unproven and _solves(problem, effort):
            found, proof = search_exactly(problem, budget, found, effort)
            bound, proven = proof.bound, proof.infeasible
        if found is None:
            return Unreachable(smallest_peak(problem), proven)
        choice = found
    order = tuple(_Rewriting(problem, choice, schedule).run())
    nodes = sum(problem.units[unit].last - problem.units[unit].first + 1 for unit in choice.slots)
    done = Recomputation(nodes, choice.work(problem), problem.work, bound)
    return Rematerialized(order, peak(problem, choice), done)


def _solves(problem: Problem, effort: Effort) -> bool:
    """Whether the solver is there and has a chance."""
    small = len(problem.tensors) <= _SOLVED or math.isinf(effort.work)
    return effort.work > 0 and small and solver_is_there()


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
