"""What each piece costs by itself, taken apart so that sets of pieces can share it.

The backward pass of a deep layer runs back through every layer behind it, and keeps what these need. Two pieces share
whatever both keep and both run, so a set costs the union of its pieces' parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from micrograft.ir.graph import Node, Phase
from micrograft.ir.types import Value
from micrograft.planning.lifetimes import lifetimes, live_bytes
from micrograft.planning.memory import MemoryMap
from micrograft.planning.plan import Buffer, Plan, Purpose
from micrograft.planning.work import work


@dataclass(frozen=True)
class Forward:
    """The network as it came. alive: bytes at each of its nodes. nodes: they. ends: name of each value to the node
    behind which its memory is free."""

    nodes: tuple[Node, ...]
    alive: tuple[int, ...]
    ends: Mapping[str, int]

    @property
    def work(self) -> int:
        """Estimated instructions."""
        return sum(map(work, self.nodes))


@dataclass(frozen=True)
class Cost:
    """Of training one set of pieces.

    own: bytes of trained parameters and optimizer state. written: of the parameters alone, as a save writes them.
    kept: name of a tensor that is kept for the backward pass to its bytes. since: name of such a tensor to the node of
    the forward pass from which on it is there in addition to what the forward pass holds itself. transient: the most
    bytes alive beside them at once in the backward pass.
    ways: what runs beside the forward pass as it came, to its estimated instructions.
    """

    own: int
    written: int
    kept: Mapping[str, int]
    since: Mapping[str, int]
    transient: int
    ways: Mapping[str, int]


FREE = Cost(0, 0, {}, {}, 0, {})


def forward_of(nodes: Sequence[Node], outputs: Sequence[Value], sample: Value | None) -> Forward:
    """What predicting holds, node by node, the sample included."""
    buffers = lifetimes(nodes, outputs, sample).buffers
    alive = live_bytes(buffers)
    ends = {name: buffer.last + 1 for buffer in buffers for name in buffer.values}
    return Forward(tuple(nodes), (*alive, *([0] * (len(nodes) - len(alive)))), ends)


def cost_of(plan: Plan, memory: MemoryMap, forward: Forward) -> Cost:
    """What a planned step costs."""
    kept = [buffer for buffer in plan.buffers if _is_kept(buffer, plan)]
    others = [buffer for buffer in plan.buffers if not _is_kept(buffer, plan)]
    alive = live_bytes(others)
    behind = (alive[i] for i, node in enumerate(plan.schedule) if node.phase is not Phase.FORWARD and i < len(alive))
    ways = _work_by_key(plan.schedule)
    before = _work_by_key(forward.nodes)
    return Cost(
        memory.state_bytes + memory.optimizer_bytes,
        memory.state_bytes,
        {buffer.values[0]: buffer.size for buffer in kept},
        {buffer.values[0]: _since(buffer, forward) for buffer in kept},
        max(behind, default=0),
        {key: amount - before.get(key, 0) for key, amount in ways.items() if amount > before.get(key, 0)},
    )


def _is_kept(buffer: Buffer, plan: Plan) -> bool:
    """Whether the backward pass reads it."""
    read_behind = plan.schedule[buffer.last].phase is not Phase.FORWARD
    return buffer.purpose is Purpose.ACTIVATION or (buffer.purpose is Purpose.SAMPLE and read_behind)


def union(costs: Sequence[Cost]) -> Cost:
    """What sets of pieces cost together."""
    kept: dict[str, int] = {}
    ways: dict[str, int] = {}
    since: dict[str, int] = {}
    for cost in costs:
        since |= cost.since
        for name, size in cost.kept.items():
            kept[name] = max(size, kept.get(name, 0))
        for name, amount in cost.ways.items():
            ways[name] = max(amount, ways.get(name, 0))
    own, written = (sum(each) for each in ([cost.own for cost in costs], [cost.written for cost in costs]))
    return Cost(own, written, kept, since, max((cost.transient for cost in costs), default=0), ways)


def ram_of(cost: Cost, forward: Forward) -> int:
    """bytes of trained parameters, optimizer state and arena, by the model that the solver has too."""
    there = list(forward.alive)
    for name, size in cost.kept.items():
        for position in range(cost.since[name], len(there)):
            there[position] += size
    return cost.own + max([sum(cost.kept.values()) + cost.transient, *there])


def _since(buffer: Buffer, forward: Forward) -> int:
    """From where on a tensor is there because it is kept."""
    if buffer.values[0] in forward.ends:
        return forward.ends[buffer.values[0]]
    return max((i for i, node in enumerate(forward.nodes) if node.origin == buffer.layer), default=0)


def _work_by_key(nodes: Sequence[Node]) -> dict[str, int]:
    """Nodes that two plans have in common are the same operation of the same layer in the same phase."""
    found: dict[str, int] = {}
    for node in nodes:
        phase = "" if node.phase is Phase.FORWARD else node.phase.value
        key = f"{node.origin}:{node.op}:{phase}"
        found[key] = found.get(key, 0) + work(node)
    return found
