"""What int8 kernels see of their input: two positions as int16, in scratch memory (`mg_columns_int8.h`)."""

from __future__ import annotations

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, TensorType, Value


def columns_of(node: Node, length: int) -> Value:
    """Scratch memory for two positions that see `length` codes each."""
    return Value(f"{node.outputs[0].name}.columns", TensorType((2 * (-(-length // 4) * 4),), DType.INT16))


def row_columns(node: Node) -> tuple[Value]:
    """Scratch memory of a layer whose second input is its weight: (outputs, ...)."""
    weight = node.inputs[1]
    return (columns_of(node, weight.type.size // weight.shape[0]),)
