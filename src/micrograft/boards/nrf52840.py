"""Nordic nRF52840: Cortex-M4F, 1 MB flash, 256 KB RAM.

Source: Nordic, nRF52840 Product Specification, chapter Memory.
"""

from micrograft.boards.board import Board, Region

BOARD = Board(
    name="nrf52840",
    description="Nordic nRF52840: Cortex-M4F, 1 MB flash, 256 KB RAM",
    core="cortex_m4",
    fpu="vfp4d16sp",
    flash=Region("FLASH", 0x00000000, 1024 * 1024),
    ram=Region("RAM", 0x20000000, 256 * 1024),
    clock_hz=64_000_000,
)
