"""How a network is adapted: everything that a plan follows from, beside the network itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Integral
from typing import Literal, get_args

import numpy as np

from micrograft.boards import Board
from micrograft.errors import MicrograftError
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD, Clip, Optimizer
from micrograft.peft.method import Method

Gradients = Literal["float32", "int16", "int8"]
"""What the gradients of an int8 network are computed in."""

GRADIENTS: tuple[Gradients, ...] = get_args(Gradients)
"""The most bits first."""

Additions = Literal["float32", "int16", "int8"]
"""What an int8 network's adapters and head are held in."""

ADDITIONS: tuple[Additions, ...] = get_args(Additions)


@dataclass(frozen=True)
class Recipe:
    """How a network is adapted.

    methods: what is trained. clip: each tensor's gradient by its own norm unless told otherwise, so that updates
    run at once; None for none. accumulate: samples per update. seed: of new parameters, and of the rounding of
    trained codes. name: prefix of all C names. arena: bytes that the training step's arena may have or, below 1.0,
    a share of what it would have; forward values are computed again, as few as possible, where that makes it fit.
    None for no limit. gradients: of an int8 network, in float32, or in integers with a scale that follows the data.
    additions: an int8 network's adapters and head, in float32 or in codes, int16 ones being masters of int8.
    truncate: steps after which the gradients of recurrent layers no longer flow back; 0 lets them flow through all.
    reversible: what additive couplings read is rebuilt from what they gave, within rounding, wherever that makes the
    arena smaller.
    """

    methods: tuple[Method, ...]
    optimizer: Optimizer = field(default_factory=SGD)
    loss: str = "cross_entropy"
    clip: Clip | None = field(default_factory=Clip)
    accumulate: int = 1
    seed: int = 0
    name: str = "model"
    arena: int | float | None = None
    gradients: Gradients = "float32"
    additions: Additions = "float32"
    truncate: int = 0
    reversible: bool = True

    def __post_init__(self) -> None:
        """Raises MicrograftError for what is no such setting: a person, or a record, may say anything."""
        share = isinstance(self.arena, float) and 0 < self.arena <= 1
        right = {
            "loss": isinstance(self.loss, str),
            "accumulate": is_whole(self.accumulate),
            "seed": is_whole(self.seed, 0),
            "name": isinstance(self.name, str),
            "arena": self.arena is None or share or is_whole(self.arena, 1),
            "gradients": self.gradients in GRADIENTS,
            "additions": self.additions in ADDITIONS,
            "truncate": is_whole(self.truncate, 0),
            "reversible": isinstance(self.reversible, bool),
        }
        for name in (name for name, fits in right.items() if not fits):
            raise MicrograftError(f"{getattr(self, name)!r} is no {name} of a recipe")


def is_whole(value: object, least: float = -math.inf) -> bool:
    """Whether it is a whole number of at least `least`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def usual_gradients(board: Board | None) -> Gradients:
    """What gradients are computed in unless a person says otherwise: integers where a core has no float unit."""
    return "float32" if board is None or board.fpu else "int16"


def usual_loss(y: Array | None) -> str:
    """The loss for targets of this kind: cross-entropy for class indices, the mean squared error for numbers."""
    return "cross_entropy" if y is None or np.issubdtype(y.dtype, np.integer) else "mse"
