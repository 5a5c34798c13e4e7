"""Computes int8 convolutions behind each other row by row, where what lies between them would make the peak.

Of a tensor that one convolution writes and the next alone reads, only the rows under the next one's window need to
exist (`ops/streamed_conv`). That moves rows about, so no more are joined than the smallest possible peak asks for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from micrograft.ir.graph import Node, Phase
from micrograft.ir.types import Value
from micrograft.ops.streamed_conv import OPERATORS, STAGES, held_bytes, stream
from micrograft.planning.lifetimes import Lifetimes, live_bytes

Cut = tuple[int, int]
"""The nodes [from, to) of a chain, which become one."""


def stream_rows(schedule: Sequence[Node], shared: Lifetimes, results: Sequence[Value]) -> tuple[Node, ...]:
    """The schedule with convolutions joined so that its peak is the smallest that joining can give.

    shared: lifetimes of the schedule. results: values that are read behind the last node.
    """
    chains = [_Chain.of(schedule, nodes, shared) for nodes in _chains(schedule, results)]
    inside = {position for chain in chains for position in chain.positions}
    alive = live_bytes(shared.buffers)
    limit = max([*(chain.least() for chain in chains), *(n for i, n in enumerate(alive) if i not in inside)], default=0)
    joined: dict[int, Node | None] = {}
    for chain in chains:
        for start, end in chain.cuts(limit):
            if end - start > 1:
                joined |= dict.fromkeys(chain.positions[start : end - 1])
                joined[chain.positions[end - 1]] = stream(chain.nodes[start:end])
    nodes = (joined.get(position, node) for position, node in enumerate(schedule))
    return tuple(node for node in nodes if node is not None)


def _chains(schedule: Sequence[Node], results: Sequence[Value]) -> list[list[int]]:
    """Positions of convolutions, two at least, of which each alone reads what the one before it writes."""
    readers = Counter(value.name for node in schedule for value in node.inputs)
    readers.update(value.name for value in results)
    chains: dict[str, list[int]] = {}  # by what their last node writes
    for position, node in enumerate(schedule):
        if node.op in OPERATORS and node.phase is Phase.FORWARD and len(node.outputs) == 1:
            x = node.inputs[0].name
            before = chains.pop(x, []) if readers[x] == 1 else []
            chains[node.outputs[0].name] = [*before, position]
    return [chain for chain in chains.values() if len(chain) > 1]


@dataclass(frozen=True)
class _Chain:
    """Convolutions behind each other. need: for each way to join some, bytes alive while they run."""

    positions: tuple[int, ...]
    nodes: tuple[Node, ...]
    need: dict[Cut, int]

    @classmethod
    def of(cls, schedule: Sequence[Node], positions: Sequence[int], shared: Lifetimes) -> _Chain:
        nodes = tuple(schedule[position] for position in positions)
        need = {
            (start, end): _need(nodes[start:end], positions[start], positions[end - 1], shared)
            for end in range(1, len(nodes) + 1)
            for start in range(max(0, end - STAGES), end)
        }
        return cls(tuple(positions), nodes, need)

    def least(self) -> int:
        """The smallest peak of all ways to cut it."""
        peaks = [0]
        for end in range(1, len(self.nodes) + 1):
            peaks.append(min(max(peaks[start], self.need[start, end]) for start, _ in self._last_cuts(end)))
        return peaks[-1]

    def cuts(self, limit: int) -> list[Cut]:
        """Of the ways to cut it with no peak above the limit, the one with the fewest tensors between joined nodes."""
        best: dict[int, tuple[int, list[Cut]]] = {0: (0, [])}  # by where the last cut ends, if one can end there
        for end in range(1, len(self.nodes) + 1):
            fitting = [cut for cut in self._last_cuts(end) if self.need[cut] <= limit and cut[0] in best]
            found = [(best[start][0] + end - start - 1, [*best[start][1], (start, end)]) for start, end in fitting]
            if found:
                best[end] = min(found)
        return best[len(self.nodes)][1]

    def _last_cuts(self, end: int) -> Iterator[Cut]:
        return ((start, end) for start in range(max(0, end - STAGES), end))


def _need(nodes: Sequence[Node], first: int, last: int, shared: Lifetimes) -> int:
    """Bytes alive while nodes from position `first` to `last` run as one."""
    between = {node.outputs[0].name for node in nodes[:-1]}
    alive = sum(
        buffer.size
        for buffer in shared.buffers
        if buffer.first <= last and buffer.last >= first and not between.intersection(buffer.values)
    )
    return alive + held_bytes(nodes)
