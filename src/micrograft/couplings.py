"""Finds additive couplings, y = x + f(s) where s does not come from x: whoever has y and s has x (arXiv:1707.04585).

They are found by their structure, so it does not matter who wrote them, in which framework, with how many streams.
Two that follow each other prove a reversible block; before it the same holds wherever what a branch reads is known.
Sums of int8 codes count only where they wrap: those that saturate have lost what they were made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, Value
from micrograft.ops import operator_of

_SUMS = 12
"""Sums inside a branch, at most: without a limit every residual network would be searched up to its input."""


_INVERSE = {"add": "sub", "sub": "add", "wrapping_add": "wrapping_sub", "wrapping_sub": "wrapping_add"}
_ADDED = {"add", "wrapping_add"}
_EXACT = {"wrapping_add", "wrapping_sub"}


@dataclass(frozen=True)
class Coupling:
    """y = x + f, or y = x − f, computed by the node at `position`. branch: positions of the nodes that compute f."""

    x: Value
    f: Value
    y: Value
    op: str
    position: int
    branch: tuple[int, ...]

    @property
    def inverse(self) -> str:
        """The operator that gives x from y and f."""
        return _INVERSE[self.op]


def find_couplings(nodes: Sequence[Node], params: Set[str]) -> list[Coupling]:
    """The couplings of a forward pass, last first: x of each is known once those before it in the list are undone.

    params: names of the parameters. What the last block of a chain gives is known because it stays; what its branches
    read is then known one by one.
    """
    search = _Search(nodes, params)
    known: set[str] = set()
    found: list[Coupling] = []
    for ways in search.sums:
        closed = [search.closed(way, known) for way in ways if way.y.name in known]
        coupling = next(filter(None, closed), None)
        if coupling is None:
            blocks = list(filter(None, (search.last_block(way, known) for way in ways)))
            if not blocks:
                continue
            coupling, streams = min(blocks, key=lambda block: len(block[0].branch))
            known |= streams
        found.append(coupling)
        known.add(coupling.x.name)
    return found


class _Search:
    """Walks back through the nodes of a forward pass."""

    def __init__(self, nodes: Sequence[Node], params: Set[str]) -> None:
        self._nodes = nodes
        self._producer: dict[str, int] = {}
        self._constant = set(params)  # with what depends on parameters alone: that stays
        for position, node in enumerate(nodes):
            names = [value.name for value in node.outputs]
            if all(value.name in self._constant for value in node.inputs):
                self._constant.update(names)
            else:
                self._producer.update(dict.fromkeys(names, position))
        ways = (list(self._ways(position)) for position in reversed(range(len(nodes))))
        self.sums = list(filter(None, ways))
        """Sums, each taken in both ways, and differences, last first; as yet without branches."""
        self._giving = {ways[0].y.name: ways for ways in self.sums}

    def _ways(self, position: int) -> Iterator[Coupling]:
        node = self._nodes[position]
        if node.op not in _INVERSE or len({value.type for value in (*node.inputs, *node.outputs)}) != 1:
            return
        a, b, y = *node.inputs, node.outputs[0]
        if a.name == b.name or y.dtype is not (DType.INT8 if node.op in _EXACT else DType.FLOAT32):
            return
        yield Coupling(a, b, y, node.op, position, ())
        if node.op in _ADDED:
            yield Coupling(b, a, y, node.op, position, ())

    def closed(self, candidate: Coupling, known: Set[str]) -> Coupling | None:
        """The coupling with its branch, if that reads what is known, parameters, and nothing else."""
        floor = min((self._producer[name] for name in known if name in self._producer), default=0)
        branch: set[int] = set()
        reads_known = False
        waiting = [candidate.f.name]
        while waiting:
            name = waiting.pop()
            if name == candidate.x.name:
                return None
            reads_known |= name in known
            if name in known or name in self._constant:
                continue
            position = self._producer.get(name, -1)
            if position < floor or operator_of(self._nodes[position]).mutates:
                return None  # it comes from before all that is known, or is an input
            if position not in branch:
                branch.add(position)
                waiting += self._reads(position)
        return replace(candidate, branch=tuple(sorted(branch))) if reads_known else None

    def last_block(self, last: Coupling, known: Set[str]) -> tuple[Coupling, Set[str]] | None:
        """The coupling that ends a chain of blocks, and names of the streams behind it: its own and those it reads.

        It is one if every one of the streams can be undone, one after the other. known: from later chains.
        """
        for names in self._frontiers(last, known):
            streams = {last.y.name, *names}
            coupling = self.closed(last, streams)
            if coupling is not None and self._can_undo([[last], *(self._giving[name] for name in names)], set(streams)):
                return coupling, streams
        return None

    def _can_undo(self, steps: Sequence[Sequence[Coupling]], known: set[str]) -> bool:
        """Whether each step has a way of being undone from what is known and what the steps before it gave."""
        for ways in steps:
            coupling = next(filter(None, (self.closed(way, known) for way in ways)), None)
            if coupling is None:
                return False
            known.add(coupling.x.name)
        return True

    def _frontiers(self, last: Coupling, known: Set[str]) -> Iterator[list[str]]:
        """Sums and differences, latest first, through which all that f depends on goes; nearest ones first."""
        frontier = {last.f.name}
        passed = 0
        while frontier and passed < _SUMS and last.x.name not in frontier and frontier <= self._producer.keys() - known:
            names = sorted(frontier, key=lambda name: (-self._producer[name], name))
            if frontier <= self._giving.keys():
                yield names
            frontier.remove(names[0])
            passed += names[0] in self._giving
            frontier.update(name for name in self._reads(self._producer[names[0]]) if name not in self._constant)

    def _reads(self, position: int) -> list[str]:
        return [value.name for value in self._nodes[position].inputs]
