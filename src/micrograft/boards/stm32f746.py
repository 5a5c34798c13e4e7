"""ST STM32F746NG: Cortex-M7, 1 MB flash, 320 KB RAM.

Source: ST, datasheet DS10916 (STM32F745xx/746xx), memory mapping.
"""

from micrograft.boards.board import Board, Region

BOARD = Board(
    name="stm32f746",
    description="ST STM32F746NG: Cortex-M7, 1 MB flash, 320 KB RAM",
    core="cortex_m7",
    fpu="fp_armv8d16sp",
    flash=Region("FLASH", 0x08000000, 1024 * 1024),
    ram=Region("RAM", 0x20000000, 320 * 1024),
    clock_hz=216_000_000,
)
