"""Which values share memory, and from which node to which each stretch of memory is alive.

A view shares its input's memory. A node that updates a parameter or state writes where it lies. A node that
may work in place does so when nobody reads its input afterwards. The sample is a buffer like any other, there from
the start until its last reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from micrograft.ir.graph import Node, Phase
from micrograft.ir.types import Value
from micrograft.ops import operator_of
from micrograft.planning.plan import Buffer, Purpose


@dataclass(frozen=True)
class Lifetimes:
    """aliases: name of a value to the name of the value whose memory it uses. buffers: of the arena, unplaced."""

    aliases: dict[str, str]
    buffers: tuple[Buffer, ...]

    @property
    def lower_bound(self) -> int:
        """The largest sum of bytes alive at once: no placement can need less."""
        return max(live_bytes(self.buffers), default=0)


def live_bytes(buffers: Iterable[Buffer]) -> list[int]:
    """Bytes alive at each position of the schedule."""
    changes: dict[int, int] = {}
    for buffer in buffers:
        changes[buffer.first] = changes.get(buffer.first, 0) + buffer.size
        changes[buffer.last + 1] = changes.get(buffer.last + 1, 0) - buffer.size
    alive, totals = 0, []
    for position in range(max(changes, default=0)):
        alive += changes.get(position, 0)
        totals.append(alive)
    return totals


def lifetimes(schedule: Sequence[Node], results: Iterable[Value], sample: Value | None = None) -> Lifetimes:
    """Share memory where that is safe, and say how long each arena buffer lives.

    results: values that are read after the last node (outputs, the loss). sample: the network's input, which the
    application may write into the arena. Other values that no node defines (target, parameters, states) have memory
    of their own and get no buffer.
    """
    return _Sharing(schedule, results, sample).run()


class _Sharing:
    """The state of one walk over the schedule."""

    def __init__(self, schedule: Sequence[Node], results: Iterable[Value], sample: Value | None) -> None:
        self._schedule = schedule
        self._sample = sample.name if sample is not None else None
        self._aliases: dict[str, str] = {}
        self._values: dict[str, list[Value]] = {}
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._kept: set[str] = set()
        self._scratch: set[str] = set()
        self._reads = {value.name: len(schedule) for value in results}
        for position, node in enumerate(schedule):
            for value in node.inputs:
                self._reads[value.name] = max(position, self._reads.get(value.name, 0))
        if sample is not None:
            self._aliases[sample.name] = sample.name
            self._values[sample.name] = [sample]
            self._first[sample.name], self._last[sample.name] = 0, self._reads.get(sample.name, 0)

    def run(self) -> Lifetimes:
        for position, node in enumerate(self._schedule):
            shared = self._shared_outputs(position, node)
            for index, value in enumerate(node.outputs):
                source = shared.get(index)
                root = self._root(source) if source is not None else value.name
                self._aliases[value.name] = root
                if source is None:
                    self._first[root] = position
                if root in self._first:
                    self._values.setdefault(root, []).append(value)
                    last = self._reads.get(value.name, position)
                    self._last[root] = max(last, position, self._last.get(root, 0))
            self._add_scratch(position, node)
        self._find_kept()
        return Lifetimes(self._aliases, tuple(self._buffer(root) for root in self._first))

    def _add_scratch(self, position: int, node: Node) -> None:
        """Memory that is alive at this node only."""
        for value in operator_of(node).scratch(node):
            self._aliases[value.name] = value.name
            self._values[value.name] = [value]
            self._first[value.name] = self._last[value.name] = position
            self._scratch.add(value.name)

    def _root(self, value: Value) -> str:
        return self._aliases.get(value.name, value.name)

    def _shared_outputs(self, position: int, node: Node) -> dict[int, Value]:
        operator = operator_of(node)
        if operator.view:
            return {0: node.inputs[0]}
        shared = {output: node.inputs[index] for output, index in operator.mutates if output < len(node.outputs)}
        for output, index in operator.inplace:
            if output in shared or output >= len(node.outputs) or index >= len(node.inputs):
                continue
            source = node.inputs[index]
            root = self._root(source)
            free = root in self._first and self._last[root] <= position
            if free and self._first_size(root) == source.type.bytes == node.outputs[output].type.bytes:
                shared[output] = source
        return shared

    def _first_size(self, root: str) -> int:
        return self._values[root][0].type.bytes

    def _find_kept(self) -> None:
        """Forward buffers that a backward or update node reads."""
        forward = {value.name for node in self._schedule if node.phase is Phase.FORWARD for value in node.outputs}
        for node in self._schedule:
            if node.phase is not Phase.FORWARD:
                self._kept.update(self._aliases[value.name] for value in node.inputs if value.name in forward)

    def _buffer(self, root: str) -> Buffer:
        values = self._values[root]
        last = min(self._last[root], len(self._schedule) - 1)
        names = tuple(value.name for value in values)
        if root == self._sample:
            return Buffer(names, values[0].type.bytes, 0, last, Purpose.SAMPLE, root)
        node = self._schedule[self._first[root]]
        purpose = {Phase.BACKWARD: Purpose.GRADIENT, Phase.UPDATE: Purpose.OPTIMIZER}.get(
            node.phase, Purpose.ACTIVATION if root in self._kept else Purpose.WORKSPACE
        )
        if root in self._scratch:
            purpose = Purpose.WORKSPACE
        return Buffer(names, values[0].type.bytes, self._first[root], last, purpose, node.origin)
