"""ST STM32L476RG: Cortex-M4F, 1 MB flash, 96 KB RAM.

Source: ST, datasheet DS10198 (STM32L476xx), memory mapping; SRAM1 alone.
"""

from micrograft.boards.board import Board, Region

BOARD = Board(
    name="stm32l476",
    description="ST STM32L476RG: Cortex-M4F, 1 MB flash, 96 KB RAM",
    core="cortex_m4",
    fpu="vfp4d16sp",
    flash=Region("FLASH", 0x08000000, 1024 * 1024),
    ram=Region("RAM", 0x20000000, 96 * 1024),
    clock_hz=80_000_000,
)
