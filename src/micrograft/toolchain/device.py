"""What a machine that runs our C can do, whether it is this computer or an emulated board.

Addresses are the device's own and mean nothing elsewhere.
"""

from typing import Protocol


class Device(Protocol):
    """Runs the functions of one built model and gives access to the memory they work in."""

    @property
    def pointer_bytes(self) -> int:
        """The size of a pointer in bytes, which is that of C's `size_t` too."""

    def call(self, symbol: str, *args: int | float) -> int:
        """Calls a C function; ints (addresses, sizes) and floats as C would pass them.

        Returns its result as a signed 32-bit number, which means nothing if the function is void.
        """

    def call_float(self, symbol: str, *args: int | float) -> float:
        """Calls a C function that returns a float."""

    def buffer(self, name: str, size: int) -> int:
        """The address of `size` zeroed bytes called `name`, the same each time it is asked for.

        On a board this is the firmware's own variable of that name.
        """

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes from `address` on."""

    def write(self, address: int, data: bytes) -> None:
        """Puts `data` at `address`."""
