"""Counts what an emulated run does: its instructions, and how far it reaches into stack and arena.

The hooks are C (`hooks.c`), compiled once per process and handed to unicorn as bare function pointers: a
hook in Python costs 50 times as much per instruction.
"""

import ctypes
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from unicorn import unicorn_const as uc
from unicorn.unicorn_py3.unicorn import uclib

from micrograft.errors import MicrograftError
from micrograft.toolchain.build import build_library

_NOT_REACHED = 2**64 - 1
_WATCHES = 4


class _Watch(ctypes.Structure):
    """`watch_t` of hooks.c, field by field."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("start", "end", "lowest", "behind"))


class _Counters(ctypes.Structure):
    """`probe_t` of hooks.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("instructions", "misaligned", "read_register", "write_register")),
        ("watches", _Watch * _WATCHES),
    )


class Probe:
    """What was counted so far. Addresses are the board's.

    `memory` says whether memory accesses are followed too: 20 times slower than counting instructions.
    """

    def __init__(self, stack: range, watch: Sequence[range], memory: bool) -> None:
        self.memory = memory
        self._stack = stack
        self._watched = len(watch)
        watches = [_Watch(each.start, each.stop, _NOT_REACHED, 0) for each in (stack, *watch)]
        self._counters = _Counters(
            read_register=ctypes.cast(uclib.uc_reg_read, ctypes.c_void_p).value,
            write_register=ctypes.cast(uclib.uc_reg_write, ctypes.c_void_p).value,
            watches=(_Watch * _WATCHES)(*watches),
        )

    @property
    def instructions(self) -> int:
        """Instructions executed. Not cycles."""
        return int(self._counters.instructions)

    @property
    def stack_bytes(self) -> int:
        """The depth of the stack, in bytes: from its top to the lowest byte read or written."""
        stack = self._counters.watches[0]
        return max(0, self._stack.stop - int(stack.lowest))

    @property
    def touched(self) -> tuple[range, ...]:
        """Of each watched range, the addresses from the lowest touched to the highest; empty if there were none."""
        return tuple(_touched(watch) for watch in self._counters.watches[1 : 1 + self._watched])

    @property
    def misaligned(self) -> int | None:
        """The first address accessed that is not a multiple of the access's size, or None."""
        return int(self._counters.misaligned) or None

    def attach(self, engine: Any) -> list[int]:
        """Hooks this probe to a unicorn engine; returns the hooks' handles, for `detach`."""
        hooks = [(uc.UC_HOOK_CODE, _hooks().mg_hook_instruction)]
        if self.memory:
            hooks.append((uc.UC_HOOK_MEM_READ | uc.UC_HOOK_MEM_WRITE, _hooks().mg_hook_memory))
        handles = [_add_hook(engine, kind, function, self._counters) for kind, function in hooks]
        _forget_translations(engine)
        return handles


class _Profile(ctypes.Structure):
    """`profile_t` of hooks.c, field by field."""

    _fields_ = (("start", ctypes.c_uint64), ("end", ctypes.c_uint64), ("counts", ctypes.POINTER(ctypes.c_uint64)))


class Profile:
    """How often each instruction of a range of code ran."""

    def __init__(self, code: range) -> None:
        self._code = code
        self._counts = (ctypes.c_uint64 * (len(code) // 2 + 1))()
        self._given = _Profile(code.start, code.stop, self._counts)

    def instructions(self, code: range) -> int:
        """Instructions executed at these addresses, which lie in the range."""
        start = self._code.start
        return sum(self._counts[(code.start - start) // 2 : (code.stop - start + 1) // 2])

    def attach(self, engine: Any) -> list[int]:
        """Hooks this profile to a unicorn engine; returns the hook's handle, for `detach`."""
        handle = _add_hook(engine, uc.UC_HOOK_CODE, _hooks().mg_hook_profile, self._given)
        _forget_translations(engine)
        return [handle]


class _Calls(ctypes.Structure):
    """`calls_t` of hooks.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("start", "end")),
        ("callers", ctypes.POINTER(ctypes.c_uint8)),
        ("counts", ctypes.POINTER(ctypes.c_uint64)),
        *((name, ctypes.c_uint64) for name in ("room", "calls", "own", "inside")),
    )


class Calls:
    """Instructions of each call that some functions make, whatever is called further down included.

    callers: the code of these functions. A call of one of them by another is none. room: for so many calls.
    """

    def __init__(self, callers: Sequence[range], room: int = 100_000) -> None:
        start, stop = min(each.start for each in callers), max(each.stop for each in callers)
        self._marks = (ctypes.c_uint8 * ((stop - start) // 2))()
        for code in callers:
            for address in range(code.start, code.stop, 2):
                self._marks[(address - start) // 2] = 1
        self._counts = (ctypes.c_uint64 * room)()
        self._given = _Calls(start, stop, self._marks, self._counts, room)

    @property
    def instructions(self) -> tuple[int, ...]:
        """Of each call, in order. Raises MicrograftError where there were more than there is room for."""
        if self._given.calls > self._given.room:
            raise MicrograftError(f"{self._given.calls} calls, and room for {self._given.room}")
        return tuple(self._counts[: self._given.calls])

    def attach(self, engine: Any) -> list[int]:
        """Hooks this to a unicorn engine; returns the hook's handle, for `detach`."""
        handle = _add_hook(engine, uc.UC_HOOK_CODE, _hooks().mg_hook_calls, self._given)
        _forget_translations(engine)
        return [handle]


def _add_hook(engine: Any, kind: int, function: Any, given: ctypes.Structure) -> int:
    """Its handle."""
    handle = ctypes.c_size_t()
    pointer = ctypes.cast(function, ctypes.c_void_p)
    everywhere = ctypes.c_uint64(1), ctypes.c_uint64(0)
    error = uclib.uc_hook_add(engine._uch, ctypes.byref(handle), kind, pointer, ctypes.byref(given), *everywhere)
    if error:
        raise MicrograftError(f"unicorn refused a hook, error {error}")
    return handle.value


def _touched(watch: _Watch) -> range:
    if watch.lowest == _NOT_REACHED:
        return range(0)
    return range(max(watch.lowest, watch.start), min(watch.behind, watch.end))


def detach(engine: Any, handles: list[int], idle: int) -> None:
    """Removes hooks; the engine then runs as fast as before. At `idle` lies code where it stops at once."""
    for handle in handles:
        uclib.uc_hook_del(engine._uch, ctypes.c_size_t(handle))
    engine.emu_start(idle | 1, 0)  # unicorn drops removed hooks at its next start, and no sooner
    _forget_translations(engine)


def _forget_translations(engine: Any) -> None:
    """Code that was translated before a hook came or went would run as if nothing had changed.

    Without the second flush every access stays on the slow path: 4 times slower than before the hook.
    """
    engine.ctl_flush_tb()
    engine.ctl(uc.UC_CTL_TLB_FLUSH, uc.UC_CTL_IO_WRITE)


@cache
def _hooks() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        library = Path(directory) / "hooks.so"
        return ctypes.CDLL(str(build_library([Path(__file__).parent / "hooks.c"], [], library)))
