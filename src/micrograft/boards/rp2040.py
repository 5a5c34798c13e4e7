"""Raspberry Pi RP2040 (Pico): Cortex-M0+, 2 MB external flash, 264 KB RAM.

Source: Raspberry Pi, RP2040 Datasheet and Pico Datasheet.
"""

from micrograft.boards.board import Board, Region

BOARD = Board(
    name="rp2040",
    description="Raspberry Pi RP2040 (Pico): Cortex-M0+, 2 MB external flash, 264 KB RAM",
    core="cortex_m0plus",
    fpu=None,
    flash=Region("FLASH", 0x10000000, 2048 * 1024),
    ram=Region("RAM", 0x20000000, 264 * 1024),
    clock_hz=133_000_000,
)
