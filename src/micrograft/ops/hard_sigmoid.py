"""hard_sigmoid: y = min(max(slope·x + offset, 0), 1). The backward pass keeps one bit per element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types
from micrograft.ops.scale import ScaleAttrs


@dataclass(frozen=True)
class HardSigmoidAttrs(Attrs):
    """slope, offset: 1/6 and 1/2 in PyTorch, 0.2 and 0.5 by default in ONNX."""

    slope: float = 1 / 6
    offset: float = 0.5


def _infer(attrs: HardSigmoidAttrs, types: Types) -> Types:
    return types[0], TensorType(types[0].shape, DType.BIT)


def _evaluate(attrs: HardSigmoidAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    line = x * x.dtype.type(attrs.slope) + x.dtype.type(attrs.offset)
    return np.clip(line, 0, 1), (line > 0) & (line < 1)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy = gradients[0]
    assert dy is not None and isinstance(node.attrs, HardSigmoidAttrs)
    passed = backward.emit("mask_gradient", dy, backward.keep(node, "mask"))
    return (backward.emit("scale", passed, attrs=ScaleAttrs(node.attrs.slope)),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, HardSigmoidAttrs)
    (x,) = node.inputs
    y, *mask = node.outputs
    fields = (("size", x.type.size), ("slope", float(node.attrs.slope)), ("offset", float(node.attrs.offset)))
    pointers = (x, y, mask[0] if mask else None)
    return (KernelCall("mg_hard_sigmoid_float32", "mg_hard_sigmoid_params", fields, pointers),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, attrs in [((1, 11), HardSigmoidAttrs()), ((2, 3, 5), HardSigmoidAttrs(0.2, 0.5))]:
        x = generator.uniform(-5, 5, shape)
        for end in (-attrs.offset / attrs.slope, (1 - attrs.offset) / attrs.slope):
            x[np.abs(x - end) < 0.05] = 1.0  # finite differences are meaningless at a corner
        yield Sample((x.astype(np.float32),), attrs)


HARD_SIGMOID = Operator(
    name="hard_sigmoid",
    inputs=("x",),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=29),
)
