"""Compiles our C with the PyPI compiler: for the host as a shared library, for a board as a linked image.

Both builds use the same flags where results depend on them: no contraction of a*b+c (we write our fused
multiply-adds out) and no flag that relaxes floating point. The compiler's own cache makes a rebuild
cheap and is safe between processes. Nothing is left behind when a build fails.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jinja2
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from micrograft.boards import Board
from micrograft.errors import MicrograftError

RUNTIME = Path(__file__).parent.parent / "runtime"
STANDARD = ("-std=c99", "-ffp-contract=off", "-fno-math-errno", "-fomit-frame-pointer", "-g0")
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
# -fno-unroll-loops: the kernels are blocked by hand; unrolling them further doubles their code for a few per cent.
# -fno-jump-tables: a switch stays a chain of branches, which the stack analysis can follow on every core.
FIRMWARE = (
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-sanitize=undefined",
    "-fno-unroll-loops",
    "-fno-jump-tables",
)


@dataclass(frozen=True)
class Symbol:
    """A function or an object in the linked image: its address (without the Thumb bit) and size in bytes."""

    address: int
    size: int
    is_function: bool


@dataclass(frozen=True)
class Firmware:
    """A linked image for a board, and the linker's own figures. All sizes in bytes.

    `text` holds the vector table and the code, `rodata` the constants, `data` the initialised variables (in
    flash and in RAM), `bss` the zeroed ones, `stack` what is reserved for the stack.
    """

    elf: Path
    board: Board
    text: int
    rodata: int
    data: int
    bss: int
    stack: int

    @property
    def flash(self) -> int:
        """Bytes of flash, all told: the sections follow each other without gaps."""
        return self.text + self.rodata + self.data

    @property
    def ram(self) -> int:
        """Bytes of RAM, all told."""
        return self.stack + self.data + self.bss

    @cached_property
    def symbols(self) -> Mapping[str, Symbol]:
        """Every named function and object of the image."""
        return read_symbols(self.elf)


def read_symbols(elf: Path) -> dict[str, Symbol]:
    """The named functions, objects and linker marks of a linked image."""
    with elf.open("rb") as stream:
        return {
            entry.name: Symbol(
                entry["st_value"] & ~1 if entry["st_info"]["type"] == "STT_FUNC" else entry["st_value"],
                entry["st_size"],
                entry["st_info"]["type"] == "STT_FUNC",
            )
            for entry in symbol_table(ELFFile(stream)).iter_symbols()
            if entry.name and not entry.name.startswith("$") and entry["st_shndx"] != "SHN_UNDEF"
        }


def symbol_table(file: ELFFile) -> SymbolTableSection:
    """The symbol table that every image of ours has."""
    table = file.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        raise MicrograftError("the linked image has no symbol table", fix="do not strip it")
    return table


def build_library(
    files: Sequence[Path],
    include_dirs: Sequence[Path],
    out: Path,
    *,
    sanitize: bool = False,
    strict: bool = False,
    optimize: str = "-O2",
    defines: Sequence[str] = (),
) -> Path:
    """Compiles `files` to the shared library `out`, for this machine with all its instructions.

    `sanitize` kills the process at the first undefined behaviour. `strict` turns our warnings
    on, as errors. `defines` are preprocessor's, `NAME=value`. Raises `MicrograftError` with the compiler's first error.
    """
    flags = [*STANDARD, optimize, *(f"-D{define}" for define in defines), "-shared", "-fPIC", "-mcpu=native"]
    flags += ["-fsanitize=undefined", "-fsanitize-trap=undefined"] if sanitize else ["-fno-sanitize=undefined"]
    with _scratch(out) as scratch:
        made = Path(scratch) / out.name
        _compile([*flags, *(STRICT if strict else ())], files, include_dirs, made)
        made.replace(out)
    return out


def build_firmware(
    files: Sequence[Path],
    include_dirs: Sequence[Path],
    out: Path,
    board: Board,
    *,
    stack: int,
    keep: Sequence[str] = (),
    strict: bool = False,
    optimize: str = "-O2",
) -> Firmware:
    """Compiles `files` (which define `main`) with our startup code and links them for `board` into `out`.

    `stack` bytes are reserved at the bottom of RAM. `keep` names functions that stay in the image although
    nothing calls them. Raises `MicrograftError` with the compiler's or linker's first error, such as a
    section that does not fit into the board's memory.
    """
    flags = [*STANDARD, *FIRMWARE, optimize, "-target", board.target, f"-mcpu={board.cpu}"]
    flags += STRICT if strict else ()
    with _scratch(out) as scratch:
        script = Path(scratch) / "linker.ld"
        script.write_text(_linker_script(board, stack))
        link = [f"-Wl,-T,{script}", "-Wl,-e,mg_reset", "-Wl,--gc-sections", "-Wl,-z,max-page-size=4"]
        link += [*(f"-Wl,-u,{name}" for name in keep)]
        made = Path(scratch) / out.name
        _compile([*flags, *link], [*files, RUNTIME / "firmware" / "startup.c"], include_dirs, made)
        made.replace(out)
    sizes = _section_sizes(out)
    return Firmware(out, board, sizes[".text"], sizes[".rodata"], sizes[".data"], sizes[".bss"], sizes[".stack"])


def _scratch(out: Path) -> tempfile.TemporaryDirectory[str]:
    """A directory beside `out`, so that moving the finished file there is one atomic step."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".building-", dir=out.parent)


def _compile(flags: Sequence[str], files: Sequence[Path], include_dirs: Sequence[Path], out: Path) -> None:
    includes = [f"-I{directory}" for directory in (*include_dirs, RUNTIME / "include")]
    command = [sys.executable, "-m", "ziglang", "cc", *flags, *includes, *map(str, files), "-o", str(out)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0 or not out.exists():
        raise MicrograftError(f"the C compiler failed: {_first_error(run.stderr)}", where=out.name)


def _first_error(output: str) -> str:
    """The first line that states an error, without the notes and the excerpt around it."""
    stated = re.search(r"^.*\berror: .*$", output, re.MULTILINE)
    lines = output.strip().splitlines()
    return stated.group().strip() if stated else (lines[0] if lines else "it said nothing")


def _linker_script(board: Board, stack: int) -> str:
    template = (RUNTIME / "firmware" / "linker.ld.j2").read_text()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(board=board, stack=stack)


def _section_sizes(elf: Path) -> dict[str, int]:
    with elf.open("rb") as stream:
        sections = {section.name: int(section["sh_size"]) for section in ELFFile(stream).iter_sections()}
    return {name: sections.get(name, 0) for name in (".text", ".rodata", ".data", ".bss", ".stack")}
