"""The deepest that a function can push the stack, read off the linked image.

Every path through every function is followed with the depth it has reached, calls included, so the bound
covers the compiler's own runtime (soft float, memcpy) too. What cannot be bounded is refused: recursion, a
call through a pointer, a stack pointer moved by an unknown amount.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, Cs, CsInsn
from capstone import arm_const as arm
from elftools.elf.elffile import ELFFile

from micrograft.errors import MicrograftError
from micrograft.toolchain.build import Symbol, read_symbols, symbol_table

PUSHES = ("push", "stmdb", "vpush", "vstmdb")
POPS = ("pop", "ldm", "ldmia", "vpop", "vldmia")
TABLE_BRANCHES = {"tbb": 1, "tbh": 2}  # bytes per entry


def worst_case_stack(elf: Path, roots: Sequence[str]) -> dict[str, int]:
    """The greatest depth of the stack, in bytes, that a call of each of the functions `roots` can reach.

    Raises `MicrograftError` naming the function that recurses, calls through a pointer, or moves the stack
    pointer in a way that cannot be followed.
    """
    image = _read_image(elf)
    depths: dict[int, int] = {}
    for root in roots:
        if root not in image.symbols:
            raise MicrograftError(f"there is no function '{root}'", where=elf.name)
    return {root: _depth_of(image, image.symbols[root].address, depths, ()) for root in roots}


def reached(elf: Path, root: str) -> frozenset[str]:
    """Names of the functions that a call of the function `root` can reach, itself included.

    Raises `MicrograftError` as `worst_case_stack` does.
    """
    image = _read_image(elf)
    if root not in image.symbols:
        raise MicrograftError(f"there is no function '{root}'", where=elf.name)
    names: dict[int, str] = {}
    waiting = [image.symbols[root].address]
    while waiting:
        address = waiting.pop()
        if address not in names:
            names[address] = image.functions[address][0] if address in image.functions else f"{address:#010x}"
            waiting += _Function(image, address, names[address]).walk()[1]
    return frozenset(names.values())


@dataclass(frozen=True)
class _Image:
    """The flash contents of a linked image; `marks` are the addresses where code ($t) or data ($d) begins.

    functions: name and end of the function at each address; static ones of several files may share a name.
    """

    symbols: Mapping[str, Symbol]
    functions: Mapping[int, tuple[str, int]]
    segments: Sequence[tuple[int, bytes]]
    marks: Sequence[tuple[int, bool]]

    def read(self, address: int, size: int) -> bytes:
        for origin, data in self.segments:
            if origin <= address < origin + len(data):
                return data[address - origin : address - origin + size]
        return b""

    def code_in(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The stretches of code, without the data between them, from `start` to `end`."""
        index = bisect_right(self.marks, (start, True)) - 1
        for (mark, is_code), (following, _) in pairwise([*self.marks[max(0, index) :], (end, False)]):
            if is_code and mark < end:
                yield max(mark, start), min(following, end)

    def end_of_data(self, address: int) -> int:
        """Where code begins again after the data at `address`."""
        return next((mark for mark, is_code in self.marks if is_code and mark > address), address)


def _read_image(elf: Path) -> _Image:
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        table = symbol_table(file)
        found = (s for s in table.iter_symbols() if s["st_info"]["type"] == "STT_FUNC")
        functions = {s["st_value"] & ~1: (s.name, (s["st_value"] & ~1) + s["st_size"]) for s in found}
        marks = sorted({(s["st_value"], s.name[1] == "t") for s in table.iter_symbols() if s.name[:2] in ("$t", "$d")})
        segments = [(part["p_vaddr"], part.data()) for part in file.iter_segments("PT_LOAD")]
    return _Image(read_symbols(elf), functions, segments, marks)


def _depth_of(image: _Image, address: int, depths: dict[int, int], callers: tuple[int, ...]) -> int:
    """The depth that a call of the function at `address` reaches; `depths` remembers those already known."""
    name = image.functions[address][0] if address in image.functions else f"{address:#010x}"
    if address in callers:
        raise MicrograftError("it calls itself, so its stack has no bound", where=f"function '{name}'")
    if address not in depths:
        function = _Function(image, address, name)
        own, calls = function.walk()
        below = (depth + _depth_of(image, callee, depths, (*callers, address)) for callee, depth in calls.items())
        depths[address] = max([own, *below])
    return depths[address]


