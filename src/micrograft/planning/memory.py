"""The one block of RAM that the application hands over: trained parameters, optimizer state, arena.

[ state | optimizer | arena ]: the first two keep their contents from step to step, the third is scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from micrograft.ir.graph import Param, State
from micrograft.ir.types import Array, Value
from micrograft.planning.plan import ALIGNMENT


@dataclass(frozen=True)
class Ram:
    """RAM in bytes. arena: the sample and the scratch of the largest function. state: trained parameters. optimizer:
    what outlives a step beside them. stack: worst case, read off the linked image (planned) or reached (measured).
    runtime: the library's handle and the application's buffers for a target and an answer."""

    arena: int
    state: int
    optimizer: int
    stack: int
    runtime: int

    @property
    def total(self) -> int:
        return self.arena + self.state + self.optimizer + self.stack + self.runtime

    def to_json(self) -> dict[str, int]:
        return {"total": self.total, **asdict(self)}


@dataclass(frozen=True, eq=False)
class Slot:
    """A tensor that keeps its contents. offset: bytes from the start of the block. initial: in our layout."""

    value: Value
    offset: int
    initial: Array
    source: str

    @property
    def size(self) -> int:
        """bytes"""
        return self.value.type.bytes


@dataclass(frozen=True)
class MemoryMap:
    """Where everything in the block lies; all sizes and offsets in bytes."""

    parameters: tuple[Slot, ...]
    states: tuple[Slot, ...]
    arena: int

    @property
    def state_bytes(self) -> int:
        return sum(_aligned(slot.size) for slot in self.parameters)

    @property
    def optimizer_bytes(self) -> int:
        return sum(_aligned(slot.size) for slot in self.states)

    @property
    def arena_offset(self) -> int:
        return self.state_bytes + self.optimizer_bytes

    @property
    def total(self) -> int:
        return self.arena_offset + self.arena


def lay_out(trainable: Sequence[Param], states: Sequence[State], arenas: Iterable[int]) -> MemoryMap:
    """Parameters first, then states, then an arena large enough for each of the plans that use it."""
    parameters, offset = _slots([(param.value, param.data, param.source) for param in trainable], 0)
    others, _ = _slots([(state.value, state.initial, state.name) for state in states], offset)
    return MemoryMap(parameters, others, max(arenas, default=0))


def _slots(tensors: Iterable[tuple[Value, Array, str]], offset: int) -> tuple[tuple[Slot, ...], int]:
    slots = []
    for value, initial, source in tensors:
        slots.append(Slot(value, offset, initial, source))
        offset += _aligned(value.type.bytes)
    return tuple(slots), offset


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
