"""The kernels, compiled once per session."""

from __future__ import annotations

import pytest

from micrograft.toolchain.build import RUNTIME, build_library
from tests.ops.c_kernels import Kernels


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """Every kernel that we ship, warning-free, in one library for this machine; undefined behaviour ends the run."""
    sources = sorted((RUNTIME / "kernels").glob("*.c"))
    out = tmp_path_factory.mktemp("kernels") / "kernels.so"
    return Kernels(build_library(sources, [RUNTIME / "include"], out, strict=True, sanitize=True))