class _Function:
    """One function's instructions, and the walk along all its paths."""

    def __init__(self, image: _Image, address: int, name: str) -> None:
        if address not in image.functions:
            raise MicrograftError(f"code at {name} is called but belongs to no function", where="stack analysis")
        self.image = image
        self.address = address
        self.end = image.functions[address][1]
        self.name = name
        decoder = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS)
        decoder.detail = True
        self.instructions: dict[int, CsInsn] = {
            instruction.address: instruction
            for start, stop in image.code_in(address, self.end)
            for instruction in decoder.disasm(image.read(start, stop - start), start)
        }
        self.deepest = 0
        self.calls: dict[int, int] = {}  # callee -> the greatest depth at which it is called

    def walk(self) -> tuple[int, dict[int, int]]:
        """The function's own greatest depth, and the greatest depth at which it calls each other one."""
        waiting = [(self.address, 0)]
        seen = set(waiting)
        while waiting:
            address, depth = waiting.pop()
            for state in self._follow(address, depth):
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
        return self.deepest, self.calls

    def _follow(self, address: int, depth: int) -> list[tuple[int, int]]:
        """Where execution can be after the instruction at `address`, and how deep."""
        instruction = self.instructions.get(address)
        if instruction is None:
            raise self._refusal(f"there is no instruction at {address:#010x}")
        following = address + instruction.size
        changed = depth + self._growth(instruction)
        self.deepest = max(self.deepest, changed)
        conditional = instruction.cc not in (arm.ARM_CC_AL, arm.ARM_CC_INVALID)
        kind = instruction.mnemonic.split(".")[0]
        go_on = [(following, depth)] if conditional else []
        if kind in ("cbz", "cbnz"):
            return [(following, depth), (instruction.operands[1].imm, depth)]
        if kind in ("bl", "blx"):
            target = self._target(instruction)
            if self.address < target < self.end:  # a far jump: b reaches no further than 2 KB on a Cortex-M0
                return [(target, depth)]
            self._call(target, depth)
            # The compiler puts nothing, or data, behind the call of a function that never returns.
            return [(following, depth)] if following in self.instructions else []
        if instruction.id == arm.ARM_INS_B:
            return [*go_on, *self._jump(self._target(instruction), depth)]
        if kind in TABLE_BRANCHES:
            return [(target, depth) for target in self._table(instruction, TABLE_BRANCHES[kind])]
        if _writes(instruction, arm.ARM_REG_PC) or instruction.id == arm.ARM_INS_BX:
            if not self._returns(instruction):
                raise self._refusal(f"it jumps through a register ('{_text(instruction)}')")
            return go_on
        if kind == "udf":
            return []
        return [*self._jump(following, changed), *(go_on if changed != depth else [])]

    def _jump(self, target: int, depth: int) -> list[tuple[int, int]]:
        if self.address <= target < self.end:
            return [(target, depth)]
        self._call(target, depth)  # a tail call
        return []

    def _call(self, target: int, depth: int) -> None:
        self.calls[target] = max(depth, self.calls.get(target, 0))

    def _target(self, instruction: CsInsn) -> int:
        operand = instruction.operands[0]
        if operand.type != arm.ARM_OP_IMM:
            raise self._refusal(f"it calls through a pointer ('{_text(instruction)}')")
        return int(operand.imm) & ~1

    def _returns(self, instruction: CsInsn) -> bool:
        if instruction.mnemonic.split(".")[0] in POPS or instruction.mnemonic.startswith(("pop", "ldm")):
            return True
        if instruction.id == arm.ARM_INS_LDR:
            return bool(instruction.operands[1].mem.base == arm.ARM_REG_SP)
        last = instruction.operands[-1]
        return bool(last.type == arm.ARM_OP_REG and last.reg == arm.ARM_REG_LR)

    def _table(self, instruction: CsInsn, width: int) -> Iterator[int]:
        """The targets of a table branch; the table follows it, and counts in half-words from there."""
        base = instruction.address + instruction.size
        data = self.image.read(base, self.image.end_of_data(base) - base)
        for offset in range(0, len(data) - width + 1, width):
            target = base + 2 * int.from_bytes(data[offset : offset + width], "little")
            if target in self.instructions:  # a byte of padding may follow the table
                yield target

    def _growth(self, instruction: CsInsn) -> int:
        """By how many bytes the instruction deepens the stack; negative where it gives some back."""
        kind = _kind(instruction)
        # capstone does not say of vpush and vpop that they write the stack pointer
        if kind not in ("vpush", "vpop") and not _writes(instruction, arm.ARM_REG_SP):
            return 0
        operands = instruction.operands
        registers = [operand.reg for operand in operands if operand.type == arm.ARM_OP_REG]
        if kind in PUSHES or kind in POPS:
            names = [instruction.reg_name(register) for register in registers]
            moved = sum(8 if name[0] == "d" else 4 for name in names if name != "sp")
            return moved if kind in PUSHES else -moved
        if operands[-1].type == arm.ARM_OP_IMM and kind in ("sub", "add") and set(registers) == {arm.ARM_REG_SP}:
            return int(operands[-1].imm) * (1 if kind == "sub" else -1)
        if kind == "add" and registers[0] == arm.ARM_REG_SP:
            return -self._constant(registers[-1], instruction)
        addressed = [operand.mem for operand in operands if operand.type == arm.ARM_OP_MEM]
        if addressed and addressed[0].base == arm.ARM_REG_SP:  # str r0, [sp, #-8]! and ldr r0, [sp], #8
            after = operands[-1]
            return -int(after.imm if after.type == arm.ARM_OP_IMM else addressed[0].disp)
        raise self._refusal(f"it moves the stack pointer by an unknown amount ('{_text(instruction)}')")

    def _constant(self, register: int, user: CsInsn) -> int:
        """The constant last put into `register` before `user`: a frame too large for an immediate has one."""
        writers = [i for i in self.instructions.values() if i.address < user.address and _writes(i, register)]
        if writers and writers[-1].id == arm.ARM_INS_LDR:
            memory = writers[-1].operands[1].mem
            if memory.base == arm.ARM_REG_PC:
                literal = ((writers[-1].address + 4) & ~3) + int(memory.disp)
                return int.from_bytes(self.image.read(literal, 4), "little", signed=True)
        raise self._refusal(f"it moves the stack pointer by an unknown amount ('{_text(user)}')")

    def _refusal(self, what: str) -> MicrograftError:
        return MicrograftError(f"{what}, so its stack has no known bound", where=f"function '{self.name}'")


def _kind(instruction: CsInsn) -> str:
    """The mnemonic without width and condition."""
    kind: str = instruction.mnemonic.split(".")[0]
    if instruction.cc not in (arm.ARM_CC_AL, arm.ARM_CC_INVALID):
        kind = kind[:-2]
    return kind[:-1] if kind in ("subw", "addw") else kind


def _writes(instruction: CsInsn, register: int) -> bool:
    return register in instruction.regs_access()[1]


def _text(instruction: CsInsn) -> str:
    return f"{instruction.mnemonic} {instruction.op_str}"
