"""embedding: rows of a table, chosen by tokens. x: (...) int32; weight: (rows, C); y: (..., C).

The generated C refuses a sample with a token that is no row (`vocabulary`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Graph, Node
from micrograft.ir.types import DType, TensorType, Value
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require


@dataclass(frozen=True)
class EmbeddingAttrs(Attrs):
    """rows: of the table. padding: the token whose row is not trained, -1 for none."""

    rows: int
    padding: int = -1


def _infer(attrs: EmbeddingAttrs, types: Types) -> Types:
    x, weight = types
    require(x.dtype is DType.INT32, f"the tokens are {x.dtype.value}, not int32")
    require(
        len(weight.shape) == 2 and weight.shape[0] == attrs.rows,
        f"the table has shape {weight.shape}, not ({attrs.rows}, columns)",
    )
    return (TensorType((*x.shape, weight.shape[1]), weight.dtype),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight = node.inputs
    (dy,) = gradients
    assert dy is not None
    dw = backward.emit("embedding_gradient", x, dy, attrs=node.attrs) if backward.needs(weight) else None
    return None, dw


def _fields(node: Node, columns: int) -> tuple[tuple[str, int], ...]:
    assert isinstance(node.attrs, EmbeddingAttrs)
    tokens = node.inputs[0].type.size
    return ("tokens", tokens), ("rows", node.attrs.rows), ("columns", columns), ("padding", node.attrs.padding)


def _call(node: Node) -> tuple[KernelCall, ...]:
    y = node.outputs[0]
    pointers = (*node.inputs, y)
    return (KernelCall("mg_embedding_float32", "mg_embedding_params", _fields(node, y.shape[-1]), pointers),)


def vocabulary(graph: Graph, value: Value) -> int:
    """How many tokens `value` may have, since tables are read with it; 0 where none is."""
    tables = [node.attrs for node in graph.nodes if node.inputs and node.inputs[0] == value]
    return min((attrs.rows for attrs in tables if isinstance(attrs, EmbeddingAttrs)), default=0)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, rows, columns, padding in [((1, 6), 4, 5, -1), ((1, 2, 3), 3, 1, 1), ((1,), 2, 8, -1)]:
        tokens = generator.integers(0, rows, shape).astype(np.int32)
        weight = generator.standard_normal((rows, columns)).astype(np.float32)
        wanted = () if padding >= 0 else (1,)  # where a row is not trained the gradient is no derivative
        yield Sample((tokens, weight), EmbeddingAttrs(rows, padding), differentiable=wanted)


EMBEDDING = Operator(
    name="embedding",
    inputs=("x", "weight"),
    infer=_infer,
    evaluate=lambda attrs, arrays: (arrays[1][arrays[0]],),
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    cost=Cost(output=4, input=12),
)


def _infer_gradient(attrs: EmbeddingAttrs, types: Types) -> Types:
    x, dy = types
    require(x.shape == dy.shape[:-1], "the gradient does not match the tokens")
    return (TensorType((attrs.rows, dy.shape[-1]), dy.dtype),)


def _evaluate_gradient(attrs: EmbeddingAttrs, arrays: Arrays) -> Arrays:
    x, dy = arrays
    dw = np.zeros((attrs.rows, dy.shape[-1]), dy.dtype)
    np.add.at(dw, x, dy)
    if attrs.padding >= 0:
        dw[attrs.padding] = 0
    return (dw,)


def _gradient_call(node: Node) -> tuple[KernelCall, ...]:
    columns = node.inputs[1].shape[-1]
    pointers = (*node.inputs, node.outputs[0])
    return (KernelCall("mg_embedding_gradient_float32", "mg_embedding_params", _fields(node, columns), pointers),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for sample in _samples():
        tokens, weight = sample.inputs
        dy = generator.standard_normal((*tokens.shape, weight.shape[1])).astype(np.float32)
        yield Sample((tokens, dy), sample.attrs)


EMBEDDING_GRADIENT = Operator(
    name="embedding_gradient",
    inputs=("x", "dy"),
    infer=_infer_gradient,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _gradient_call},
    cost=Cost(output=10, input=27),
)
