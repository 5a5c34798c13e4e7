"""What micrograft must know of a microcontroller board: its core and its memories.

Data only. What the compiler is told about a core is derived here, once, so that a board's file names nothing
but facts from its datasheet.
"""

from dataclasses import dataclass

FLOAT_UNITS = {"vfp4d16sp": "single-precision FPv4", "fp_armv8d16sp": "single-precision FPv5"}
CORES = ("cortex_m0plus", "cortex_m3", "cortex_m4", "cortex_m7", "cortex_m33")


@dataclass(frozen=True)
class Region:
    """A memory of `size` bytes that begins at address `origin`."""

    name: str
    origin: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.origin + self.size


@dataclass(frozen=True)
class Board:
    """A board: where programs live, where data live, and which instructions the core has.

    `core` is one of `CORES`; `fpu` is clang's name for the floating-point unit (one of `FLOAT_UNITS`), or None
    where floats are computed by the compiler's runtime. `clock_hz` is the highest rated clock, in hertz.
    `features` are further clang features that the core has (`dsp` on a Cortex-M33).

    >>> ram = Region("RAM", 0x20000000, 64 * 1024)
    >>> flash = Region("FLASH", 0x0, 256 * 1024)
    >>> board = Board("watch", "a watch", "cortex_m4", "vfp4d16sp", flash, ram, 64_000_000)
    >>> board.target, board.cpu
    ('thumb-freestanding-eabihf', 'cortex_m4+vfp4d16sp')
    """

    name: str
    description: str
    core: str
    fpu: str | None
    flash: Region
    ram: Region
    clock_hz: int
    features: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The compiler's `-target`: floats travel in float registers where there are any."""
        return "thumb-freestanding-eabihf" if self.fpu else "thumb-freestanding-eabi"

    @property
    def cpu(self) -> str:
        """The compiler's `-mcpu`."""
        extras = (*((self.fpu,) if self.fpu else ()), *self.features)
        return "+".join((self.core, *extras))
