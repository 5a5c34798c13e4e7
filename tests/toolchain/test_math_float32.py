"""mg_math: the arithmetic that every float32 kernel stands on."""

import numpy as np
import pytest
import torch

from micrograft.toolchain.host import HostLibrary

EXTREMES = np.float32([-np.inf, -1e30, -104, -103.97, -90, -0.0, 0, 1e-45, 1e-30, 88.72283, 88.72284, 1e30, np.inf])


def apply(library: HostLibrary, function: str, x: np.ndarray) -> np.ndarray:
    source, target = (library.buffer(f"{function}{x.nbytes}{role}", x.nbytes) for role in "xy")
    library.write(source, x.tobytes())
    library.call(f"map_{function}", source, target, x.size)
    return np.frombuffer(library.read(target, x.nbytes), np.float32)


def worst_ulp(got: np.ndarray, exact: np.ndarray) -> float:
    """The greatest error, in units of the exact value's last place in float32 (subnormals' own included)."""
    kept = np.isfinite(exact) & (np.abs(exact) < np.finfo(np.float32).max) & np.isfinite(got)
    _, exponent = np.frexp(exact[kept])
    unit = np.ldexp(1.0, np.maximum(exponent - 24, -149))
    return float(np.max(np.abs(got[kept] - exact[kept]) / unit))


def test_soft_fma_equals_hardware(arithmetic: HostLibrary) -> None:
    """mg_soft_fma has the bits of the hardware's fused multiply-add on 4 million triples of every kind."""
    assert arithmetic.call("fma_mismatches", 1, 4_000_000) == 0


def test_soft_fma_edges(arithmetic: HostLibrary) -> None:
    """It has them on every triple of zeros, subnormals, extremes, infinities and NaNs, of either sign."""
    assert arithmetic.call("fma_edge_mismatches") == 0


def test_soft_sqrt_equals_hardware(arithmetic: HostLibrary) -> None:
    """mg_soft_sqrt has the bits of the hardware's square root on 4 million values spread over all floats."""
    assert arithmetic.call("sqrt_mismatches", 0, 1021) == 0


def exactly(function: str, x: np.ndarray) -> np.ndarray:
    """The function in float64."""
    if function == "erf":
        return torch.erf(torch.from_numpy(x.astype(np.float64))).numpy()
    return getattr(np, function)(x.astype(np.float64))


# The bounds are those measured over every 257th of all floats: 0.844, 0.918 and 1.447 ulp; erf, every 37th: 1.090.
@pytest.mark.parametrize(("function", "bound"), [("exp", 0.86), ("log", 0.93), ("tanh", 1.46), ("erf", 1.1)])
def test_functions_are_accurate(arithmetic: HostLibrary, function: str, bound: float) -> None:
    """exp, log, tanh and erf stay within their stated error over the whole range of float32."""
    x = np.arange(0, 2**32, 1021, dtype=np.uint32).view(np.float32)
    x = x[np.isfinite(x) & ((x > 0) | (function != "log"))]
    with np.errstate(over="ignore"):
        exact = exactly(function, x)
    assert worst_ulp(apply(arithmetic, function, x), exact) <= bound


@pytest.mark.parametrize("function", ["exp", "log", "tanh", "erf"])
def test_functions_at_the_extremes(arithmetic: HostLibrary, function: str) -> None:
    """Overflow, underflow, zero and infinity come out as NumPy says: exactly, or as the same infinity."""
    with np.errstate(all="ignore"):
        exact = exactly(function, EXTREMES).astype(np.float32)
    got = apply(arithmetic, function, EXTREMES)
    special = np.isin(exact, [0, 1, -1, np.inf, -np.inf]) | np.isnan(exact)
    np.testing.assert_array_equal(got[special], exact[special])
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(exact))
    np.testing.assert_array_equal(np.signbit(got[exact == 0]), np.signbit(exact[exact == 0]))


@pytest.mark.parametrize("function", ["exp", "log", "tanh", "erf"])
def test_functions_keep_nan(arithmetic: HostLibrary, function: str) -> None:
    """A NaN stays a NaN."""
    assert np.isnan(apply(arithmetic, function, np.float32([np.nan]))).all()
