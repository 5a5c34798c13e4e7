"""The emulated board: what it refuses, and what it counts."""

from collections.abc import Callable

import pytest
from unicorn import unicorn_const as uc

from micrograft.errors import MicrograftError
from micrograft.toolchain.build import Firmware
from micrograft.toolchain.emulator import POWER_ON, Emulator

CORES = ["nrf52840", "stm32f746", "rp2040"]


@pytest.fixture(params=CORES)
def firmware(request: pytest.FixtureRequest, build_toy: Callable[[str], Firmware]) -> Firmware:
    return build_toy(request.param)


@pytest.fixture
def emulator(firmware: Firmware) -> Emulator:
    return Emulator(firmware)


def step(emulator: Emulator) -> float:
    return emulator.call_float("toy_step", emulator.buffer("toy_memory", 256), 64, 0.3)


def test_flash_cannot_be_written(emulator: Emulator) -> None:
    """A write to flash is an error that names the function."""
    with pytest.raises(MicrograftError, match=r"function 'write_to' on \w+: wrote to 0x\w+00, which is flash"):
        emulator.call("write_to", emulator.board.flash.origin + 0x100)


@pytest.mark.parametrize(("function", "verb"), [("write_to", "wrote to"), ("read_from", "read from")])
def test_memory_ends(emulator: Emulator, function: str, verb: str) -> None:
    """The first word behind the RAM is an error that names the address; the last one in it is not."""
    end = emulator.board.ram.end
    emulator.call(function, end - 4)
    with pytest.raises(MicrograftError, match=f"function '{function}' .*{verb} {end:#010x}, where there is no"):
        emulator.call(function, end)


def test_ram_cannot_be_run(emulator: Emulator) -> None:
    """A jump into RAM is an error."""
    with pytest.raises(MicrograftError, match="which is RAM"):
        emulator.call("jump_to", emulator.buffer("toy_memory", 4) | 1)


def test_system_registers_are_not_there(emulator: Emulator) -> None:
    """A peripheral or system register that is not emulated is an error, not a silent zero."""
    with pytest.raises(MicrograftError, match="0xe000ed08, a system register"):
        emulator.call("read_from", 0xE000ED08)


def test_stack_overflow_is_an_error(emulator: Emulator) -> None:
    """A recursion that outgrows the stack is told as such, and has overwritten nothing."""
    before = emulator.read(emulator.stack.stop, 64)
    assert emulator.call("recurse", 10) == 55
    with pytest.raises(MicrograftError, match=r"function 'recurse' .* its stack of 2048 bytes overflowed"):
        emulator.call("recurse", 100)
    assert emulator.read(emulator.stack.stop, 64) == before


def test_undefined_instruction_is_an_error(emulator: Emulator) -> None:
    """An instruction that the core does not have ends the call with the function's name."""
    with pytest.raises(MicrograftError, match="function 'undefined_instruction'"):
        emulator.call("undefined_instruction")


def test_fault_handler_is_an_error(emulator: Emulator) -> None:
    """Firmware that ends in its fault handler does not count as finished."""
    with pytest.raises(MicrograftError, match="reached the fault handler"):
        emulator.call("reach_fault_handler")


def test_counts_are_reproducible(firmware: Firmware) -> None:
    """The same call on a freshly booted board takes the same number of instructions."""
    counts = set()
    for _ in range(2):
        emulator = Emulator(firmware)
        with emulator.measuring(memory=False) as probe:
            step(emulator)
        counts.add(probe.instructions)
    assert len(counts) == 1 and counts.pop() > 1000


def test_emulators_are_independent(firmware: Firmware) -> None:
    """Two boards in one process do not see each other's memory."""
    first, second = Emulator(firmware), Emulator(firmware)
    step(first)
    assert first.call("toy_steps") == 1
    assert second.call("toy_steps") == 0


