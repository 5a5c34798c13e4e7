"""Nordic nRF5340, application core: Cortex-M33F, 1 MB flash, 512 KB RAM.

Source: Nordic, nRF5340 Product Specification, chapter Memory.
"""

from micrograft.boards.board import Board, Region

BOARD = Board(
    name="nrf5340",
    description="Nordic nRF5340, application core: Cortex-M33F, 1 MB flash, 512 KB RAM",
    core="cortex_m33",
    fpu="fp_armv8d16sp",
    flash=Region("FLASH", 0x00000000, 1024 * 1024),
    ram=Region("RAM", 0x20000000, 512 * 1024),
    clock_hz=128_000_000,
    features=("dsp",),
)
