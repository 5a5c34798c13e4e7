"""What a value is: its element type and its static shape.

Every shape is known before any code is written; batch is the leading 1 and channels are last.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class DType(enum.Enum):
    """Element types. `BIT` is stored eight to a byte, lowest bit first."""

    FLOAT32 = "float32"
    INT32 = "int32"
    UINT8 = "uint8"
    BIT = "bit"

    @property
    def bits(self) -> int:
        """Size of one element, in bits."""
        return {DType.FLOAT32: 32, DType.INT32: 32, DType.UINT8: 8, DType.BIT: 1}[self]

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The NumPy type that the reference interpreter uses (`BIT` is bool, one per element)."""
        return np.dtype(np.bool_) if self is DType.BIT else np.dtype(self.value)

    @property
    def c(self) -> str:
        """The C type that a pointer to such elements has."""
        names = {DType.FLOAT32: "float", DType.INT32: "int32_t", DType.UINT8: "uint8_t", DType.BIT: "uint8_t"}
        return names[self]


@dataclass(frozen=True)
class TensorType:
    """Shape and element type of a value.

    >>> TensorType((1, 5, 3)).bytes
    60
    >>> TensorType((9,), DType.BIT).bytes
    2
    """

    shape: Shape
    dtype: DType = DType.FLOAT32

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory, in bytes."""
        return (self.size * self.dtype.bits + 7) // 8

    def __str__(self) -> str:
        return f"{self.dtype.value}({', '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class Value:
    """A named tensor. Names are unique in a graph and stand in the generated C."""

    name: str
    type: TensorType

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    def __str__(self) -> str:
        return f"%{self.name}: {self.type}"
