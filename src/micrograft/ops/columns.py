"""Scratch memory of int8 kernels: what they see of their input from two positions, as int16 (`mg_columns_int8.h`), and
the weights of four channels of a depthwise convolution, as int16 (`mg_taps_int8.h`)."""

from __future__ import annotations

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, TensorType, Value


def columns_of(node: Node, length: int) -> Value:
    """Scratch memory for two positions that see `length` codes each."""
    return Value(f"{node.outputs[0].name}.columns", TensorType((2 * (-(-length // 4) * 4),), DType.INT16))


def four_weights(node: Node) -> tuple[Value]:
    """Scratch memory of a depthwise convolution, whose second input is its weight: (..., channels)."""
    weight = node.inputs[1]
    size = 4 * weight.type.size // weight.shape[-1]
    return (Value(f"{node.outputs[0].name}.four", TensorType((size,), DType.INT16)),)


def row_columns(node: Node) -> tuple[Value]:
    """Scratch memory of a layer whose second input is its weight: (outputs, ...)."""
    weight = node.inputs[1]
    return (columns_of(node, weight.type.size // weight.shape[0]),)
