"""Where a training step's memory goes: what is alive when, what makes the peak, and what would lower it.

All sizes are bytes and planned; the work of a step is estimated, as `planning/work.py` states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from micrograft.ir.graph import Phase
from micrograft.planning.lifetimes import live_bytes
from micrograft.planning.plan import Plan


@dataclass(frozen=True)
class Tensor:
    """What one layer holds for one purpose. alive: bytes at each operation of the step. at_peak: bytes at the peak."""

    layer: str
    purpose: str
    alive: tuple[int, ...]
    at_peak: int

    @property
    def most(self) -> int:
        """bytes, at any operation"""
        return max(self.alive)

    @property
    def first(self) -> int:
        """Position of the first operation at which it is alive."""
        return next(i for i, size in enumerate(self.alive) if size)

    @property
    def last(self) -> int:
        """Position of the last operation at which it is alive."""
        return len(self.alive) - 1 - next(i for i, size in enumerate(reversed(self.alive)) if size)


@dataclass(frozen=True)
class Change:
    """Something that could be done instead, as it was planned.

    what: in words. words: options of the command line that ask for it. ram, arena: bytes more (less below zero) than
    now, of all RAM but the stack and of the arena. work: share of a step's estimated instructions more. trainable:
    numbers trained then.
    """

    what: str
    words: str
    ram: int
    arena: int
    work: float
    trainable: int


@dataclass(frozen=True)
class Explanation:
    """alive: bytes at each operation. forward: operations of the forward pass. peak: position of the operation at
    which most is alive, which is `operation` of `layer`. changes: what would lower RAM, what saves most first."""

    arena: int
    lower_bound: int
    alive: tuple[int, ...]
    forward: int
    peak: int
    operation: str
    layer: str
    tensors: tuple[Tensor, ...]
    changes: tuple[Change, ...] = ()

    def drawn(self, count: int) -> tuple[Tensor, ...]:
        """The `count` tensors that matter most, those alive at the peak before others, in their order of life."""
        chosen = sorted(self.tensors, key=lambda tensor: (-tensor.at_peak, -tensor.most))[:count]
        return tuple(tensor for tensor in self.tensors if tensor in chosen)

    def to_json(self) -> dict[str, Any]:
        return {
            "arena": self.arena,
            "arena_lower_bound": self.lower_bound,
            "operations": len(self.alive),
            "forward_operations": self.forward,
            "alive": list(self.alive),
            "peak": {
                "position": self.peak,
                "operation": self.operation,
                "layer": self.layer,
                "bytes": self.alive[self.peak],
            },
            "tensors": [
                {
                    "layer": tensor.layer,
                    "purpose": tensor.purpose,
                    "first": tensor.first,
                    "last": tensor.last,
                    "bytes": tensor.most,
                    "bytes_at_peak": tensor.at_peak,
                }
                for tensor in self.tensors
            ],
            "changes": [asdict(change) for change in self.changes],
        }


def explain_plan(plan: Plan, changes: Sequence[Change] = ()) -> Explanation:
    """The memory over a step, by layer and purpose, in the order in which it comes to life."""
    steps, peak = len(plan.schedule), plan.peak_position
    found: dict[tuple[str, str], list[int]] = {}
    for buffer in plan.buffers:
        alive = found.setdefault((buffer.layer, buffer.purpose.value), [0] * steps)
        for position in range(buffer.first, buffer.last + 1):
            alive[position] += buffer.size
    tensors = [Tensor(*key, tuple(alive), alive[peak]) for key, alive in found.items() if any(alive)]
    alive = live_bytes(plan.buffers)
    node = plan.schedule[peak]
    return Explanation(
        arena=plan.arena,
        lower_bound=plan.lower_bound,
        alive=(*alive, *([0] * (steps - len(alive)))),
        forward=sum(node.phase is Phase.FORWARD for node in plan.schedule),
        peak=peak,
        operation=node.op,
        layer=node.origin,
        tensors=tuple(sorted(tensors, key=lambda tensor: (tensor.first, -tensor.last))),
        changes=tuple(sorted(changes, key=lambda change: (change.ram, change.work))),
    )