def test_native_hooks_count_as_python_ones(firmware: Firmware) -> None:
    """The compiled hooks count the instructions and the reach that slow hooks in Python count."""
    fast, slow = Emulator(firmware), Emulator(firmware)
    memory = fast.buffer("toy_memory", 256)
    with fast.measuring(range(memory, memory + 256)) as probe:
        step(fast)
    instructions, accesses = [], set()
    slow._engine.hook_add(uc.UC_HOOK_CODE, lambda *_: instructions.append(1))
    slow._engine.hook_add(
        uc.UC_HOOK_MEM_READ | uc.UC_HOOK_MEM_WRITE,
        lambda engine, access, address, size, value, data: accesses.add((address, size)),
    )
    slow._engine.ctl_flush_tb()
    step(slow)
    assert probe.instructions == len(instructions)
    assert probe.stack_bytes == slow.stack.stop - min(a for a, _ in accesses if a in slow.stack)
    watched = [(a, a + size) for a, size in accesses if memory <= a < memory + 256]
    reached = range(min(watched)[0], max(end for _, end in watched))
    assert probe.touched == (reached,) == (range(memory, memory + 256),)


def test_stack_depth_equals_painting(emulator: Emulator) -> None:
    """The depth seen by the hooks is that of a painted stack: the lowest byte that changed."""
    emulator.write(emulator.stack.start, POWER_ON * len(emulator.stack))
    with emulator.measuring() as probe:
        emulator.call("large_frame", 7)
    painted = emulator.read(emulator.stack.start, len(emulator.stack))
    untouched = len(painted) - len(painted.lstrip(POWER_ON))
    assert probe.stack_bytes == len(painted) - untouched


def test_calls_are_told_apart(firmware: Firmware) -> None:
    """Each call of a function that another makes is counted by itself; with the caller's own they are all there are."""
    followed, profiled = Emulator(firmware), Emulator(firmware)
    with followed.following("toy_step") as calls:
        step(followed)
    with profiled.profiling() as profile:
        step(profiled)
    functions = {name: range(each.address, each.address + each.size) for name, each in firmware.symbols.items()}
    total = profile.instructions(range(firmware.board.flash.origin, firmware.board.flash.origin + firmware.flash))
    assert sum(calls.instructions) == total - profile.instructions(functions["toy_step"])
    if firmware.board.fpu:
        assert len(calls.instructions) == 3 * 64  # tanh and exp of each element, then its logarithm
        assert sum(calls.instructions[2::3]) == profile.instructions(functions["mg_log"])


def test_results_do_not_depend_on_measuring(firmware: Firmware) -> None:
    """Measured or not, a run computes the same."""
    plain, measured = Emulator(firmware), Emulator(firmware)
    with measured.measuring():
        first = step(measured)
    assert [first, step(measured)] == [step(plain), step(plain)]


def test_conditional_loads_may_be_measured(firmware: Firmware) -> None:
    """A load and a return in an If-Then block are followed by code that runs unconditionally, measured or not."""
    emulator = Emulator(firmware)
    word = emulator.buffer("toy_memory", 4)
    assert emulator.call("conditional_return", word) == 1
    with emulator.measuring():
        assert emulator.call("conditional_return", word) == 1


def test_unknown_function_is_refused(emulator: Emulator) -> None:
    """A call of what the firmware does not have is one sentence."""
    with pytest.raises(MicrograftError, match="there is no 'missing'"):
        emulator.call("missing")


@pytest.mark.parametrize("board", ["rp2040"])
def test_misaligned_access_on_m0(board: str, build_toy: Callable[[str], Firmware]) -> None:
    """A word at an odd address, which a Cortex-M0+ cannot read, is found when measured."""
    emulator = Emulator(build_toy(board))
    odd = emulator.buffer("toy_memory", 8) + 2
    with pytest.raises(MicrograftError, match="misaligned access at"), emulator.measuring():
        emulator.call("read_from", odd)
