"""ST STM32F103RE: Cortex-M3, 512 KB flash, 64 KB RAM.

Source: ST, datasheet DS5792 (STM32F103xC/D/E), memory mapping.
"""

from micrograft.boards.board import Board, Region

BOARD = Board(
    name="stm32f103",
    description="ST STM32F103RE: Cortex-M3, 512 KB flash, 64 KB RAM",
    core="cortex_m3",
    fpu=None,
    flash=Region("FLASH", 0x08000000, 512 * 1024),
    ram=Region("RAM", 0x20000000, 64 * 1024),
    clock_hz=72_000_000,
)
