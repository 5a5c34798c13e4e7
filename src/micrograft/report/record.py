"""The records that every face of micrograft shows: what a plan costs, what a training did.

Sizes are in bytes. Each figure's kind is in its name or its docstring: planned, measured or emulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    twice so that the arena fits its budget. instructions: of a step, estimated; None for a core without a float unit.
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
    instructions: int | None = None

    @property
    def fits(self) -> bool:
        return self.ram.total <= self.ram_available and self.flash.total <= self.flash_available

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "fits": self.fits,
            "ram": self.ram.to_json(),
            "flash": self.flash.to_json(),
            "recomputation": self.recomputation.to_json() if self.recomputation else None,
        }


@dataclass(frozen=True)
class Option:
    """A plan that was tried. words: options of the command line that ask for it. text: the method for people. bill:
    planned.

    accuracy, loss: measured on what was held out, None where nothing was learned. instructions: of a step, emulated
    where `counted`, else estimated. problem: why it cannot be taken, "" where it can.
    """

    words: Mapping[str, str]
    bill: Bill | None
    accuracy: float | None
    loss: float | None
    instructions: int | None
    counted: bool
    problem: str = ""
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        bill = self.bill
        return {
            **self.words,
            "fits": not self.problem,
            "problem": self.problem,
            "ram": bill.ram.total if bill else None,
            "flash": bill.flash.total if bill else None,
            "trainable_parameters": bill.trainable_parameters if bill else None,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "instructions_per_step": self.instructions,
            "instructions_are": "emulated" if self.counted else "estimated",
        }


@dataclass(frozen=True)
class Choice:
    """options: ranked by `rule`, the first one is taken; those that cannot be taken stand at the end.

    why: in a sentence, and another where something smaller may be as good. accuracy_before: of the network as it came,
    on what was held out.
    """

    options: Sequence[Option]
    rule: str
    why: str
    accuracy_before: float | None = None

    @property
    def taken(self) -> Option | None:
        """The best one, None where none fits."""
        return next((option for option in self.options if not option.problem), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "why": self.why,
            "accuracy_before": self.accuracy_before,
            "taken": self.taken.to_json() if self.taken else None,
            "options": [option.to_json() for option in self.options],
        }


@dataclass(frozen=True)
class TrainRecord:
    """What a training did. Accuracies are shares of 1 (None where the loss has no classes).

    on: "host" or "emulator". instructions_per_step, ram_measured: emulated, None on the host. choice: how its method
    was chosen, where micrograft did.
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
    choice: Choice | None = None

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
            **({"auto": self.choice.to_json()} if self.choice else {}),
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
