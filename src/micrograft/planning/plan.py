"""What the planner answers: the order of the nodes, every buffer's place, the exact peak."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass

from micrograft.ir.graph import Node
from micrograft.ir.types import Value

ALIGNMENT = 4
"""Bytes: every buffer starts at a multiple of it."""


class Purpose(enum.Enum):
    """Why a buffer is there."""

    ACTIVATION = "activation kept for the backward pass"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    WORKSPACE = "workspace"
    SAMPLE = "sample"


@dataclass(frozen=True)
class Buffer:
    """A stretch of the arena. Values that share it never need it at the same time, or are the same bytes.

    values: names, in the order of definition. offset, size: bytes. first, last: positions in the schedule
    between which it is alive, both included. layer: the user's layer that defines it.
    """

    values: tuple[str, ...]
    size: int
    first: int
    last: int
    purpose: Purpose
    layer: str
    offset: int = 0

    @property
    def fixed(self) -> bool:
        """Whether it must lie at offset 0: every function reads the sample where the application wrote it."""
        return self.purpose is Purpose.SAMPLE

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True)
class Recomputation:
    """What is spent twice, in estimated instructions.

    nodes: how many run again. extra: their work. step: the work of a step without them. bound: proven; no answer
    within the budget has less extra work, whatever the order of operations. order_bound: likewise, in this order.
    """

    nodes: int
    extra: int
    step: int
    bound: int
    order_bound: int

    @property
    def share(self) -> float:
        """The extra work as a share of the step's."""
        return self.extra / max(self.step, 1)

    @property
    def gap(self) -> float:
        """How much of a step's work the best answer in any order may at most save over this one."""
        return (self.extra - self.bound) / max(self.step, 1)

    @property
    def order_gap(self) -> float:
        """Likewise the best answer in this order; 0 where this is proven best."""
        return (self.extra - self.order_bound) / max(self.step, 1)

    @property
    def proven(self) -> bool:
        """Whether it is best in this order, but for what a solver of double precision cannot tell from it."""
        return self.order_gap < 1e-6

    def to_json(self) -> dict[str, float]:
        return {**asdict(self), "share": self.share, "gap": self.gap, "order_gap": self.order_gap}


@dataclass(frozen=True)
class Plan:
    """A schedule and the arena that it needs.

    schedule: the nodes in the order in which they run. aliases: name of every value to the name of the value
    whose memory it uses (itself, a parameter, an input, or the first value of its buffer). arena: bytes,
    exact. lower_bound: bytes, the largest sum of buffers alive at once; no placement can be smaller.
    least_arena: bytes; it is proven that no placement of these buffers needs fewer words. recomputation: what
    runs twice so that the arena fits its budget, None where nothing needs to. sample: the network's input.
    """

    schedule: tuple[Node, ...]
    aliases: dict[str, str]
    buffers: tuple[Buffer, ...]
    arena: int
    lower_bound: int
    least_arena: int = 0
    recomputation: Recomputation | None = None
    sample: Value | None = None

    def live(self, position: int) -> tuple[Buffer, ...]:
        """The buffers that are alive while node `position` runs."""
        return tuple(buffer for buffer in self.buffers if buffer.first <= position <= buffer.last)

    @property
    def peak_position(self) -> int:
        """Position of the node at which most bytes are alive."""
        return max(range(len(self.schedule)), key=lambda i: sum(buffer.size for buffer in self.live(i)), default=0)
