"""Quantization-aware training: a float network learns, in PyTorch on this computer, to be an int8 one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.quantization.fake_quantized import FakeQuantized
from micrograft.quantization.observers import Ranges

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (batch, ...) and targets to the mean loss."""

Augment = Callable[[Array, np.random.Generator], Array]
"""A batch of samples, in the network's own layout, to one like it."""

Progress = Callable[[int, int, float], None]
"""Called with (steps done, steps in all, loss)."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: Adam, its rate falling to 0 along a cosine, samples shuffled from `seed`."""

    epochs: int = 5
    batch: int = 32
    lr: float = 1e-3
    seed: int = 0


def train(
    floats: Graph,
    ranges: Ranges,
    x: Array,
    y: Array,
    schedule: Schedule,
    loss: str | Loss = "cross_entropy",
    *,
    augment: Augment | None = None,
    progress: Progress | None = None,
) -> tuple[Graph, Ranges]:
    """The network with trained weights and the ranges of its activations, ready for `quantize`.

    floats: with its batch norms folded. ranges: to start from. x: (n, *input shape) in the network's own layout; y:
    class indices or numbers. loss: by name, or a function, which reads the network's answers. Raises MicrograftError
    where an operator has no meaning in PyTorch, or the loss stops being finite.
    """
    module = FakeQuantized(floats, ranges).train()
    error = _loss(loss)
    skipped = _SKIPPED.get(loss, ()) if isinstance(loss, str) else ()
    generator = np.random.default_rng(schedule.seed)
    optimizer = torch.optim.Adam(module.groups(schedule.lr))
    total = schedule.epochs * -(-len(x) // schedule.batch)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(total, 1))
    for step, chosen in enumerate(_batches(len(x), schedule, generator), start=1):
        samples = x[chosen] if augment is None else augment(x[chosen], generator)
        optimizer.zero_grad()
        value = error(module.before(module.inputs(samples), skipped), torch.from_numpy(y[chosen]))
        if not torch.isfinite(value):
            raise MicrograftError(f"the loss is {float(value)} at step {step}", where="training", fix="lower the rate")
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay.step()
        if progress is not None:
            progress(step, total, float(value))
    return module.graph(), module.ranges()


def _batches(count: int, schedule: Schedule, generator: np.random.Generator) -> Iterable[Array]:
    for _ in range(schedule.epochs):
        order = generator.permutation(count)
        yield from (order[first : first + schedule.batch] for first in range(0, count, schedule.batch))


def _loss(loss: str | Loss) -> Loss:
    if callable(loss):
        return loss
    if loss not in _LOSSES:
        raise MicrograftError(f"there is no loss {loss!r}", fix=f"use one of {', '.join(_LOSSES)}")
    return _LOSSES[loss]


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1).long())


_LOSSES: Mapping[str, Loss] = {
    "cross_entropy": _cross_entropy,
    "mse": lambda y, target: F.mse_loss(y, target.reshape(y.shape).to(y.dtype)),
    "bce": lambda y, target: F.binary_cross_entropy_with_logits(y, target.reshape(y.shape).to(y.dtype)),
}

_SKIPPED: Mapping[str, tuple[str, ...]] = {
    "cross_entropy": ("argmax", "softmax", "log_softmax"),
    "bce": ("sigmoid",),
}
"""What may end a network behind the logits that a loss reads."""
