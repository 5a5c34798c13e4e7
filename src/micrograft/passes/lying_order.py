"""How the axes of a reshaped tensor lie in memory, where it was transposed before: so a reshape slips under a view."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise
from operator import mul

from micrograft.ir.types import Shape


def lying_order(seen: Shape, permutation: Sequence[int], to: Shape) -> tuple[int, ...] | None:
    """The axes of `to` in the order in which they lie in memory; those of length one stay where they are.

    seen: the shape before the reshape, whose axis i lies at place `permutation[i]`. None where an axis of `to` does
    not lie in one piece.

    >>> lying_order((1, 8, 4, 6), (0, 3, 1, 2), (1, 8, 24))  # channels first, seen of channels last; flattened
    (0, 2, 1)
    >>> lying_order((5, 4), (1, 0), (20,)) is None
    True
    """
    parts = _common_parts(seen, to)
    if parts is None:
        return None
    parts.sort(key=lambda part: permutation[part[0]])  # stable: the parts of an axis stay in order
    lying = [axis for axis, _ in groupby(axis for _, axis in parts)]
    if len(set(lying)) != len(lying) or not _ascending(parts):
        return None
    inner = iter(lying)
    return tuple(next(inner) if size != 1 else axis for axis, size in enumerate(to))


def _common_parts(old: Shape, new: Shape) -> list[tuple[int, int]] | None:
    """The finest pieces of two shapes of the same elements: for each its axis in either; None where they cut across."""
    ends = sorted({*accumulate(old, mul), *accumulate(new, mul)} - {1})
    if any(after % before for before, after in pairwise(ends)):
        return None
    return [(_axis_to(old, end), _axis_to(new, end)) for end in ends]


def _axis_to(shape: Shape, end: int) -> int:
    """The axis in which the piece that ends at this product lies."""
    return next(axis for axis, product in enumerate(accumulate(shape, mul)) if product >= end)


def _ascending(parts: Sequence[tuple[int, int]]) -> bool:
    """Whether the parts of each new axis come from old axes in their old order."""
    return all(a[1] != b[1] or a[0] <= b[0] for a, b in pairwise(parts))
