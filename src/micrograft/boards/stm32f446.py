"""ST STM32F446RE: Cortex-M4F, 512 KB flash, 128 KB RAM.

Source: ST, datasheet DS10693 (STM32F446xC/E), memory mapping.
"""

from micrograft.boards.board import Board, Region

BOARD = Board(
    name="stm32f446",
    description="ST STM32F446RE: Cortex-M4F, 512 KB flash, 128 KB RAM",
    core="cortex_m4",
    fpu="vfp4d16sp",
    flash=Region("FLASH", 0x08000000, 512 * 1024),
    ram=Region("RAM", 0x20000000, 128 * 1024),
    clock_hz=180_000_000,
)
