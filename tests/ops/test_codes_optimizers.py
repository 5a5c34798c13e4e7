"""Codes move as the real numbers that they stand for would: on average, in every bit the same, and never around."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from micrograft.ir.graph import Attrs
from micrograft.ir.types import Array, DType
from micrograft.ops import operators
from micrograft.ops.codes_optimizers import CodesAdamAttrs, CodesMomentumAttrs, CodesSgdAttrs
from micrograft.ops.codes_update import RANGES, Layout, random_words
from micrograft.ops.optimizers import AdamRateAttrs
from tests.ops.c_kernels import Kernels

torch.set_num_threads(1)

SHAPE = (6, 5)
RATE = np.array(0.01, np.float32)
STEPS = 20


def _base(dtype: DType, axis: int | None = 0) -> tuple[Layout, int, int, int]:
    return Layout(axis), *RANGES[dtype], 4711


def _gradients(count: int = STEPS) -> Iterator[Array]:
    generator = np.random.default_rng(2)
    for _ in range(count):
        yield (generator.standard_normal(SHAPE) * generator.choice([0.1, 1, 10])).astype(np.float32)


def _randoms(kernels: Kernels, count: int = STEPS) -> Iterator[Array]:
    random = np.array(123, np.int32)
    for _ in range(count):
        (random,) = kernels.compute("next_random", Attrs(), random)
        yield random


CASES: dict[str, tuple[str, Any, int]] = {
    "sgd": ("codes_sgd", CodesSgdAttrs, 0),
    "momentum": ("codes_sgd_momentum", CodesMomentumAttrs, 1),
    "adam": ("codes_adam", CodesAdamAttrs, 2),
    "adamw": ("codes_adam", lambda *base, **more: CodesAdamAttrs(*base, **more, decoupled=True), 2),
}


def _rates(kernels: Kernels, adam: bool, count: int = STEPS) -> Iterator[Array]:
    """The learning rate, or Adam's three numbers, at each step."""
    corrections = np.zeros(2, np.float32)
    for _ in range(count):
        if adam:
            rate, corrections = kernels.compute("adam_rate", AdamRateAttrs(), RATE, corrections)
        yield rate if adam else RATE


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("dtype", list(RANGES))
@pytest.mark.parametrize("name", CASES)
def test_kernels_give_every_bit_of_the_reference(
    kernels: Kernels, name: str, dtype: DType, weight_decay: float
) -> None:
    """Over twenty updates codes and states are those of the float32 meaning, exactly."""
    op, make, floats = CASES[name]
    attrs = make(*_base(dtype), weight_decay=weight_decay)
    generator = np.random.default_rng(1)
    codes = generator.integers(-127, 128, SHAPE).astype(dtype.numpy)
    scales = generator.uniform(0.005, 0.1, SHAPE[0]).astype(np.float32)
    state = [np.zeros((2, *SHAPE) if floats == 2 else SHAPE, np.float32)][: min(floats, 1)]
    factor = np.array(0.7, np.float32)
    for gradient, rate, random in zip(_gradients(), _rates(kernels, floats == 2), _randoms(kernels), strict=True):
        inputs = (codes, gradient, rate, scales, random, *state, factor)
        expected = operators()[op].evaluate(attrs, inputs)
        codes, *state = kernels.compute(op, attrs, *inputs)
        for ours, theirs in zip((codes, *state), expected, strict=True):
            assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("name", CASES)
def test_fine_codes_walk_as_real_numbers_do_in_pytorch(kernels: Kernels, name: str, weight_decay: float) -> None:
    """Where a code is a millionth the walk is that of torch.optim on the real numbers, but for the rounding."""
    op, make, floats = CASES[name]
    attrs = make(*_base(DType.INT32), weight_decay=weight_decay)
    scales = np.full(SHAPE[0], 1e-6, np.float32)
    real = np.random.default_rng(1).uniform(0.5, 2.0, SHAPE)
    codes = np.rint(real / scales[0]).astype(np.int32)
    weight = torch.tensor(codes * float(scales[0]), requires_grad=True)
    optimizers = {
        "sgd": lambda: torch.optim.SGD([weight], 0.01, weight_decay=weight_decay),
        "momentum": lambda: torch.optim.SGD([weight], 0.01, momentum=0.9, weight_decay=weight_decay),
        "adam": lambda: torch.optim.Adam([weight], 0.01, weight_decay=weight_decay),
        "adamw": lambda: torch.optim.AdamW([weight], 0.01, weight_decay=weight_decay),
    }
    optimizer = optimizers[name]()
    state = [np.zeros((2, *SHAPE) if floats == 2 else SHAPE, np.float32)][: min(floats, 1)]
    for gradient, rate, random in zip(_gradients(), _rates(kernels, floats == 2), _randoms(kernels), strict=True):
        codes, *state = kernels.compute(op, attrs, codes, gradient, rate, scales, random, *state)
        weight.grad = torch.from_numpy(gradient).double()
        optimizer.step()
    np.testing.assert_allclose(codes * float(scales[0]), weight.detach().numpy(), atol=3e-5)


