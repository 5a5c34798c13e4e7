"""How a network is adapted: everything that a plan follows from, beside the network itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from micrograft.passes.attach_optimizer import SGD, Clip, Optimizer
from micrograft.peft.method import Method


@dataclass(frozen=True)
class Recipe:
    """How a network is adapted.

    methods: what is trained. clip: each tensor's gradient by its own norm unless told otherwise, so that updates
    run at once; None for none. accumulate: samples per update. seed: of new parameters, and of the rounding of
    trained codes. name: prefix of all C names. arena: bytes that the training step's arena may have or, below 1.0,
    a share of what it would have; forward values are computed again, as few as possible, where that makes it fit.
    None for no limit.
    """

    methods: tuple[Method, ...]
    optimizer: Optimizer = field(default_factory=SGD)
    loss: str = "cross_entropy"
    clip: Clip | None = field(default_factory=Clip)
    accumulate: int = 1
    seed: int = 0
    name: str = "model"
    arena: int | float | None = None
