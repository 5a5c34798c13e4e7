"""What operators share that only move elements: they do so with real numbers and with codes of any width.

The gradient of such an operator moves elements back, so in integers (`block`) it is the same operator on the codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from micrograft.ir.graph import Block, Node
from micrograft.ir.types import DType, Value
from micrograft.ops.operator import Blocks, KernelRule, Sample

MOVED = (DType.FLOAT32, DType.INT8, DType.INT16)


def moving(what: str, x: Value) -> str:
    """The kernel that moves elements of the type of x."""
    return f"mg_{what}_{x.dtype.value}"


def for_all_moved(rule: KernelRule) -> Mapping[DType, KernelRule]:
    """The kernels of an operator that moves elements of all types."""
    return dict.fromkeys(MOVED, rule)


def moved_in_blocks(blocks: Blocks, node: Node) -> Block | None:
    """The integer rule of a gradient that moves: the scale stays."""
    dy = blocks.known(node.inputs[0])
    return None if dy is None else Block(blocks.emit(node.op, dy.codes, attrs=node.attrs), dy.scale, dy.unit)


def each_type(samples: Callable[[], Iterable[Sample]]) -> Callable[[], Iterator[Sample]]:
    """The samples, and the same with codes of 8 and of 16 bits for real numbers."""

    def every() -> Iterator[Sample]:
        for sample in samples():
            yield sample
            for dtype in (DType.INT8, DType.INT16):
                largest = np.iinfo(dtype.numpy).max  # type: ignore[type-var]
                arrays = (np.clip(array * (largest / 3), -largest, largest) for array in sample.inputs)
                yield Sample(tuple(np.asarray(np.rint(array), dtype.numpy) for array in arrays), sample.attrs)

    return every
