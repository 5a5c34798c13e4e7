"""Every board's file describes a machine on which our C runs, to the host's bits."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from micrograft.boards import boards, find_board
from micrograft.errors import MicrograftError
from micrograft.toolchain.build import Firmware
from micrograft.toolchain.device import Device
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.host import HostLibrary

STATE = 64 * 4


def run_toy(device: Device) -> tuple[list[float], bytes]:
    state = device.buffer("toy_memory", STATE)
    losses = [device.call_float("toy_step", state, 64, 0.3) for _ in range(3)]
    assert device.call("toy_steps") == 3
    return losses, device.read(state, STATE)


@pytest.mark.parametrize("board", boards())
def test_same_bits_as_the_host(board: str, build_toy: Callable[[str], Firmware], toy_library: Path) -> None:
    """The toy links, boots and leaves the same bits as on the host: results, memory and static variables."""
    on_host = run_toy(HostLibrary(_copy(toy_library, board)))
    assert run_toy(Emulator(build_toy(board))) == on_host


def _copy(library: Path, name: str) -> Path:
    """A copy, for the toy keeps static variables and a library is loaded once per file."""
    copy = library.with_name(f"{name}.so")
    copy.write_bytes(library.read_bytes())
    return copy


@pytest.mark.parametrize("board", ["nrf52840", "rp2040"])
def test_arguments_arrive(board: str, build_toy: Callable[[str], Firmware], toy_library: Path) -> None:
    """Six integers arrive in order, negative ones too: the last two travel on the stack."""
    numbers = [random.Random(7).randrange(-9, 9) for _ in range(6)]
    expected = sum(number * 10**place for place, number in enumerate(numbers))
    assert Emulator(build_toy(board)).call("toy_sum", *numbers) == expected
    assert HostLibrary(toy_library).call("toy_sum", *(n & 0xFFFFFFFF for n in numbers)) == expected


def test_names_and_files_agree() -> None:
    """A board is found under the name of its file."""
    folder = Path(__file__).parents[2] / "src" / "micrograft" / "boards"
    assert set(boards()) == {path.stem for path in folder.glob("*.py")} - {"__init__", "board"}


def test_unknown_board_is_refused() -> None:
    """A misspelt board is answered with the closest one and the whole list."""
    with pytest.raises(MicrograftError, match=r"no board is called 'nrf52480'; did you mean 'nrf52840'\?.*rp2040"):
        find_board("nrf52480")
