"""The toy program, built for the host and for each board; and the drivers over the arithmetic."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from micrograft.boards import find_board
from micrograft.toolchain.build import RUNTIME, Firmware, build_firmware, build_library
from micrograft.toolchain.host import HostLibrary

HERE = Path(__file__).parent
MATH = [RUNTIME / "kernels" / f"mg_{name}.c" for name in ("soft_fma", "soft_sqrt", "exp", "log", "tanh", "erf")]
KEPT = (
    *("toy_step", "toy_steps", "toy_sum", "write_to", "read_from", "jump_to", "recurse", "through_pointer"),
    *(
        "large_frame",
        "undefined_instruction",
        "reach_fault_handler",
        "every_push",
        "far_jump",
        "conditional_return",
        "mg_soft_fma",
        "mg_soft_sqrt",
    ),
)


@pytest.fixture(scope="session")
def build_toy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Firmware]:
    """The toy's firmware for the board of a given name."""
    directory = tmp_path_factory.mktemp("toy")

    @cache
    def build(board: str) -> Firmware:
        files = [HERE / "toy.c", HERE / "toy_main.c", *MATH]
        out = directory / f"{board}.elf"
        return build_firmware(files, [], out, find_board(board), stack=2048, keep=KEPT, strict=True)

    return build


@pytest.fixture(scope="session")
def toy_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy, built for the host."""
    out = tmp_path_factory.mktemp("toy_host") / "toy.so"
    return build_library([HERE / "toy.c", *MATH], [], out, strict=True)


@pytest.fixture(scope="session")
def arithmetic(tmp_path_factory: pytest.TempPathFactory) -> HostLibrary:
    """mg_math on the host, with loops over it."""
    out = tmp_path_factory.mktemp("math") / "math.so"
    return HostLibrary(build_library([HERE / "math_driver.c", *MATH], [], out, strict=True))
