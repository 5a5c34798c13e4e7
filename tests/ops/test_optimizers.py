"""The optimizers' C kernels walk the same way as torch.optim, step after step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from micrograft.ir.graph import Attrs
from micrograft.ir.types import Array
from micrograft.ops.optimizers import (
    AccumulateAttrs,
    AdamAttrs,
    AdamRateAttrs,
    ClipScaleAttrs,
    SgdAttrs,
    SgdMomentumAttrs,
)
from tests.ops.c_kernels import Kernels

torch.set_num_threads(1)

SHAPE = (5, 7)
STEPS = 20
RATE = 0.01


def _weight() -> Array:
    weight = np.random.default_rng(0).uniform(0.5, 2.0, SHAPE)
    return (weight * np.random.default_rng(1).choice([-1, 1], SHAPE)).astype(np.float32)


def _gradients(count: int = STEPS) -> Iterator[Array]:
    generator = np.random.default_rng(2)
    for _ in range(count):
        yield (generator.standard_normal(SHAPE) * generator.choice([0.1, 1, 10])).astype(np.float32)


def _scalar(value: float) -> Array:
    return np.array(value, np.float32)


def _walk(kernels: Kernels, op: str, attrs: Attrs, state: Array | None, scale: float | None = None) -> Array:
    """The weight after all steps of an optimizer whose state has one tensor, or none."""
    weight, scales = _weight(), () if scale is None else (_scalar(scale),)
    corrections = np.zeros(2, np.float32)
    for gradient in _gradients():
        rate = _scalar(RATE)
        if isinstance(attrs, AdamAttrs):
            rate_attrs = AdamRateAttrs(attrs.beta1, attrs.beta2)
            rate, corrections = kernels.compute("adam_rate", rate_attrs, rate, corrections)
        states = () if state is None else (state,)
        weight, *rest = kernels.compute(op, attrs, weight, gradient, rate, *states, *scales)
        state = rest[0] if rest else None
    return weight


def _walk_of_pytorch(make: type[torch.optim.Optimizer], scale: float = 1.0, **settings: object) -> Array:
    weight = torch.tensor(_weight(), dtype=torch.float64, requires_grad=True)
    optimizer = make([weight], lr=RATE, **settings)
    for gradient in _gradients():
        weight.grad = scale * torch.from_numpy(gradient).double()
        optimizer.step()
    return np.asarray(weight.detach().numpy())


def _check(ours: Array, theirs: Array) -> None:
    # Twenty updates round the weight twenty times: a part in a million of its size, or of the typical weight.
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [None, 0.25])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_sgd(kernels: Kernels, weight_decay: float, scale: float | None) -> None:
    """sgd is torch.optim.SGD; a scale acts as if the gradient had been multiplied by it."""
    ours = _walk(kernels, "sgd", SgdAttrs(weight_decay), None, scale)
    _check(ours, _walk_of_pytorch(torch.optim.SGD, scale or 1.0, weight_decay=weight_decay))


@pytest.mark.parametrize("scale", [None, 0.25])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_sgd_with_momentum(kernels: Kernels, weight_decay: float, scale: float | None) -> None:
    """sgd_momentum is torch.optim.SGD with momentum, from a momentum of zero on."""
    state = np.zeros(SHAPE, np.float32)
    ours = _walk(kernels, "sgd_momentum", SgdMomentumAttrs(0.9, weight_decay), state, scale)
    _check(ours, _walk_of_pytorch(torch.optim.SGD, scale or 1.0, momentum=0.9, weight_decay=weight_decay))


@pytest.mark.parametrize("scale", [None, 0.25])
@pytest.mark.parametrize(
    ("make", "weight_decay"),
    [(torch.optim.Adam, 0.0), (torch.optim.Adam, 0.05), (torch.optim.AdamW, 0.05)],
    ids=["adam", "adam-decay", "adamw"],
)
def test_adam(kernels: Kernels, make: type[torch.optim.Optimizer], weight_decay: float, scale: float | None) -> None:
    """adam with adam_rate is torch.optim.Adam, and torch.optim.AdamW where decay is decoupled."""
    attrs = AdamAttrs(weight_decay=weight_decay, decoupled=make is torch.optim.AdamW)
    ours = _walk(kernels, "adam", attrs, np.zeros((2, *SHAPE), np.float32), scale)
    _check(ours, _walk_of_pytorch(make, scale or 1.0, weight_decay=weight_decay))


def test_adam_corrections_stay_exact(kernels: Kernels) -> None:
    """After a thousand steps the corrections are 1 − βᵗ within a few parts in a million."""
    corrections = np.zeros(2, np.float32)
    for _ in range(1000):
        _, corrections = kernels.compute("adam_rate", AdamRateAttrs(0.9, 0.999), _scalar(RATE), corrections)
    np.testing.assert_allclose(corrections, [1 - 0.9**1000, 1 - 0.999**1000], rtol=3e-6)


@pytest.mark.parametrize("norm", [0.1, 5.0, 1e6])
def test_clipping(kernels: Kernels, norm: float) -> None:
    """square_sum over several gradients and clip_scale give the factor of torch.nn.utils.clip_grad_norm_."""
    gradients = list(_gradients(3))
    total: tuple[Array, ...] = ()
    for gradient in gradients:
        total = tuple(kernels.compute("square_sum", Attrs(), gradient, *total))
    (scale,) = kernels.compute("clip_scale", ClipScaleAttrs(norm), *total)
    weights = [torch.zeros(SHAPE, dtype=torch.float64, requires_grad=True) for _ in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = torch.from_numpy(gradient).double()
    torch.nn.utils.clip_grad_norm_(weights, norm)
    for weight, gradient in zip(weights, gradients, strict=True):
        assert weight.grad is not None
        np.testing.assert_allclose(scale * gradient, weight.grad.numpy(), rtol=1e-6)


def test_accumulation(kernels: Kernels) -> None:
    """accumulate over k samples with weight 1/k gives the mean gradient, and clear starts afresh."""
    total = np.zeros(SHAPE, np.float32)
    for gradient in _gradients(4):
        (total,) = kernels.compute("accumulate", AccumulateAttrs(0.25), total, gradient)
    np.testing.assert_allclose(total, np.mean(list(_gradients(4)), axis=0), rtol=1e-5, atol=1e-6)
    assert not np.any(kernels.compute("clear", Attrs(), total)[0])
