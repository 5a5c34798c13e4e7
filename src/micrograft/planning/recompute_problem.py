"""What can be computed again, and what that does to memory: the question that `rematerialize` answers.

Time is counted in halves of nodes: a node that may write over an input has its output from its second half on,
and that input until its first. Any forward value may be computed a second time in a slot, which lies directly
before a backward or update node; within a slot, forward nodes run in their own order.

    forward nodes | slot, backward node | slot, backward node | ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from micrograft.ir.graph import Node, Phase
from micrograft.ir.types import Value
from micrograft.ops import operator_of
from micrograft.planning.plan import ALIGNMENT
from micrograft.planning.schedule import dependencies
from micrograft.planning.work import work


@dataclass(frozen=True)
class Read:
    """position: of the node that reads. early: the node may write over what it reads."""

    position: int
    early: bool


@dataclass(frozen=True)
class Tensor:
    """What a forward unit leaves in the arena.

    size: bytes, aligned. node, last_node: positions of the nodes between which it is written. late: it may lie
    where an input of its first node lay. optional: an output (a mask, an index) that is only there if read.
    kept: read behind the last node. forward, backward: who reads it, its own unit excepted.
    """

    name: str
    size: int
    unit: int
    node: int
    last_node: int
    late: bool
    optional: bool
    kept: bool
    forward: tuple[Read, ...]
    backward: tuple[Read, ...]


@dataclass(frozen=True)
class Unit:
    """Forward nodes that are computed again together: each writes over the output of the one before it.

    first, last: positions. work: estimated instructions of a second run. latest: the last slot before a parameter
    that it reads is updated. updates: positions of the nodes that update one.
    """

    first: int
    last: int
    work: int
    latest: int
    updates: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fixed:
    """Memory that lives from one half to another, whatever is computed again: a gradient, or scratch.

    size: bytes, aligned. node: position of the node that writes it; late, kept, reads: as of a `Tensor`.
    """

    start: int
    end: int
    size: int
    node: int
    late: bool = False
    kept: bool = False
    reads: tuple[Read, ...] = ()


@dataclass(frozen=True)
class Problem:
    """nodes: in their order, without views. forward: how many of them are forward nodes; those come first."""

    nodes: tuple[Node, ...]
    forward: int
    units: tuple[Unit, ...]
    unit_of: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    fixed: tuple[Fixed, ...]
    work: int

    def time(self, position: int) -> int:
        """When the first half of a node begins."""
        if position < self.forward:
            return 2 * position
        return self.time_again(self.forward, position)

    def time_again(self, position: int, slot: int) -> int:
        """When the first half of a forward node begins that runs again in a slot."""
        return 2 * (self.forward + (slot - self.forward) * (self.forward + 1) + position)

    @property
    def slot_length(self) -> int:
        """Halves from the beginning of a slot to that of the next."""
        return 2 * (self.forward + 1)

    @property
    def end(self) -> int:
        """When everything is over."""
        return self.time(len(self.nodes) - 1) + 2


@dataclass(frozen=True)
class Choice:
    """An answer. slots: unit to the slot in which it runs again.

    again: pairs (tensor, position of a backward reader) where the second computation is read; again_in: pairs
    (tensor, unit that runs again and reads it) likewise.
    """

    slots: Mapping[int, int] = field(default_factory=dict)
    again: frozenset[tuple[int, int]] = frozenset()
    again_in: frozenset[tuple[int, int]] = frozenset()

    def work(self, problem: Problem) -> int:
        """Estimated instructions that are spent twice."""
        return sum(problem.units[unit].work for unit in self.slots)

    @property
    def gone(self) -> frozenset[int]:
        """Tensors of which the second computation is read."""
        return frozenset(index for index, _ in self.again | self.again_in)


@dataclass(frozen=True)
class Ordered:
    """An order of the nodes, the question that it poses, and an answer to that."""

    schedule: tuple[Node, ...]
    problem: Problem
    choice: Choice

    @property
    def work(self) -> int:
        """Estimated instructions that are spent twice."""
        return self.choice.work(self.problem)


def peak(problem: Problem, choice: Choice) -> int:
    """Bytes alive at the worst moment."""
    return max((total for _, total in profile(problem, choice)), default=0)


def profile(problem: Problem, choice: Choice) -> Iterator[tuple[int, int]]:
    """Times at which the bytes alive change, and how many there are from then on."""
    changes: dict[int, int] = {}
    for start, end, size in lives(problem, choice):
        changes[start] = changes.get(start, 0) + size
        changes[end] = changes.get(end, 0) - size
    times = sorted(changes)
    return zip(times, accumulate(changes[time] for time in times), strict=True)


def lives(problem: Problem, choice: Choice) -> Iterable[tuple[int, int, int]]:
    """Start, end and size of every stretch of memory."""
    for each in problem.fixed:
        yield each.start, each.end, each.size
    for index, tensor in enumerate(problem.tensors):
        ends = [problem.time(tensor.last_node) + 2]
        ends += [problem.time(read.position) + 2 - read.early for read in tensor.forward]
        again: list[int] = []
        if tensor.kept:
            ends.append(problem.end)
        for read in tensor.backward:
            second = (index, read.position) in choice.again
            (again if second else ends).append(problem.time(read.position) + 2 - read.early)
        for read in tensor.forward:
            reader = problem.unit_of[read.position]
            if reader in choice.slots:
                time = problem.time_again(read.position, choice.slots[reader]) + 2 - read.early
                (again if (index, reader) in choice.again_in else ends).append(time)
        if not tensor.optional or len(ends) > 1:
            yield problem.time(tensor.node) + tensor.late, max(ends), tensor.size
        slot = choice.slots.get(tensor.unit)
        if slot is not None and (again or not tensor.optional):
            end = problem.time_again(tensor.last_node, slot) + 2
            yield problem.time_again(tensor.node, slot) + tensor.late, max(end, *again, 0), tensor.size


def pose(schedule: Sequence[Node], results: Iterable[Value], sample: Value | None = None) -> Problem:
    """The question for a schedule whose forward nodes come first. results: values read behind the last node.

    sample: the network's input, if it lies in the arena. It is a tensor of a unit without nodes, which never runs
    again, and lives as long as anybody reads it.
    """
    return _Posing(schedule, tuple(results), sample).run()


class _Posing:
    """The state of one walk over the schedule."""

    def __init__(self, schedule: Sequence[Node], results: tuple[Value, ...], sample: Value | None) -> None:
        self._sample = sample
        self._root = roots(schedule)
        self._results = {self._root.get(value.name, value.name) for value in results}
        self._nodes = [node for node in schedule if not operator_of(node).view]
        self._readers = self._find_readers()
        self._joined = self._join()
        self._nodes = self._in_units()
        self._readers = self._find_readers()
        self._position = {id(node): position for position, node in enumerate(self._nodes)}
        self._defined = {value.name for node in self._nodes for value in node.outputs}
        self._defined |= {sample.name} if sample is not None else set()
        self._forward = sum(node.phase is Phase.FORWARD for node in self._nodes)
        self._updates: dict[str, list[int]] = {}  # name to the positions of the nodes that update it
        for position, node in enumerate(self._nodes):
            for _, index in operator_of(node).mutates:
                self._updates.setdefault(self._name(node.inputs[index]), []).append(position)

    def _name(self, value: Value) -> str:
        return self._root.get(value.name, value.name)

    def _find_readers(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self._nodes:
            for name in dict.fromkeys(self._name(value) for value in node.inputs):
                found.setdefault(name, []).append(node)
        return found

    def _join(self) -> dict[int, Node]:
        """Node, by its id, to the node whose output it writes over and alone reads."""
        producer = {node.outputs[0].name: node for node in self._nodes if node.phase is Phase.FORWARD}
        order = {id(node): position for position, node in enumerate(self._nodes)}
        joined: dict[int, Node] = {}
        for node in self._nodes:
            if node.phase is not Phase.FORWARD:
                continue
            sources = [
                producer[name]
                for name in overwritable(node, self._root)
                if name in producer and name not in self._results and self._readers[name] == [node]
            ]
            sources = [each for each in sources if not self._feeds_forward(each) and not operator_of(each).mutates]
            if sources:
                joined[id(node)] = max(sources, key=lambda each: order[id(each)])
        return joined

    def _feeds_forward(self, node: Node) -> bool:
        """Whether a forward node reads a mask or an index that `node` leaves."""
        readers = [reader for value in node.outputs[1:] for reader in self._readers.get(value.name, ())]
        return any(reader.phase is Phase.FORWARD for reader in readers)

    def _in_units(self) -> list[Node]:
        """The nodes, each directly behind the one that it is joined to."""
        early = {id(node) for node in self._joined.values()}
        order: list[Node] = []
        for node in self._nodes:
            if id(node) in early:
                continue
            chain = [node]
            while id(chain[-1]) in self._joined:
                chain.append(self._joined[id(chain[-1])])
            order.extend(reversed(chain))
        return order

    def run(self) -> Problem:
        unit_of: list[int] = []
        for node in self._nodes[: self._forward]:
            joins = id(node) in self._joined
            unit_of.append(unit_of[-1] if joins else (unit_of[-1] + 1 if unit_of else 0))
        bounds: dict[int, tuple[int, int]] = {}
        for position, unit in enumerate(unit_of):
            bounds[unit] = (bounds.get(unit, (position, 0))[0], position)
        units = tuple(self._unit(first, last) for first, last in bounds.values())
        bare = Problem(tuple(self._nodes), self._forward, units, tuple(unit_of), (), (), sum(map(work, self._nodes)))
        tensors = tuple(self._tensors(bare))
        if self._sample is not None:
            tensors += (self._tensor(self._sample, len(units), 0, -1),)
            units += (Unit(0, -1, 0, latest=-1),)
        fixed = tuple(self._fixed(bare))
        return Problem(bare.nodes, bare.forward, units, bare.unit_of, tensors, fixed, bare.work)

    def _unit(self, first: int, last: int) -> Unit:
        nodes = self._nodes[first : last + 1]
        reads = {self._name(value) for node in nodes for value in node.inputs}
        updates = tuple(sorted(position for name in reads for position in self._updates.get(name, ())))
        return Unit(first, last, sum(map(_work_again, nodes)), min(updates, default=len(self._nodes) - 1), updates)

    def _tensors(self, problem: Problem) -> Iterable[Tensor]:
        """What the forward nodes leave in the arena."""
        for unit, bounds in enumerate(problem.units):
            main = self._nodes[bounds.first : bounds.last + 1]
            yield self._tensor(main[-1].outputs[0], unit, bounds.first, bounds.last)
            for position in range(bounds.first, bounds.last + 1):
                for value in self._nodes[position].outputs[1:]:
                    yield self._tensor(value, unit, position, position, optional=True)
                for value in operator_of(self._nodes[position]).scratch(self._nodes[position]):
                    yield self._tensor(value, unit, position, position)

    def _tensor(self, value: Value, unit: int, node: int, last: int, *, optional: bool = False) -> Tensor:
        reads = [
            Read(self._position[id(reader)], self._overwrites(reader, value.name))
            for reader in self._readers.get(value.name, ())
        ]
        late = last >= node and value == self._nodes[last].outputs[0] and self._is_late(self._nodes[node])
        return Tensor(
            value.name, _aligned(value), unit, node, last, late, optional, value.name in self._results,
            tuple(read for read in reads if read.position < self._forward),
            tuple(read for read in reads if read.position >= self._forward),
        )  # fmt: skip

    def _overwrites(self, reader: Node, name: str) -> bool:
        """Whether `reader` may write over what it reads. Where it writes over another input, it does not."""
        return id(reader) not in self._joined and name in overwritable(reader, self._root)

    def _is_late(self, node: Node) -> bool:
        """Whether the output of `node` may lie where one of its inputs lies, in the arena."""
        return any(name in self._defined for name in overwritable(node, self._root))

    def _fixed(self, problem: Problem) -> Iterable[Fixed]:
        """Gradients and scratch of the nodes behind the forward pass."""
        for position in range(self._forward, len(self._nodes)):
            node = self._nodes[position]
            time = problem.time(position)
            in_place = {output for output, _ in operator_of(node).mutates}
            for index, value in enumerate(node.outputs):
                if index in in_place:
                    continue
                readers = self._readers.get(value.name, ())
                early = [value.name in overwritable(reader, self._root) for reader in readers]
                reads = tuple(
                    Read(self._position[id(reader)], each) for reader, each in zip(readers, early, strict=True)
                )
                kept = value.name in self._results
                late = index == 0 and self._is_late(node)
                ends = (problem.time(read.position) + 2 - read.early for read in reads)
                end = max([time + 2, problem.end if kept else 0, *ends])
                yield Fixed(time + late, end, _aligned(value), position, late, kept, reads)
            for value in operator_of(node).scratch(node):
                yield Fixed(time, time + 2, _aligned(value), position)


def precedences(schedule: Sequence[Node], problem: Problem) -> list[set[int]]:
    """For each node of `problem`, the positions of those that must run before it, for whatever reason."""
    needs = dependencies(schedule)
    position = {id(node): index for index, node in enumerate(problem.nodes)}
    found: list[set[int]] = [set() for _ in problem.nodes]
    before: list[set[int]] = []  # by place in the schedule, what must run before whoever reads it
    for node, need in zip(schedule, needs, strict=True):
        others = {other for index in need for other in before[index]}
        index = position.get(id(node))
        before.append(others if index is None else {index})
        if index is not None:
            found[index] = others
    return found


def roots(schedule: Iterable[Node]) -> dict[str, str]:
    """Name of a view, or of an output that is written where an input lies, to whose memory it uses."""
    found: dict[str, str] = {}
    for node in schedule:
        operator = operator_of(node)
        for output, index in (*operator.mutates, *(((0, 0),) if operator.view else ())):
            if output < len(node.outputs):
                source = node.inputs[index].name
                found[node.outputs[output].name] = found.get(source, source)
    return found


def overwritable(node: Node, root: Mapping[str, str]) -> list[str]:
    """Names of the memory that the first output of `node` may take over."""
    operator = operator_of(node)
    if any(output == 0 for output, _ in operator.mutates):
        return []
    size = node.outputs[0].type.bytes
    sources = [node.inputs[index] for output, index in operator.inplace if output == 0 and index < len(node.inputs)]
    return [root.get(value.name, value.name) for value in sources if value.type.bytes == size]


def _work_again(node: Node) -> int:
    """Estimated instructions of a second run, for which masks and indices need not be written: one run writes them."""
    return work(replace(node, outputs=node.outputs[:1]))


def _aligned(value: Value) -> int:
    return -(-value.type.bytes // ALIGNMENT) * ALIGNMENT
