"""The kernels, compiled once per session."""

from __future__ import annotations

import pytest
from c_kernels import Kernels

from micrograft.toolchain.build import RUNTIME, build_library


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """Every kernel that we ship, warning-free, in one library for this machine; undefined behaviour ends the run."""
    sources = sorted((RUNTIME / "kernels").glob("*.c"))
    out = tmp_path_factory.mktemp("kernels") / "kernels.so"
    return Kernels(build_library(sources, [RUNTIME / "include"], out, strict=True, sanitize=True))