def test_small_steps_do_not_vanish(kernels: Kernels) -> None:
    """Steps of a hundredth of a code move codes by as much on average as they sum up to."""
    shape, scales = (40, 25), np.full(40, 0.05, np.float32)
    gradient = np.full(shape, 0.01 * 0.05 / RATE, np.float32)  # a hundredth of a code
    codes = np.zeros(shape, np.int8)
    attrs = CodesSgdAttrs(*_base(DType.INT8))
    for random in _randoms(kernels, 500):
        (codes,) = kernels.compute("codes_sgd", attrs, codes, gradient, RATE, scales, random)
    # A thousand walks of five steps each: their mean has a standard deviation of 0.07.
    assert codes.mean() == pytest.approx(-5.0, abs=0.3)
    assert codes.std() == pytest.approx(np.sqrt(5.0), rel=0.1)


def test_a_residue_keeps_what_a_step_left_of_a_code(kernels: Kernels) -> None:
    """Every bit of the meaning; and codes stay within half of one, and a random 256th a step, of the real walk."""
    generator = np.random.default_rng(3)
    codes = generator.integers(-100, 100, SHAPE).astype(np.int8)
    scales, residue = np.full(SHAPE[0], 0.05, np.float32), np.zeros(SHAPE, np.int8)
    attrs, real = CodesSgdAttrs(*_base(DType.INT8)), codes.astype(np.float64)
    for gradient, random in zip(_gradients(300), _randoms(kernels, 300), strict=True):
        inputs = (codes, gradient, RATE, scales, random, residue)
        expected = operators()["codes_sgd_residue"].evaluate(attrs, inputs)
        codes, residue = kernels.compute("codes_sgd_residue", attrs, *inputs)
        assert codes.tobytes() == expected[0].tobytes() and residue.tobytes() == expected[1].tobytes()
        real = real - gradient.astype(np.float64) * (0.01 / 0.05)
    inside = np.abs(real) < 100
    assert np.count_nonzero(inside) > 10
    assert np.abs(codes - real)[inside].max() < 0.5 + 4 * np.sqrt(300 / 4) / 256


@pytest.mark.parametrize("dtype", list(RANGES))
def test_codes_saturate_and_never_wrap(kernels: Kernels, dtype: DType) -> None:
    """However large a step is, infinite too, a code stops at the end of its range; one that is no number moves none."""
    low, high = RANGES[dtype]
    steps = np.array([1e30, -1e30, np.inf, -np.inf, np.nan, 0.0, 3.0, -3.0], np.float32)
    codes = np.array([0, 0, low, high, 7, 7, low, high], dtype.numpy)
    attrs = CodesSgdAttrs(*_base(dtype, None))
    one = np.ones(1, np.float32)
    found = codes
    for random in _randoms(kernels, 3):  # an update moves a bias by 2^29 at most
        (found,) = kernels.compute("codes_sgd", attrs, found, steps, one[0], one, random)
    np.testing.assert_array_equal(found, [low, high, low, high, 7, 7, low, high])


def test_random_words_are_even_and_differ_between_tensors_and_updates() -> None:
    """Every bit is set half the time, neighbours do not depend on each other, nor do two tensors or two updates."""
    words = [random_words(random, stream, (1 << 16,)) for random, stream in [(1, 5), (2, 5), (1, 6)]]
    bits = [np.unpackbits(each.view(np.uint8)).reshape(-1, 32) for each in words]
    for each in bits:
        assert np.abs(each.mean(axis=0) - 0.5).max() < 0.01
    uniform = [each.astype(np.float64) / 2**32 - 0.5 for each in words]
    pairs = [(uniform[0][1:], uniform[0][:-1]), (uniform[0], uniform[1]), (uniform[0], uniform[2])]
    for left, right in pairs:
        assert abs(np.mean(left * right)) * 12 < 0.02
