"""An emulated board as a `Device`: it boots the firmware and runs its functions, instruction by instruction.

Only the board's flash (to read and run) and RAM (to read and write) exist. Whatever reaches beyond them, and
every fault, ends the call with an error that names the function. Instructions are exact; cycles are unknown.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from elftools.elf.elffile import ELFFile
from unicorn import arm_const
from unicorn import unicorn_const as uc
from unicorn.unicorn_py3.unicorn import Uc, UcError

from micrograft.errors import MicrograftError
from micrograft.toolchain.build import Firmware, Symbol
from micrograft.toolchain.probe import Calls, Probe, Profile, detach

CORES = {
    "cortex_m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex_m3": arm_const.UC_CPU_ARM_CORTEX_M3,
    "cortex_m4": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex_m7": arm_const.UC_CPU_ARM_CORTEX_M7,
    "cortex_m33": arm_const.UC_CPU_ARM_CORTEX_M33,
}
SYSTEM_CONTROL = 0xE000E000  # one page, of which we know one register:
COPROCESSOR_ACCESS = 0xE000ED88  # the FPU's switch, which unicorn itself does not emulate
FULL_ACCESS_TO_FPU = 0xF << 20
POWER_ON = b"\xa5"  # RAM holds anything at power-on; zeros would hide a read before the first write
BELOW_RAM = 0x10000  # nothing lies that close below the RAM of any board, so an access there is the stack's

ACCESSES = {
    uc.UC_MEM_READ_UNMAPPED: "read from {}, where there is no memory",
    uc.UC_MEM_WRITE_UNMAPPED: "wrote to {}, where there is no memory",
    uc.UC_MEM_FETCH_UNMAPPED: "jumped to {}, where there is no memory",
    uc.UC_MEM_READ_PROT: "read from {}, which may not be read",
    uc.UC_MEM_WRITE_PROT: "wrote to {}, which is flash",
    uc.UC_MEM_FETCH_PROT: "jumped to {}, which is RAM",
}


@dataclass(frozen=True)
class Fault:
    """What an access did wrong, and the address of the code that did it."""

    what: str
    code: int


class Emulator:
    """A board that has booted `firmware` and waits, as if `main` had returned. A `Device`.

    Raises `MicrograftError` when an access leaves the board's memory, an instruction does not exist on its
    core, or a fault handler is reached; the emulator is then of no further use.
    """

    def __init__(self, firmware: Firmware) -> None:
        self.firmware = firmware
        self.board = firmware.board
        self.symbols = firmware.symbols
        self.stack = range(self.symbols["mg_stack_bottom"].address, self.symbols["mg_stack_top"].address)
        self._fault: Fault | None = None
        self._fpu_access = 0
        self._engine = _open_engine(CORES[self.board.core])
        self._map_memory()
        self._engine.hook_add(uc.UC_HOOK_MEM_INVALID, self._on_invalid_access)
        self._engine.ctl_exits_enabled(True)
        self._engine.ctl_set_exits([self.symbols[name].address for name in ("mg_idle", "mg_fault")])
        self._boot()

    @property
    def pointer_bytes(self) -> int:
        """The size of a pointer of the board, in bytes."""
        return 4

    def call(self, symbol: str, *args: int | float) -> int:
        """Calls a C function; see `Device.call`."""
        self._call(symbol, args)
        value = int(self._engine.reg_read(arm_const.UC_ARM_REG_R0))
        return value - 2**32 if value >= 2**31 else value

    def call_float(self, symbol: str, *args: int | float) -> float:
        """Calls a C function that returns a float."""
        self._call(symbol, args)
        register = arm_const.UC_ARM_REG_S0 if self.board.fpu else arm_const.UC_ARM_REG_R0
        value: float = struct.unpack("<f", struct.pack("<I", self._engine.reg_read(register)))[0]
        return value

    def buffer(self, name: str, size: int) -> int:
        """The address of the firmware's variable `name`, which must hold at least `size` bytes."""
        symbol = self._symbol(name)
        if symbol.size < size:
            raise MicrograftError(f"'{name}' has {symbol.size} bytes, not {size}", where=self.board.name)
        return symbol.address

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes from `address` on. Raises `MicrograftError` outside flash and RAM."""
        try:
            return bytes(self._engine.mem_read(address, size))
        except UcError:
            raise self._outside(address, size) from None

    def write(self, address: int, data: bytes) -> None:
        """Puts `data` into RAM at `address`. Raises `MicrograftError` outside it."""
        if not self.board.ram.origin <= address <= self.board.ram.end - len(data):
            raise self._outside(address, len(data))
        self._engine.mem_write(address, bytes(data))

    @contextmanager
    def measuring(self, *watch: range, memory: bool = True) -> Iterator[Probe]:
        """Counts over all calls within: instructions, the stack's depth, and what is touched of up to three ranges.

        With `memory=False` instructions alone, 20 times faster. Raises `MicrograftError` for a misaligned
        access on a Cortex-M0+, which this emulator lets pass and the real core does not.
        """
        probe = Probe(self.stack, watch, memory)
        handles = probe.attach(self._engine)
        try:
            yield probe
        finally:
            detach(self._engine, handles, self.symbols["mg_idle"].address)
        if self.board.core == "cortex_m0plus" and probe.misaligned is not None:
            raise MicrograftError(f"misaligned access at {probe.misaligned:#010x}", where=self.board.name)

    @contextmanager
    def profiling(self) -> Iterator[Profile]:
        """Counts, over all calls within, how often each instruction in flash runs."""
        profile = Profile(range(self.board.flash.origin, self.board.flash.origin + self.firmware.flash))
        handles = profile.attach(self._engine)
        try:
            yield profile
        finally:
            detach(self._engine, handles, self.symbols["mg_idle"].address)

    @contextmanager
    def following(self, *callers: str) -> Iterator[Calls]:
        """Counts, over all calls within, the instructions of each call that the functions `callers` make."""
        functions = [self._symbol(name) for name in callers]
        calls = Calls([range(each.address, each.address + each.size) for each in functions])
        handles = calls.attach(self._engine)
        try:
            yield calls
        finally:
            detach(self._engine, handles, self.symbols["mg_idle"].address)

    def _map_memory(self) -> None:
        flash, ram = self.board.flash, self.board.ram
        self._engine.mem_map(flash.origin, flash.size, uc.UC_PROT_READ | uc.UC_PROT_EXEC)
        self._engine.mem_map(ram.origin, ram.size, uc.UC_PROT_READ | uc.UC_PROT_WRITE)
        self._engine.mem_write(ram.origin, POWER_ON * ram.size)
        self._engine.mmio_map(SYSTEM_CONTROL, 0x1000, self._on_system_read, None, self._on_system_write, None)
        with self.firmware.elf.open("rb") as stream:
            for segment in ELFFile(stream).iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    self._engine.mem_write(segment["p_paddr"], segment.data())

    def _boot(self) -> None:
        stack_top, reset = struct.unpack("<II", self.read(self.board.flash.origin, 8))
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, stack_top)
        self._run(reset)
        if self.board.fpu and self._fpu_access != FULL_ACCESS_TO_FPU:
            raise MicrograftError("the firmware never switched the FPU on", where=self.board.name)

    def _call(self, name: str, args: tuple[int | float, ...]) -> None:
        """Passes arguments as the procedure call standard of the Arm architecture (AAPCS) says."""
        core: list[int] = []
        floats: list[int] = []
        for arg in args:
            word = struct.unpack("<I", struct.pack("<f", arg))[0] if isinstance(arg, float) else arg & 0xFFFFFFFF
            (floats if isinstance(arg, float) and self.board.fpu else core).append(word)
        on_stack = core[4:]
        stack_pointer = (self.stack.stop - 4 * len(on_stack)) & ~7
        self._engine.mem_write(stack_pointer, struct.pack(f"<{len(on_stack)}I", *on_stack))
        for index, word in enumerate(core[:4]):
            self._engine.reg_write(arm_const.UC_ARM_REG_R0 + index, word)
        for index, word in enumerate(floats):
            self._engine.reg_write(arm_const.UC_ARM_REG_S0 + index, word)
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, stack_pointer)
        self._engine.reg_write(arm_const.UC_ARM_REG_LR, self.symbols["mg_idle"].address | 1)
        self._run(self._symbol(name).address | 1)

    def _run(self, address: int) -> None:
        """Runs from `address` (Thumb bit set) until the firmware idles."""
        self._fault = None
        try:
            self._engine.emu_start(address, 0)
        except UcError as error:
            what = f"stopped by '{error}'"
            raise self._error(self._fault or Fault(what, self._program_counter())) from None
        if self._fault is not None:
            raise self._error(self._fault)
        if self._program_counter() != self.symbols["mg_idle"].address:
            raise self._error(Fault("reached the fault handler", self._program_counter()))

    def _program_counter(self) -> int:
        return int(self._engine.reg_read(arm_const.UC_ARM_REG_PC)) & ~1

    def _on_invalid_access(self, engine: Any, access: int, address: int, size: int, value: int, data: object) -> bool:
        what = ACCESSES[access].format(f"{address:#010x}")
        if self.board.ram.origin - BELOW_RAM <= address < self.board.ram.origin:
            what += f": its stack of {len(self.stack)} bytes overflowed"
        self._fault = Fault(what, self._program_counter())
        return False

    def _on_system_read(self, engine: Any, offset: int, size: int, data: object) -> int:
        self._check_system(offset, "read from")
        return self._fpu_access

    def _on_system_write(self, engine: Any, offset: int, size: int, value: int, data: object) -> None:
        self._check_system(offset, "wrote to")
        self._fpu_access = value

    def _check_system(self, offset: int, verb: str) -> None:
        if SYSTEM_CONTROL + offset != COPROCESSOR_ACCESS:
            what = f"{verb} {SYSTEM_CONTROL + offset:#010x}, a system register that is not emulated"
            self._fault = Fault(what, self._program_counter())
            self._engine.emu_stop()

    def _symbol(self, name: str) -> Symbol:
        if name not in self.symbols:
            raise MicrograftError(f"there is no '{name}'", where=self.firmware.elf.name)
        return self.symbols[name]

    def _error(self, fault: Fault) -> MicrograftError:
        for name, symbol in self.symbols.items():
            if symbol.is_function and symbol.address <= fault.code < symbol.address + symbol.size:
                return MicrograftError(fault.what, where=f"function '{name}' on {self.board.name}")
        return MicrograftError(fault.what, where=f"code at {fault.code:#010x} on {self.board.name}")

    def _outside(self, address: int, size: int) -> MicrograftError:
        return MicrograftError(f"{size} bytes at {address:#010x} lie outside the memory", where=self.board.name)


def _open_engine(core: int) -> Any:
    """A Cortex-M of this model. Any: unicorn's methods carry no annotations."""
    open_engine: Any = Uc
    engine = open_engine(uc.UC_ARCH_ARM, uc.UC_MODE_THUMB | uc.UC_MODE_MCLASS)
    engine.ctl_set_cpu_model(core)
    return engine
