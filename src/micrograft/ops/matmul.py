"""matmul: the product of two activations over their last two axes, with the leading axes broadcast as NumPy does.

a: (..., M, K), or (..., K, M) where it is read transposed; b: (..., K, N) likewise; y: (..., M, N).
A product with a constant matrix is `linear`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.arithmetic import sum_back
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    Operator,
    Sample,
    ShapeError,
    Types,
    require,
)
from micrograft.ops.strides import MAX_RANK, broadcast_shape, stretched, walk


@dataclass(frozen=True)
class MatmulAttrs(Attrs):
    """transpose_a, transpose_b: whether an operand is read with its last two axes exchanged."""

    transpose_a: bool = False
    transpose_b: bool = False


def _matrix(shape: Shape, transposed: bool) -> tuple[int, int]:
    rows, columns = shape[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _infer(attrs: MatmulAttrs, types: Types) -> Types:
    a, b = types
    require(len(a.shape) >= 2 and len(b.shape) >= 2, f"{a.shape} and {b.shape} are not both matrices")
    (rows, inner), (other, columns) = _matrix(a.shape, attrs.transpose_a), _matrix(b.shape, attrs.transpose_b)
    batch = broadcast_shape(a.shape[:-2], b.shape[:-2])
    if batch is None or inner != other:
        raise ShapeError(f"there is no matrix product of {a.shape} and {b.shape}")
    require(len(batch) <= MAX_RANK, f"{a.shape} and {b.shape} have more than {MAX_RANK} leading axes")
    return (TensorType((*batch, rows, columns), a.dtype),)


def _evaluate(attrs: MatmulAttrs, arrays: Arrays) -> Arrays:
    a, b = arrays
    left: Array = a.swapaxes(-1, -2) if attrs.transpose_a else a
    right: Array = b.swapaxes(-1, -2) if attrs.transpose_b else b
    return (left @ right,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    a, b = node.inputs
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, MatmulAttrs)
    ta, tb = node.attrs.transpose_a, node.attrs.transpose_b

    def product(left: Value, right: Value, attrs: MatmulAttrs, factor: Value) -> Value:
        return sum_back(backward, backward.emit("matmul", left, right, attrs=attrs), factor.shape)

    da = db = None
    if backward.needs(a):
        da = product(b, dy, MatmulAttrs(tb, True), a) if ta else product(dy, b, MatmulAttrs(False, not tb), a)
    if backward.needs(b):
        db = product(dy, a, MatmulAttrs(True, ta), b) if tb else product(a, dy, MatmulAttrs(not ta, False), b)
    return da, db


def _call(node: Node) -> tuple[KernelCall, ...]:
    a, b = node.inputs
    y = node.outputs[0]
    assert isinstance(node.attrs, MatmulAttrs)
    (rows, inner), columns = _matrix(a.shape, node.attrs.transpose_a), y.shape[-1]
    batch = y.shape[:-2]
    a_strides, b_strides = (
        [step * rows * columns for step in stretched(shape[:-2], batch)]
        for shape, (rows, columns) in ((a.shape, a.shape[-2:]), (b.shape, b.shape[-2:]))
    )
    way = walk(batch, a_strides, b_strides)
    left, right = way.strides
    fields = (
        ("rows", rows), ("inner", inner), ("columns", columns),
        ("a_row", 1 if node.attrs.transpose_a else inner), ("a_inner", rows if node.attrs.transpose_a else 1),
        ("b_inner", 1 if node.attrs.transpose_b else columns), ("b_column", inner if node.attrs.transpose_b else 1),
        ("runs", way.rows), ("run", way.columns), ("shape", way.shape),
        ("a_step", left.step), ("b_step", right.step), ("a_jump", left.jumps), ("b_jump", right.jumps),
    )  # fmt: skip
    return (KernelCall("mg_matmul_float32", "mg_matmul_params", fields, (a, b, y)),)


def _macs(node: Node) -> int:
    assert isinstance(node.attrs, MatmulAttrs)
    return node.outputs[0].type.size * _matrix(node.inputs[0].shape, node.attrs.transpose_a)[1]


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    cases: list[tuple[Shape, Shape, MatmulAttrs]] = [
        ((3, 5), (5, 7), MatmulAttrs()),
        ((1, 2, 5, 3), (1, 2, 5, 8), MatmulAttrs(transpose_a=True)),
        ((2, 1, 3, 4), (3, 6, 4), MatmulAttrs(transpose_b=True)),
        ((4, 2), (2, 1, 3, 4), MatmulAttrs(True, True)),
        ((1, 4), (1, 4, 1), MatmulAttrs()),
    ]
    for a, b, attrs in cases:
        yield Sample(tuple(generator.standard_normal(shape).astype(np.float32) for shape in (a, b)), attrs)


MATMUL = Operator(
    name="matmul",
    inputs=("a", "b"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=_macs,
    cost=Cost(mac=4.3, output=9),
)
