"""How kernels over two stretched operands are called; the geometry is that of `mg_broadcast_params`."""

from __future__ import annotations

from micrograft.ir.graph import Node
from micrograft.ir.types import Shape
from micrograft.ops.operator import KernelCall, KernelRule
from micrograft.ops.strides import stretched, walk

Fields = tuple[tuple[str, int | tuple[int, ...]], ...]


def broadcast_fields(a: Shape, b: Shape, y: Shape) -> Fields:
    """The contents of `mg_broadcast_params` for operands of shapes a and b that stretch to y."""
    way = walk(y, stretched(a, y), stretched(b, y))
    left, right = way.strides
    return (
        ("rows", way.rows),
        ("columns", way.columns),
        ("shape", way.shape),
        ("a_step", left.step),
        ("b_step", right.step),
        ("a_jump", left.jumps),
        ("b_jump", right.jumps),
    )


def broadcast_kernel(function: str, optional: int = 0) -> KernelRule:
    """Calls a kernel of a, b, y and so many optional outputs, for the type of y."""

    def call(node: Node) -> tuple[KernelCall, ...]:
        a, b = node.inputs
        y, *others = node.outputs
        fields = broadcast_fields(a.shape, b.shape, y.shape)
        missing = (None,) * (optional - len(others))
        name = f"{function}_{y.dtype.value}"
        return (KernelCall(name, "mg_broadcast_params", fields, (a, b, y, *others, *missing)),)

    return call
