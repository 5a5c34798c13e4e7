"""This computer as a `Device`: the shared library of a model, loaded into the process.

Our C keeps no state of its own, so any number of models can live in one loaded library, each in its buffers.
"""

import ctypes
from pathlib import Path

from micrograft.errors import MicrograftError


class HostLibrary:
    """A loaded library and the memory that was asked for on its behalf. A `Device`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self._buffers: dict[str, ctypes.Array[ctypes.c_uint64]] = {}  # of 64-bit words, for their alignment

    @property
    def pointer_bytes(self) -> int:
        """The size of a pointer of this computer, in bytes."""
        return ctypes.sizeof(ctypes.c_void_p)

    def call(self, symbol: str, *args: int | float) -> int:
        """Calls a C function; see `Device.call`. Pointers and sizes are passed in 64 bits."""
        return int(self._call(symbol, ctypes.c_int32, args))

    def call_float(self, symbol: str, *args: int | float) -> float:
        """Calls a C function that returns a float."""
        return float(self._call(symbol, ctypes.c_float, args))

    def buffer(self, name: str, size: int) -> int:
        """The address of `size` zeroed bytes, aligned to 8, that live as long as this object."""
        if name not in self._buffers:
            self._buffers[name] = (ctypes.c_uint64 * max(1, -(-size // 8)))()
        if ctypes.sizeof(self._buffers[name]) < size:
            raise MicrograftError(f"buffer '{name}' was made smaller than {size} bytes", where=self.path.name)
        return ctypes.addressof(self._buffers[name])

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes from `address` on. Raises `MicrograftError` outside the buffers."""
        self._check(address, size)
        return ctypes.string_at(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Puts `data` at `address`. Raises `MicrograftError` outside the buffers."""
        self._check(address, len(data))
        ctypes.memmove(address, data, len(data))

    def _call(self, symbol: str, result: type, args: tuple[int | float, ...]) -> int | float:
        try:
            function = self._library[symbol]
        except AttributeError:
            raise MicrograftError(f"there is no function '{symbol}'", where=self.path.name) from None
        function.restype = result
        passed = [ctypes.c_float(arg) if isinstance(arg, float) else ctypes.c_uint64(arg) for arg in args]
        returned: int | float = function(*passed)
        return returned

    def _check(self, address: int, size: int) -> None:
        for buffer in self._buffers.values():
            start = ctypes.addressof(buffer)
            if start <= address and address + size <= start + ctypes.sizeof(buffer):
                return
        raise MicrograftError(f"{size} bytes at {address:#x} lie in no buffer", where=self.path.name)
