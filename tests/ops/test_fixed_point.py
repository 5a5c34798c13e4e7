"""What an int8 layer's sum becomes: with a float unit and without one, and close to ties."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from micrograft.ops.fixed_point import Rounding, scaled_sum
from micrograft.toolchain.build import RUNTIME, build_library

ZERO, LOW, HIGH = -7, -128, 120
COUNT = 400_000


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("float_unit", [0, 1])
def test_codes_of_sums_are_those_of_the_reference(rounding: Rounding, float_unit: int, tmp_path: Path) -> None:
    """Sums of all sizes, and such whose product lies within 2^-20 of a tie."""
    source = Path(__file__).parent / "code_of_sum.c"
    defines = [f"MG_FLOAT_UNIT={float_unit}"]
    out = build_library(
        [source], [RUNTIME / "include"], tmp_path / "sums.so", strict=True, sanitize=True, defines=defines
    )
    generator = np.random.default_rng(3)
    shifts = generator.integers(-31, 1, COUNT).astype(np.int32)
    multipliers = generator.integers(1 << 30, 1 << 31, COUNT).astype(np.int32)
    real = multipliers.astype(np.float64) * 2.0 ** (shifts.astype(np.float64) - 31)
    steps = generator.integers(-300, 300, COUNT) + np.where(np.arange(COUNT) % 2, 0.5, generator.uniform(0, 1, COUNT))
    sums = np.clip(np.round(steps / real), -(1 << 30), 1 << 30)
    sums[: COUNT // 8] = generator.integers(-(1 << 30), 1 << 30, COUNT // 8)
    sums[COUNT // 8 : COUNT // 6] = 0
    sums = sums.astype(np.int32)
    found = np.zeros(COUNT, np.int8)
    once = int(rounding is Rounding.ONCE)
    arguments = [np.array([ZERO, LOW, HIGH, once], np.int32), sums, np.stack([multipliers, shifts], 1), found]
    ctypes.CDLL(str(out)).codes_of_sums(COUNT, *(array.ctypes.data_as(ctypes.c_void_p) for array in arguments))
    expected = np.clip(scaled_sum(sums.astype(np.int64), multipliers, shifts, rounding) + ZERO, LOW, HIGH)
    np.testing.assert_array_equal(found, expected)
