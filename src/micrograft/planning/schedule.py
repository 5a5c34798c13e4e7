"""The order in which nodes run. Any order that respects the data gives the same result; the peak differs.

The forward pass keeps its order. Behind it a list scheduler always takes the ready node after which least is
alive, so that an update runs as soon as its gradient exists and the gradient dies there. Several such orders
are tried and the one with the lowest peak is taken.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

from micrograft.ir.graph import Graph, Node, Phase
from micrograft.ir.types import Value
from micrograft.ops import operator_of
from micrograft.planning.lifetimes import lifetimes, live_bytes


def schedule(graph: Graph, results: Iterable[Value]) -> tuple[Node, ...]:
    """The nodes of `graph` in an order with a low peak. results: values that are read at the end."""
    results = tuple(results)
    return min(orders(graph.nodes, results), key=lambda nodes: _peaks(nodes, results, graph.sample))


def orders(nodes: Sequence[Node], results: Sequence[Value]) -> list[tuple[Node, ...]]:
    """Sound orders of `nodes`, each by another rule."""
    needs = dependencies(nodes)
    found = [
        _topological(nodes, needs, _as_written),
        _topological(nodes, needs, _updates_first),
        _list_schedule(nodes, needs, results),
        _topological(nodes, needs, _gradients_first(nodes)),
    ]
    return [tuple(nodes[i] for i in order) for order in dict.fromkeys(map(tuple, found))]


def _peaks(nodes: Sequence[Node], results: Sequence[Value], sample: Value | None) -> tuple[int, int]:
    """Bytes alive at the peak, and at that of the backward pass: it counts where the forward pass makes the first one,
    since what streams or computes again may lower that yet."""
    alive = live_bytes(lifetimes(nodes, results, sample).buffers)
    backward = [size for size, node in zip(alive, nodes, strict=False) if node.phase is not Phase.FORWARD]
    return max(alive, default=0), max(backward, default=0)


def dependencies(nodes: Sequence[Node]) -> list[set[int]]:
    """For each node, those that must run before it.

    Beside the producers of its inputs, a node that updates a value where it lies waits for every other reader of
    that value.
    """
    producer = {value.name: i for i, node in enumerate(nodes) for value in node.outputs}
    readers: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        for value in node.inputs:
            readers.setdefault(value.name, []).append(i)
    needs = [{producer[value.name] for value in node.inputs if value.name in producer} for node in nodes]
    views = {node.outputs[0].name: node.inputs[0].name for node in nodes if operator_of(node).view}
    for i, node in enumerate(nodes):
        for _, index in operator_of(node).mutates:
            mutated = node.inputs[index].name
            same = {mutated} | {view for view, source in views.items() if source == mutated}
            for name in same:
                needs[i].update(reader for reader in readers.get(name, ()) if reader != i)
    return needs


_RANK = {Phase.FORWARD: 0, Phase.BACKWARD: 1, Phase.UPDATE: 2}


def _as_written(index: int, node: Node) -> tuple[int, int]:
    return _RANK[node.phase], index


def _updates_first(index: int, node: Node) -> tuple[int, int]:
    return int(node.phase is not Phase.UPDATE), index


def _gradients_first(nodes: Sequence[Node]) -> Callable[[int, Node], tuple[int, int]]:
    """Updates first, with what only they read: it dies at once, wherever it is written."""
    others = {value.name for node in nodes if node.phase is not Phase.UPDATE for value in node.inputs}

    def priority(index: int, node: Node) -> tuple[int, int]:
        return int(node.outputs[0].name in others or node.phase is Phase.FORWARD), index

    return priority


def _topological(
    nodes: Sequence[Node], needs: Sequence[set[int]], priority: Callable[[int, Node], tuple[int, int]]
) -> list[int]:
    """Of the nodes that are ready, always the one with the smallest priority."""
    waiting = _Waiting(needs)
    ready = [(priority(i, nodes[i]), i) for i in waiting.ready]
    heapq.heapify(ready)
    order = []
    while ready:
        _, index = heapq.heappop(ready)
        order.append(index)
        for follower in waiting.done(index):
            heapq.heappush(ready, (priority(follower, nodes[follower]), follower))
    return order


def _list_schedule(nodes: Sequence[Node], needs: Sequence[set[int]], results: Sequence[Value]) -> list[int]:
    """Forward as written; then, of the ready nodes, the one that leaves least alive."""
    memory = _Memory(nodes, results)
    waiting = _Waiting(needs)
    ready = set(waiting.ready)
    order: list[int] = []
    while ready:
        forward = [i for i in ready if nodes[i].phase is Phase.FORWARD]
        chosen = min(forward) if forward else min(ready, key=lambda i: (memory.growth(i), i))
        order.append(chosen)
        ready.remove(chosen)
        ready.update(waiting.done(chosen))
        memory.run(chosen)
    return order


class _Waiting:
    """Which nodes still wait for how many others. ready: those that wait for none from the start."""

    def __init__(self, needs: Sequence[set[int]]) -> None:
        self._counts = [len(need) for need in needs]
        self._followers: list[list[int]] = [[] for _ in needs]
        for i, need in enumerate(needs):
            for other in need:
                self._followers[other].append(i)
        self.ready = [i for i, count in enumerate(self._counts) if not count]

    def done(self, index: int) -> list[int]:
        """Count a node as done; the nodes that are ready now."""
        found = []
        for follower in self._followers[index]:
            self._counts[follower] -= 1
            if not self._counts[follower]:
                found.append(follower)
        return found


class _Memory:
    """How many bytes running a node adds to those alive."""

    def __init__(self, nodes: Sequence[Node], results: Sequence[Value]) -> None:
        self._nodes = nodes
        self._size = {value.name: value.type.bytes for node in nodes for value in node.outputs}
        self._root: dict[str, str] = {}
        readers: dict[str, list[Node]] = {}
        for node in nodes:
            shared = dict(operator_of(node).mutates)
            if operator_of(node).view:
                shared[0] = 0
            for index, value in enumerate(node.outputs):
                source = node.inputs[shared[index]].name if index in shared else value.name
                self._root[value.name] = self._root.get(source, source)
            for name in {self._root.get(value.name, value.name) for value in node.inputs}:
                readers.setdefault(name, []).append(node)
        self._unread = {name: len(found) for name, found in readers.items()}
        for value in results:
            name = self._root.get(value.name, value.name)
            self._unread[name] = self._unread.get(name, 0) + 1
        self._update_only = {
            name for name, found in readers.items() if all(node.phase is Phase.UPDATE for node in found)
        }

    def _reads(self, index: int) -> set[str]:
        return {self._root.get(value.name, value.name) for value in self._nodes[index].inputs}

    def growth(self, index: int) -> int:
        """Bytes allocated less bytes freed; what only updates read is counted as freed by them at once."""
        node = self._nodes[index]
        allocated = sum(
            self._size[value.name]
            for value in node.outputs
            if self._root[value.name] == value.name and value.name not in self._update_only
        )
        freed = sum(self._size.get(name, 0) for name in self._reads(index) if self._unread[name] == 1)
        return allocated - freed

    def run(self, index: int) -> None:
        """Count the node as done."""
        for name in self._reads(index):
            self._unread[name] -= 1
