"""ST STM32H743ZI: Cortex-M7, 2 MB flash, 512 KB AXI SRAM.

Source: ST, datasheet DS12110 (STM32H742xI/G, STM32H743xI/G), memory mapping.
"""

from micrograft.boards.board import Board, Region

BOARD = Board(
    name="stm32h743",
    description="ST STM32H743ZI: Cortex-M7, 2 MB flash, 512 KB AXI SRAM",
    core="cortex_m7",
    fpu="fp_armv8d16sp",
    flash=Region("FLASH", 0x08000000, 2048 * 1024),
    ram=Region("RAM", 0x24000000, 512 * 1024),
    clock_hz=480_000_000,
)
