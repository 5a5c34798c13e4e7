"""Lets the backward pass rebuild what reversible blocks read from what they gave, instead of keeping it.

The order is that of RevNet (arXiv:1707.04585, algorithm 1): a branch is computed again from a stream that is known,
taken off the other stream, and only then differentiated. What is read is the stored value: within rounding in float32,
in every bit where the streams are int8 codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

from micrograft.couplings import Coupling, find_couplings
from micrograft.ir.graph import Node, Phase, TrainStep
from micrograft.ir.types import Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.passes.prune import prune


def reverse(step: TrainStep) -> TrainStep:
    """`step`, whose backward nodes read rebuilt values wherever additive couplings allow it; itself where none does."""
    nodes = step.graph.nodes
    forward = [node for node in nodes if node.phase is Phase.FORWARD]
    params = {param.name for param in step.graph.params}
    couplings = find_couplings(forward, params)
    if not couplings:
        return step
    builder = Builder(value.name for value in step.graph.values)
    others = [node for node in nodes if node.phase is not Phase.FORWARD]
    behind = list(_Rebuilding(forward, couplings, params, builder).run(others))
    read = {value.name for node in (*forward, *behind) for value in node.inputs}
    graph = replace(step.graph, nodes=tuple(_without_unread(node, read) for node in (*forward, *behind)))
    graph = prune(graph, [step.loss])
    if len(graph.nodes) == len(nodes):
        return step
    return replace(step, graph=check(graph, "reverse", [state.value for state in step.states]))


def _without_unread(node: Node, read: set[str]) -> Node:
    """The node without masks and indices that nobody reads, as far as they stand at the end."""
    if node.phase is Phase.UPDATE:
        return node
    count = max((index for index, value in enumerate(node.outputs) if value.name in read), default=0)
    return replace(node, outputs=node.outputs[: count + 1])


class _Rebuilding:
    """Writes copies of branches in front of the first backward node that reads something of theirs, or a parameter."""

    def __init__(
        self, forward: Sequence[Node], couplings: Sequence[Coupling], params: Set[str], builder: Builder
    ) -> None:
        self._forward = forward
        self._couplings = couplings
        self._builder = builder
        self._copies: dict[str, Value] = {}
        self._written: set[int] = set()  # positions of forward nodes of which there is a copy
        self._done = 0  # couplings undone
        self._undone_by: dict[str, int] = {}  # name to the index of the coupling that gives it back
        for index, coupling in enumerate(couplings):
            for position in coupling.branch:
                node = forward[position]
                own = (value for value in node.inputs if value.name in params)
                for value in (*node.outputs, *own):
                    self._undone_by.setdefault(value.name, index)
            self._undone_by.setdefault(coupling.x.name, index)

    def run(self, behind: Sequence[Node]) -> Iterator[Node]:
        """The nodes behind the forward pass, and what they need rebuilt.

        What only adds to the gradients that are alive waits until that is done.
        """
        gradients = {value.name for node in behind for value in node.outputs}
        last = {value.name: index for index, node in enumerate(behind) for value in node.inputs}
        waiting: list[Node] = []
        for index, node in enumerate(behind):
            if node.phase is Phase.BACKWARD and all(
                value.name in gradients and last[value.name] > index for value in node.inputs
            ):
                waiting.append(node)
                continue
            needed = max((self._undone_by.get(value.name, -1) for value in node.inputs), default=-1)
            while self._done <= needed:
                yield from self._undo(self._couplings[self._done])
                self._done += 1
            yield from waiting
            waiting.clear()
            yield replace(node, inputs=self._rebuilt(node.inputs))
        yield from waiting

    def _undo(self, coupling: Coupling) -> Iterator[Node]:
        """The branch again, and x from it and y."""
        for position in coupling.branch:
            if position not in self._written:
                self._written.add(position)
                yield self._again(self._forward[position])
        y, f = self._rebuilt((coupling.y, coupling.f))
        node = self._forward[coupling.position]
        wish = f"{coupling.x.name}_rebuilt"
        x = self._builder.add(coupling.inverse, (y, f), node.attrs, origin=node.origin, name=wish, phase=Phase.BACKWARD)
        self._copies[coupling.x.name] = x
        yield self._builder.nodes[-1]

    def _again(self, node: Node) -> Node:
        inputs = self._rebuilt(node.inputs)
        outputs = tuple(replace(value, name=self._builder.unique(f"{value.name}_again")) for value in node.outputs)
        self._copies.update(zip((value.name for value in node.outputs), outputs, strict=True))
        return replace(node, inputs=inputs, outputs=outputs, phase=Phase.BACKWARD)

    def _rebuilt(self, values: Sequence[Value]) -> tuple[Value, ...]:
        return tuple(self._copies.get(value.name, value) for value in values)
