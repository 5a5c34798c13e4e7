"""What each piece costs by itself, taken apart so that sets of pieces can share it.

The backward pass of a deep layer runs back through every layer behind it, and keeps what these need. Two pieces share
whatever both keep and both run, so a set costs the union of its pieces' parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from micrograft.ir.graph import Node, Phase
from micrograft.planning.memory import MemoryMap
from micrograft.planning.plan import Plan, Purpose
from micrograft.planning.work import work


@dataclass(frozen=True)
class Cost:
    """Of training one set of pieces.

    own: bytes of trained parameters and optimizer state. kept: name of a tensor that is kept for the backward pass to
    its bytes. transient: bytes of the arena beside them. ways: what runs beside the forward pass as it came, to its
    estimated instructions. base: those of the forward pass.
    """

    own: int
    kept: Mapping[str, int]
    transient: int
    ways: Mapping[str, int] = field(default_factory=dict)
    base: int = 0


def cost_of(plan: Plan, memory: MemoryMap, network: Sequence[Node]) -> Cost:
    """What a planned step costs. network: the nodes of the network as it came."""
    kept = {buffer.values[0]: buffer.size for buffer in plan.buffers if buffer.purpose is Purpose.ACTIVATION}
    before: dict[str, int] = {}
    for node in network:
        before[_key(node)] = before.get(_key(node), 0) + work(node)
    ways: dict[str, int] = {}
    for node in plan.schedule:
        ways[_key(node)] = ways.get(_key(node), 0) + work(node)
    extra = {key: amount - before.get(key, 0) for key, amount in ways.items() if amount > before.get(key, 0)}
    return Cost(
        memory.state_bytes + memory.optimizer_bytes,
        kept,
        memory.arena - sum(kept.values()),
        extra,
        sum(before.values()),
    )


def _key(node: Node) -> str:
    """Nodes that two plans have in common: the same operation of the same layer in the same phase."""
    phase = "" if node.phase is Phase.FORWARD else node.phase.value
    return f"{node.origin}:{node.op}:{phase}"
