"""Gradients in integers at the ends of their arithmetic; what they compute otherwise the contract test checks."""

from __future__ import annotations

import numpy as np
import pytest

from micrograft.ir.graph import Attrs
from micrograft.ir.types import Array, Quantization, Shape
from micrograft.ops import operators
from micrograft.ops.conv import ConvAttrs, ConvInputGradientAttrs
from micrograft.ops.conv_of_codes import ConvOfCodesWeightGradientAttrs
from micrograft.ops.linear_of_codes import OfCodesAttrs
from tests.ops.c_kernels import Kernels

N = 2000
POINT, LINE = ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1)), ConvAttrs((1,), ((N // 2, N // 2),), (1,))
LOWEST = Quantization((1.0,), (127,))


def full(shape: Shape, code: int, dtype: type = np.int8) -> Array:
    return np.full(shape, code, dtype)


SCALE = np.zeros(2, np.int32)
CASES: list[tuple[str, Attrs, tuple[Array, ...], int]] = [
    ("linear_input_gradient", Attrs(), (full((1, N), 32767, np.int16), SCALE, full((N, 5), 127)), 127),
    (
        "conv_input_gradient", ConvInputGradientAttrs(POINT, (1, 1, 1, 5)),
        (full((1, 1, 1, N), 32767, np.int16), SCALE, full((N, 1, 1, 5), 127)), 127,
    ),
    (
        "depthwise_conv_input_gradient", ConvInputGradientAttrs(LINE, (1, N, 5)),
        (full((1, N, 5), 32767, np.int16), SCALE, full((1, N + 1, 5), 127)), 127,
    ),
    (
        "conv_of_codes_weight_gradient", ConvOfCodesWeightGradientAttrs(LINE, (N + 1,), LOWEST),
        (full((1, N, 1), -128), full((1, N, 5), 32767, np.int16), SCALE), 255,
    ),
    (
        "linear_of_codes_weight_gradient", OfCodesAttrs(LOWEST),
        (full((N, 3), -128), full((N, 5), 32767, np.int16), SCALE), 255,
    ),
    ("linear_bias_gradient", Attrs(), (full((N * 50, 3), 32767, np.int16), SCALE), 50),
    ("down_weight_gradient", Attrs(), (full((N, 2), 32767, np.int16), full((N, 3), 32767, np.int16), SCALE), 32767),
]  # fmt: skip


@pytest.mark.parametrize(("op", "attrs", "arrays", "factor"), CASES, ids=[op for op, *_ in CASES])
def test_sums_are_exact_where_int32_would_overflow(
    kernels: Kernels, op: str, attrs: Attrs, arrays: tuple[Array, ...], factor: int
) -> None:
    """Everything at its largest, and more of it than an int32 holds the products of."""
    name = f"block_{op}"
    codes, scale = kernels.compute(name, attrs, *arrays, SCALE.copy())
    expected = operators()[name].evaluate(attrs, (*arrays, SCALE))
    np.testing.assert_array_equal(codes, expected[0])
    np.testing.assert_array_equal(scale, expected[1])
    largest = np.ldexp(float(np.abs(codes.astype(int)).max()), int(scale[1]))
    assert largest > 2**31
    assert largest == pytest.approx(N * 32767 * factor, rel=0.01)
