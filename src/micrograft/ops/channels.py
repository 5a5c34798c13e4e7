"""take_channels and put_channels: some channels of a tensor, and some put into it. Neither rounds.

x: (..., C); index: (k,) int32, ascending; taken, part: (..., k). `put_channels` gives x with these channels replaced,
in place where nobody reads x afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, TensorType, Value
from micrograft.ops.cost import Cost
from micrograft.ops.linear import rows
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require


def require_index(index: TensorType, channels: int) -> int:
    """How many channels `index` names. Raises ShapeError unless it may name that many of so many."""
    require(index.dtype is DType.INT32 and len(index.shape) == 1, f"the index is {index}, not a list of int32")
    require(1 <= index.size <= channels, f"the index names {index.size} of {channels} channels")
    return index.size


def _infer_take(attrs: Attrs, types: Types) -> Types:
    x, index = types
    return (TensorType((*x.shape[:-1], require_index(index, x.shape[-1])), x.dtype, x.quant),)


def _fields(x: Value, index: Value) -> tuple[tuple[str, int], ...]:
    return ("rows", rows(x.shape)), ("channels", x.shape[-1]), ("chosen", index.type.size)


def take_call(x: Value, index: Value, y: Value) -> KernelCall:
    """The C call that copies some channels of x to y."""
    return KernelCall(f"mg_take_channels_{x.dtype.value}", "mg_channels_params", _fields(x, index), (x, index, y))


def _take_call(node: Node) -> tuple[KernelCall, ...]:
    x, index = node.inputs
    return (take_call(x, index, node.outputs[0]),)


def _cases() -> Iterator[tuple[tuple[int, ...], list[int]]]:
    yield (1, 7), [0, 6]
    yield (1, 3, 4, 5), [1, 2, 4]
    yield (2, 3), [0, 1, 2]
    yield (1, 9), [4]


def _take_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, index in _cases():
        yield Sample((generator.standard_normal(shape).astype(np.float32), np.array(index, np.int32)))
        yield Sample((generator.integers(-128, 128, shape).astype(np.int8), np.array(index, np.int32)))


TAKE_CHANNELS = Operator(
    name="take_channels",
    inputs=("x", "index"),
    infer=_infer_take,
    evaluate=lambda attrs, arrays: (arrays[0][..., arrays[1]],),
    samples=_take_samples,
    kernels={DType.FLOAT32: _take_call, DType.INT8: _take_call},
    cost=Cost(output=9),
)


def _infer_put(attrs: Attrs, types: Types) -> Types:
    x, part, index = types
    expected = (*x.shape[:-1], require_index(index, x.shape[-1]))
    require(part.shape == expected, f"the part has shape {part.shape}, not {expected}")
    return (x,)


def _put(attrs: Attrs, arrays: Arrays) -> Arrays:
    x, part, index = arrays
    y = x.copy()
    y[..., index] = part
    return (y,)


def put_call(x: Value, part: Value, index: Value, y: Value) -> KernelCall:
    """The C call that copies x to y and puts some channels into it."""
    function = f"mg_put_channels_{x.dtype.value}"
    return KernelCall(function, "mg_channels_params", _fields(x, index), (x, part, index, y))


def _put_call(node: Node) -> tuple[KernelCall, ...]:
    x, part, index = node.inputs
    return (put_call(x, part, index, node.outputs[0]),)


def _put_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, index in _cases():
        x, part = generator.standard_normal(shape), generator.standard_normal((*shape[:-1], len(index)))
        yield Sample((x.astype(np.float32), part.astype(np.float32), np.array(index, np.int32)))
        codes, other = (generator.integers(-128, 128, each.shape).astype(np.int8) for each in (x, part))
        yield Sample((codes, other, np.array(index, np.int32)))


PUT_CHANNELS = Operator(
    name="put_channels",
    inputs=("x", "part", "index"),
    infer=_infer_put,
    evaluate=_put,
    samples=_put_samples,
    kernels={DType.FLOAT32: _put_call, DType.INT8: _put_call},
    inplace=((0, 0),),
    cost=Cost(output=12),
)
