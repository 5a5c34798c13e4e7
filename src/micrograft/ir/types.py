"""What a value is: its element type and its static shape.

Every shape is known before any code is written; batch is the leading 1 and channels are last.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class DType(enum.Enum):
    """Element types. `BIT` is stored eight to a byte, lowest bit first."""

    FLOAT32 = "float32"
    INT32 = "int32"
    INT16 = "int16"
    INT8 = "int8"
    UINT8 = "uint8"
    BIT = "bit"

    @property
    def bits(self) -> int:
        """Size of one element, in bits."""
        return {DType.BIT: 1, DType.INT8: 8, DType.UINT8: 8, DType.INT16: 16}.get(self, 32)

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The NumPy type that the reference interpreter uses (`BIT` is bool, one per element)."""
        return np.dtype(np.bool_) if self is DType.BIT else np.dtype(self.value)

    @property
    def c(self) -> str:
        """The C type that a pointer to such elements has."""
        return {DType.FLOAT32: "float", DType.BIT: "uint8_t"}.get(self, f"{self.value}_t")


@dataclass(frozen=True)
class Quantization:
    """What integer codes mean: real = scale · (code − zero_point).

    One scale and zero point for the whole tensor, or one of each for every place along `axis`. Scales are float32.

    >>> Quantization((0.5,), (-128,)).real(np.array([-128, 0], np.int8))
    array([ 0., 64.], dtype=float32)
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None = None

    @property
    def scale(self) -> float:
        """The one scale of a whole tensor."""
        (scale,) = self.scales
        return scale

    @property
    def zero(self) -> int:
        """The one zero point of a whole tensor: the code that means 0."""
        (zero,) = self.zero_points
        return zero

    def real(self, codes: Array) -> Array:
        """The real numbers that int8 or int32 codes stand for, float32."""
        along = [1] * codes.ndim
        if self.axis is not None:
            along[self.axis] = -1
        scales = np.asarray(self.scales, np.float32).astype(np.float64).reshape(along)
        zeros = np.reshape(self.zero_points, along)
        return np.asarray((codes.astype(np.float64) - zeros) * scales, np.float32)

    def codes(self, real: Array) -> Array:
        """The int8 codes nearest to real numbers, ties to even, saturated. For a whole tensor's scale only.

        >>> Quantization((0.5,), (0,)).codes(np.array([0.25, 0.75, 100.0]))
        array([  0,   2, 127], dtype=int8)
        """
        steps = np.round(np.asarray(real, np.float32) / np.float32(self.scale)) + self.zero
        return np.asarray(np.clip(steps, -128, 127), np.int8)

    def moved(self, permutation: Sequence[int]) -> Quantization:
        """The same for the tensor with its axes permuted."""
        return self if self.axis is None else replace(self, axis=list(permutation).index(self.axis))

    def __str__(self) -> str:
        if self.axis is not None:
            return f"{len(self.scales)} scales along axis {self.axis}"
        return f"scale {np.float32(self.scale)}, zero {self.zero}"


@dataclass(frozen=True)
class TensorType:
    """Shape and element type of a value. quant: what the codes mean, of an int8 activation or a quantized weight.

    >>> TensorType((1, 5, 3)).bytes
    60
    >>> TensorType((9,), DType.BIT).bytes
    2
    """

    shape: Shape
    dtype: DType = DType.FLOAT32
    quant: Quantization | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory, in bytes."""
        return (self.size * self.dtype.bits + 7) // 8

    def __str__(self) -> str:
        meaning = f" of {self.quant}" if self.quant is not None else ""
        return f"{self.dtype.value}({', '.join(map(str, self.shape))}){meaning}"


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
