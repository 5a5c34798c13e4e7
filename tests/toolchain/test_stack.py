"""The bound on the stack, read off the image, against what runs."""

from collections.abc import Callable

import pytest

from micrograft.errors import MicrograftError
from micrograft.toolchain.build import Firmware
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.stack import worst_case_stack

CALLS: dict[str, tuple[int | float, ...]] = {
    "toy_step": (0x20001000, 64, 0.3),
    "toy_sum": (1, 2, 3, 4, 5, 6),
    "large_frame": (7,),
    "every_push": (),
    "mg_soft_fma": (1.5, 2.5, -3.0),
    "mg_soft_sqrt": (2.0,),
}


@pytest.mark.parametrize("function", CALLS)
@pytest.mark.parametrize("board", ["nrf52840", "stm32f103", "stm32f746", "nrf5340", "rp2040"])
def test_bound_is_tight(board: str, function: str, build_toy: Callable[[str], Firmware]) -> None:
    """The bound is at least the depth reached and at most 256 bytes above it, soft float included."""
    firmware = build_toy(board)
    emulator = Emulator(firmware)
    arguments = CALLS[function]
    if function == "toy_step":
        arguments = (emulator.buffer("toy_memory", 256), *arguments[1:])
    with emulator.measuring() as probe:
        emulator.call(function, *arguments)
    passed_on_stack = 8 if len(arguments) > 4 else 0  # the caller's, not the function's
    bound = worst_case_stack(firmware.elf, [function])[function]
    assert 0 <= bound - (probe.stack_bytes - passed_on_stack) <= 256


@pytest.mark.parametrize("board", ["nrf52840", "stm32f103", "rp2040"])
def test_every_instruction_on_the_stack_is_counted(board: str, build_toy: Callable[[str], Firmware]) -> None:
    """Where a function has one path, the bound is the depth reached: no push, store or subtraction is missed."""
    firmware = build_toy(board)
    emulator = Emulator(firmware)
    with emulator.measuring() as probe:
        emulator.call("every_push")
    bound = worst_case_stack(firmware.elf, ["every_push"])["every_push"]
    assert bound == {"nrf52840": 40 + 24 + 24 + 16 + 12 + 4, "stm32f103": 40 + 24 + 24 + 16, "rp2040": 40}[board]
    assert probe.stack_bytes == (8 if board == "rp2040" else bound)  # what is reserved there is never touched


@pytest.mark.parametrize("board", ["nrf52840", "rp2040"])
def test_call_without_return_ends_a_path(board: str, build_toy: Callable[[str], Firmware]) -> None:
    """The start-up code, which ends in a call that never returns, has a bound."""
    assert 0 < worst_case_stack(build_toy(board).elf, ["mg_start"])["mg_start"] < 64


def test_far_jump_is_no_call(build_toy: Callable[[str], Firmware]) -> None:
    """A bl to the middle of its own function, as in long functions on a Cortex-M0, is followed as a jump."""
    assert worst_case_stack(build_toy("rp2040").elf, ["far_jump"]) == {"far_jump": 16}


@pytest.mark.parametrize("board", ["nrf52840", "rp2040"])
def test_recursion_is_refused(board: str, build_toy: Callable[[str], Firmware]) -> None:
    """A function that calls itself is named."""
    with pytest.raises(MicrograftError, match="function 'recurse': it calls itself"):
        worst_case_stack(build_toy(board).elf, ["toy_step", "recurse"])


@pytest.mark.parametrize("board", ["nrf52840", "rp2040"])
def test_indirect_call_is_refused(board: str, build_toy: Callable[[str], Firmware]) -> None:
    """A function that calls through a pointer is named."""
    with pytest.raises(MicrograftError, match="function 'through_pointer': it calls through a pointer"):
        worst_case_stack(build_toy(board).elf, ["through_pointer"])


def test_unknown_root_is_refused(build_toy: Callable[[str], Firmware]) -> None:
    """A root that is not in the image is one sentence."""
    with pytest.raises(MicrograftError, match="there is no function 'missing'"):
        worst_case_stack(build_toy("nrf52840").elf, ["missing"])
