"""high_codes: the int8 codes that a layer computes with, of int16 masters that steps smaller than a code move.

y = saturate(x / 2^8), to nearest, ties up. x: int16; y: int8 of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require
from micrograft.ops.scale import ScaleAttrs

PLACES = 8


def _infer(attrs: Attrs, types: Types) -> Types:
    require(types[0].dtype is DType.INT16, f"the masters are {types[0].dtype.value}, not int16")
    return (TensorType(types[0].shape, DType.INT8),)


def _evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
    codes = (arrays[0].astype(np.int32) + (1 << (PLACES - 1))) >> PLACES
    return (np.minimum(codes, 127).astype(np.int8),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("scale", dy, attrs=ScaleAttrs(2.0**-PLACES)),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    fields = (("size", node.inputs[0].type.size),)
    return (KernelCall("mg_high_codes_int8", "mg_elements_params", fields, (node.inputs[0], node.outputs[0])),)


def _samples() -> Iterator[Sample]:
    x = np.random.default_rng(1).integers(-32767, 32768, (3, 9)).astype(np.int16)
    x[0, :5] = -32767, 32767, 127, 128, -128
    yield Sample((x,), differentiable=())


HIGH_CODES = Operator(
    name="high_codes",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    cost=Cost(output=12),
)
