"""What the planner answers: the order of the nodes, every buffer's place, the exact peak."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from micrograft.ir.graph import Node

ALIGNMENT = 4
"""Bytes: every buffer starts at a multiple of it."""


class Purpose(enum.Enum):
    """Why a buffer is there."""

    ACTIVATION = "activation kept for the backward pass"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    WORKSPACE = "workspace"


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
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True)
class Plan:
    """A schedule and the arena that it needs.

    schedule: the nodes in the order in which they run. aliases: name of every value to the name of the value
    whose memory it uses (itself, a parameter, an input, or the first value of its buffer). arena: bytes,
    exact. lower_bound: bytes, the largest sum of buffers alive at once; no placement can be smaller.
    """

    schedule: tuple[Node, ...]
    aliases: dict[str, str]
    buffers: tuple[Buffer, ...]
    arena: int
    lower_bound: int

    def live(self, position: int) -> tuple[Buffer, ...]:
        """The buffers that are alive while node `position` runs."""
        return tuple(buffer for buffer in self.buffers if buffer.first <= position <= buffer.last)

    @property
    def peak_position(self) -> int:
        """Position of the node at which most bytes are alive."""
        return max(range(len(self.schedule)), key=lambda i: sum(buffer.size for buffer in self.live(i)), default=0)
