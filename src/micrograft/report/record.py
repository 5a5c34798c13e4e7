"""The records that every face of micrograft shows: what a plan costs, what a training did.

Sizes are in bytes. Each figure's kind is in its name or its docstring: planned, measured or emulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from micrograft.planning.memory import Ram
from micrograft.planning.plan import Recomputation
from micrograft.quantization.noise import LayerNoise


@dataclass(frozen=True)
class Flash:
    """Flash in bytes, as linked. tables: weights and what trained parameters start from."""

    code: int
    tables: int

    @property
    def total(self) -> int:
        return self.code + self.tables

    def to_json(self) -> dict[str, int]:
        return {"total": self.total, **asdict(self)}


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one training step. update: one for each parameter that is moved."""

    forward: int
    backward: int
    update: int


@dataclass(frozen=True)
class Share:
    """Bytes that are alive at the peak of the training step, by the user's layer and by purpose."""

    layer: str
    purpose: str
    bytes: int


@dataclass(frozen=True)
class Bill:
    """What a way of adapting a network costs on a board, before anything is flashed.

    arena_least: bytes; it is proven that no placement of the same buffers needs fewer words. recomputation: what runs
    twice so that the arena fits its budget.
    """

    network: str
    board: str
    method: str
    optimizer: str
    ram: Ram
    ram_available: int
    flash: Flash
    flash_available: int
    arena_lower_bound: int
    backpropagation_ram: int
    trainable_parameters: int
    parameters: int
    macs: Macs
    peak: tuple[Share, ...]
    arena_least: int = 0
    recomputation: Recomputation | None = None

    @property
    def fits(self) -> bool:
        return self.ram.total <= self.ram_available and self.flash.total <= self.flash_available

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "fits": self.fits,
            "ram": self.ram.to_json(),
            "flash": self.flash.to_json(),
        }


@dataclass(frozen=True)
class TrainRecord:
    """What a training did. Accuracies are shares of 1 (None where the loss has no classes).

    on: "host" or "emulator". instructions_per_step, ram_measured: emulated, None on the host.
    """

    bill: Bill | None
    on: str
    steps: int
    losses: tuple[float, ...]
    accuracy_before: float | None
    accuracy_after: float | None
    loss_before: float
    loss_after: float
    instructions_per_step: int | None = None
    ram_measured: Ram | None = None

    def to_json(self) -> dict[str, Any]:
        found: Mapping[str, Any] = {
            "on": self.on,
            "steps": self.steps,
            "accuracy_before": self.accuracy_before,
            "accuracy_after": self.accuracy_after,
            "loss_first": self.losses[0] if self.losses else None,
            "loss_last": self.losses[-1] if self.losses else None,
            "loss_before": self.loss_before,
            "loss_after": self.loss_after,
            "losses": list(self.losses),
            "instructions_per_step": self.instructions_per_step,
            "ram_measured": self.ram_measured.to_json() if self.ram_measured else None,
            "plan": self.bill.to_json() if self.bill else None,
        }
        return dict(found)


@dataclass(frozen=True)
class QuantizationRecord:
    """What a network loses in int8. layers: in order. weights: bytes of parameters and tables, as planned.

    accuracy: measured shares of 1 on labelled samples, None without. same_class: share of samples to which both
    networks answer the same class.
    """

    layers: tuple[LayerNoise, ...]
    samples: int
    weights_float32: int
    weights_int8: int
    judged: int = 0
    accuracy_float32: float | None = None
    accuracy_int8: float | None = None
    same_class: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
