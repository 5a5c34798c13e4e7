"""Builds: what is left behind, and what is said when one fails."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from micrograft.boards import find_board
from micrograft.errors import MicrograftError
from micrograft.toolchain.build import Firmware, build_firmware, build_library
from micrograft.toolchain.host import HostLibrary


def write(folder: Path, text: str) -> Path:
    path = folder / "source.c"
    path.write_text(text)
    return path


def test_compiler_error_is_one_sentence(tmp_path: Path) -> None:
    """A mistake in the C comes back as its line, and no output is left."""
    source = write(tmp_path, "int f(void) { return missing; }\n")
    with pytest.raises(MicrograftError, match=r"source\.c:1:22: error: use of undeclared identifier 'missing'$"):
        build_library([source], [], tmp_path / "out" / "f.so")
    assert list((tmp_path / "out").iterdir()) == []


def test_failed_build_keeps_the_old_output(tmp_path: Path) -> None:
    """A build that fails does not touch what an earlier one made."""
    out = build_library([write(tmp_path, "int f(void);\nint f(void) { return 1; }\n")], [], tmp_path / "f.so")
    before = out.read_bytes()
    with pytest.raises(MicrograftError):
        build_library([write(tmp_path, "int f(void) { return")], [], out)
    assert out.read_bytes() == before


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Variables beyond the board's RAM are refused by the linker, in its words."""
    source = write(tmp_path, "char big[200000];\nint main(void) { return big[0]; }\n")
    with pytest.raises(
        MicrograftError, match=r"section .*\.bss.* will not fit in region .*RAM.* overflowed by \d+ bytes"
    ):
        build_firmware([source], [], tmp_path / "f.elf", find_board("stm32f446"), stack=1024)


def test_sizes_are_the_linkers(build_toy: Callable[[str], Firmware]) -> None:
    """The sizes add up: the RAM ends where the linker says, the stack lies at its bottom."""
    firmware = build_toy("nrf52840")
    symbols, ram = firmware.symbols, firmware.board.ram
    assert symbols["mg_stack_bottom"].address == ram.origin
    assert symbols["mg_bss_end"].address - ram.origin == firmware.ram
    assert firmware.bss >= symbols["toy_memory"].size == 256
    assert firmware.stack == 2048
    assert 1000 < firmware.flash < 8000


def test_builds_are_reproducible(tmp_path: Path) -> None:
    """The same source gives the same image, byte for byte, whatever directory it is built in."""
    source = write(tmp_path, "int table[3] = {1, 2, 3};\nint main(void) { return table[0]; }\n")
    board = find_board("nrf52840")
    images = [build_firmware([source], [], tmp_path / name / "f.elf", board, stack=64) for name in "ab"]
    assert images[0].elf.read_bytes() == images[1].elf.read_bytes()


def test_host_checks_its_buffers(toy_library: Path) -> None:
    """Reading or writing outside the buffers is an error, and so is a function that is not there."""
    library = HostLibrary(toy_library)
    address = library.buffer("memory", 12)
    library.write(address, b"x" * 12)
    assert address % 8 == 0 and library.buffer("memory", 12) == address
    with pytest.raises(MicrograftError, match="lie in no buffer"):
        library.write(address + 8, b"x" * 12)
    with pytest.raises(MicrograftError, match="there is no function 'missing'"):
        library.call("missing")


def test_sanitizer_stops_undefined_behaviour(tmp_path: Path) -> None:
    """A sanitized library ends its process at a signed overflow."""
    source = write(tmp_path, "int f(int x);\nint f(int x) { return x + 1; }\n")
    library = build_library([source], [], tmp_path / "f.so", sanitize=True)
    assert ctypes.CDLL(str(library)).f(1) == 2
    script = f"import ctypes; ctypes.CDLL({str(library)!r}).f(2**31 - 1)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode != 0
