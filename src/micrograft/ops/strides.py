"""How a kernel walks over tensors of up to five axes: rows of evenly spaced elements, and jumps between the rows.

Axes that lie behind one another in every tensor of the walk are merged first, so that tensors of equal shape
become one row, and a value per channel becomes a walk over two axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from micrograft.ir.types import Shape

OUTER = 4  # axes outside a row that a kernel can walk over: MG_OUTER_AXES in mg_walk.h
MAX_RANK = OUTER + 1


@dataclass(frozen=True)
class Stride:
    """How one tensor is walked: elements from one to the next in a row, and from row to row.

    jumps: what to add to the start of a row when outer axis i advances (and those inside it start again).
    """

    step: int
    jumps: tuple[int, ...]


@dataclass(frozen=True)
class Walk:
    """`rows` rows of `columns` elements; `shape` is that of the axes outside a row, with ones in front."""

    rows: int
    columns: int
    shape: tuple[int, ...]
    strides: tuple[Stride, ...]


def contiguous(shape: Shape) -> tuple[int, ...]:
    """Elements from one index to the next along each axis.

    >>> contiguous((2, 3, 4))
    (12, 4, 1)
    """
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides[: len(shape)]))


def broadcast_shape(*shapes: Shape) -> Shape | None:
    """The shape that all of `shapes` stretch to, None where there is none.

    >>> broadcast_shape((1, 5, 3), (3,))
    (1, 5, 3)
    """
    result = []
    for sizes in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        long = {size for size in sizes if size != 1}
        if len(long) > 1:
            return None
        result.append(long.pop() if long else 1)
    return tuple(reversed(result))


def stretched(shape: Shape, to: Shape) -> tuple[int, ...]:
    """Strides of a tensor of `shape` that is read as one of the shape `to`: 0 along the axes that it lacks.

    >>> stretched((3, 1), (2, 3, 4))
    (0, 1, 0)
    """
    missing = (0,) * (len(to) - len(shape))
    return missing + tuple(0 if size == 1 else step for size, step in zip(shape, contiguous(shape), strict=True))


def merged(shape: Shape, *strides: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
    """The axes of a walk over `shape`: (size, step of each tensor). Those that lie behind one another are one."""
    axes: list[tuple[int, tuple[int, ...]]] = []
    for size, *steps in zip(shape, *strides, strict=True):
        if size == 1:
            continue
        if axes and all(outer == inner * size for outer, inner in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = (axes[-1][0] * size, tuple(steps))
        else:
            axes.append((size, tuple(steps)))
    return axes or [(1, (1,) * len(strides))]


def walk(shape: Shape, *strides: Sequence[int]) -> Walk:
    """The walk over the indices of `shape`, for tensors with these strides, last axis fastest.

    At most five axes may be left after merging.
    """
    axes = merged(shape, *strides)
    assert len(axes) <= MAX_RANK, f"{shape} has too many axes to walk over"
    axes = [(1, (0,) * len(strides))] * (MAX_RANK - len(axes)) + axes
    *outer_axes, (columns, steps_in_row) = axes
    sizes = tuple(size for size, _ in outer_axes)
    rows = 1
    for size in sizes:
        rows *= size
    return Walk(
        rows,
        columns,
        sizes,
        tuple(
            Stride(step, _jumps(sizes, [outer[index] for _, outer in outer_axes]))
            for index, step in enumerate(steps_in_row)
        ),
    )


def _jumps(shape: Shape, strides: Sequence[int]) -> tuple[int, ...]:
    """Per axis its stride, less the way back along the axes inside it."""
    jumps, back = [], 0
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        jumps.append(stride - back)
        back += (size - 1) * stride
    return tuple(reversed(jumps))
