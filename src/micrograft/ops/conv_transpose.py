"""conv_transpose: what a convolution's input gradient computes, as a layer, with a bias.

x: (1, *positions, C); weight: (C, *kernel, O/groups), as the convolution from O to C channels has it; bias: (O,);
y: (1, *spatial, O). It runs in the convolution's kernels, and so do its gradients: that of x is the convolution of
dy, that of the weight the convolution's with x and dy in each other's place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Shape
from micrograft.ops.broadcast import broadcast_fields
from micrograft.ops.conv import CONV_INPUT_GRADIENT, ConvAttrs, ConvInputGradientAttrs, ConvWeightGradientAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.linear import bias_gradient
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)


@dataclass(frozen=True)
class ConvTransposeAttrs(Attrs):
    """conv: the convolution from y to x. spatial: of y."""

    conv: ConvAttrs
    spatial: tuple[int, ...]

    def inner(self, weight: Shape) -> ConvInputGradientAttrs:
        """The input gradient that this layer is."""
        return ConvInputGradientAttrs(self.conv, (1, *self.spatial, weight[-1] * self.conv.groups))


def _infer(attrs: ConvTransposeAttrs, types: Types) -> Types:
    x, weight, *bias = types
    require(len(weight.shape) == len(attrs.spatial) + 2, f"the weight has {len(weight.shape)} axes")
    require(x.shape[-1:] == weight.shape[:1], f"the input has shape {x.shape}, but takes {weight.shape[0]} channels")
    require(
        weight.shape[0] % attrs.conv.groups == 0, f"{weight.shape[0]} inputs do not make {attrs.conv.groups} groups"
    )
    outputs = weight.shape[-1] * attrs.conv.groups
    window = attrs.conv.window(weight.shape[1:-1])
    window.check((1, *attrs.spatial, outputs))
    positions = window.output(attrs.spatial)
    require(x.shape[:-1] == (1, *positions), f"the input has shape {x.shape}, but {attrs.spatial} has {positions}")
    require(all(each.shape == (outputs,) for each in bias), "the bias does not match the outputs")
    return CONV_INPUT_GRADIENT.infer(attrs.inner(weight.shape), (x, weight))


def _evaluate(attrs: ConvTransposeAttrs, arrays: Arrays) -> Arrays:
    x, weight, *bias = arrays
    (y,) = CONV_INPUT_GRADIENT.evaluate(attrs.inner(weight.shape), (x, weight))
    return (y + bias[0] if bias else y,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, *bias = node.inputs
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, ConvTransposeAttrs)
    conv = node.attrs.conv
    dx = backward.emit("conv", dy, weight, attrs=conv) if backward.needs(x) else None
    dw = None
    if backward.needs(weight):
        attrs = ConvWeightGradientAttrs(conv, weight.shape[1:-1])
        dw = backward.emit("conv_weight_gradient", dy, x, attrs=attrs)
    return (dx, dw, *(bias_gradient(backward, each, dy) for each in bias))


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, *bias = node.inputs
    assert isinstance(node.attrs, ConvTransposeAttrs)
    y = node.outputs[0]
    inner = Node("conv_input_gradient", (x, weight), (y,), node.attrs.inner(weight.shape))
    calls = tuple(CONV_INPUT_GRADIENT.kernels[DType.FLOAT32](inner))
    if not bias:
        return calls
    fields = broadcast_fields(y.shape, bias[0].shape, y.shape)
    return (*calls, KernelCall("mg_add_float32", "mg_broadcast_params", fields, (y, bias[0], y)))


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    ones, none = (1, 1), ((0, 0), (0, 0))
    cases: list[tuple[Shape, int, tuple[int, ...], ConvAttrs, tuple[int, ...], bool]] = [
        ((1, 3, 4, 5), 6, (3, 3), ConvAttrs((2, 2), ((1, 1), (1, 1)), ones), (6, 8), True),
        ((1, 3, 4, 6), 4, (2, 3), ConvAttrs((2, 1), none, ones, 2), (6, 6), False),
        ((1, 4, 3, 8), 9, (1, 1), ConvAttrs(ones, none, ones), (4, 3), True),
        ((1, 3, 2, 4), 4, (3, 3), ConvAttrs((3, 2), ((0, 1), (1, 0)), (2, 1), 4), (10, 4), True),
        ((1, 5, 3), 7, (4,), ConvAttrs((2,), ((1, 1),), (1,)), (10,), True),
    ]
    for shape, outputs, kernel, attrs, spatial, bias in cases:
        weight = (shape[-1], *kernel, outputs // attrs.groups)
        shapes = [shape, weight, *([(outputs,)] if bias else [])]
        arrays = tuple(generator.standard_normal(each).astype(np.float32) for each in shapes)
        yield Sample(arrays, ConvTransposeAttrs(attrs, spatial))


CONV_TRANSPOSE = Operator(
    name="conv_transpose",
    inputs=("x", "weight", "bias?"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=lambda node: node.inputs[0].type.size * math.prod(node.inputs[1].shape[1:]),
    cost=Cost(mac=2.8, output=90),
)
