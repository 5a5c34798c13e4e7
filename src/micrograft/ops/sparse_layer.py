"""sparse_layer: a linear layer or convolution whose weight lies in two places, most of it frozen in flash and some
channels, which are trained, in RAM.

x, bias, y: as of the layer. frozen: its weight, zero in the trained channels; weight: those channels, (O, ..., k) of
the input's or (k, ..., I) of the output's; index: (k,) int32, which they are, ascending. The kernel joins four outputs'
rows at a time in its scratch memory, so that every sum runs in the order of the ordinary layer and has its bits (of a
depthwise convolution, whose weight is small, it joins all). The backward pass keeps the chosen channels of x (`taken`)
where they are the input's, and x where they are the output's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.channels import put_call, require_index, take_call
from micrograft.ops.conv import CONV, ConvAttrs, ConvInputGradientAttrs, ConvWeightGradientAttrs, conv_kernel_call
from micrograft.ops.depthwise_conv import DEPTHWISE_CONV
from micrograft.ops.linear import LINEAR, bias_gradient, rows
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    Group,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
    scratch_of,
)

Side = Literal["input", "output"]
BASES = {operator.name: operator for operator in (LINEAR, CONV, DEPTHWISE_CONV)}
"""The layers that there are in this form."""

_BLOCK = 4
"""Outputs whose rows are joined at a time; the kernel's own number."""


@dataclass(frozen=True)
class SparseAttrs(Attrs):
    """base, attrs: the ordinary layer. side: whose channels are trained; a depthwise convolution's are both."""

    base: str
    attrs: Attrs
    side: Side

    @property
    def keeps_channels(self) -> bool:
        """Whether the gradient of the part needs no more of x than the chosen channels."""
        return self.side == "input" or self.base == "depthwise_conv"


def joined(side: Side, weight: Array, part: Array, index: Array) -> Array:
    """The whole weight."""
    whole = weight.copy()
    if side == "output":
        whole[index] = part
    else:
        whole[..., index] = part
    return whole


def _infer(attrs: SparseAttrs, types: Types) -> Types:
    x, weight, part, index, *bias = types
    channels = weight.shape[0 if attrs.side == "output" else -1]
    count = require_index(index, channels)
    expected = (count, *weight.shape[1:]) if attrs.side == "output" else (*weight.shape[:-1], count)
    require(part == replace(weight, shape=expected), f"the trained channels are {part}, not {expected}")
    require(attrs.base != "depthwise_conv" or attrs.side == "input", "a depthwise weight's channels are its last axis")
    require(attrs.base != "conv" or getattr(attrs.attrs, "groups", 1) == 1, "the layer has groups")
    (y,) = BASES[attrs.base].infer(attrs.attrs, (x, weight, *bias))
    require(attrs.base != "depthwise_conv" or y.shape[-1] == x.shape[-1], "the layer has more outputs than inputs")
    taken = index.size if attrs.keeps_channels else x.shape[-1]
    return y, TensorType((*x.shape[:-1], taken), x.dtype)


def _evaluate(attrs: SparseAttrs, arrays: Arrays) -> Arrays:
    x, weight, part, index, *bias = arrays
    whole = joined(attrs.side, weight, part, index)
    (y,) = BASES[attrs.base].evaluate(attrs.attrs, (x, whole, *bias))
    return y, x[..., index] if attrs.keeps_channels else x


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, part, index, *bias = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, SparseAttrs)
    chosen = dy  # what reaches the trained channels
    if not (attrs.side == "input" and attrs.base != "depthwise_conv"):
        chosen = backward.emit("take_channels", dy, index)
    dx = d_part = None
    if backward.needs(part):
        read = backward.keep(node, "taken") if attrs.keeps_channels else x
        d_part = _weight_gradient(backward, attrs, read, chosen, part)
    if backward.needs(x):
        frozen = _input_gradient(backward, attrs, dy, weight, x.shape)
        if attrs.keeps_channels:
            trained = _input_gradient(backward, attrs, chosen, part, (*x.shape[:-1], index.type.size))
            dx = backward.emit("put_channels", frozen, trained, index)
        else:
            dx = backward.emit("add", frozen, _input_gradient(backward, attrs, chosen, part, x.shape))
    return (dx, None, d_part, None, *(bias_gradient(backward, each, dy) for each in bias))


def _input_gradient(backward: Backward, attrs: SparseAttrs, dy: Value, weight: Value, x: Shape) -> Value:
    conv = ConvInputGradientAttrs(attrs.attrs, x) if isinstance(attrs.attrs, ConvAttrs) else None
    return backward.emit(f"{attrs.base}_input_gradient", dy, weight, attrs=conv)


def _weight_gradient(backward: Backward, attrs: SparseAttrs, x: Value, dy: Value, part: Value) -> Value:
    kernel = part.shape[1:-1]
    conv = ConvWeightGradientAttrs(attrs.attrs, kernel) if isinstance(attrs.attrs, ConvAttrs) else None
    return backward.emit(f"{attrs.base}_weight_gradient", x, dy, attrs=conv)


def _scratch(node: Node) -> tuple[Value, ...]:
    assert isinstance(node.attrs, SparseAttrs)
    weight = node.inputs[1]
    if node.attrs.base == "depthwise_conv":
        return (scratch_of(node, weight.type.size),)
    return (scratch_of(node, weight.type.size // weight.shape[0] * min(_BLOCK, weight.shape[0])),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, part, index, *bias = node.inputs
    attrs, y = node.attrs, node.outputs[0]
    assert isinstance(attrs, SparseAttrs)
    (scratch,) = _scratch(node)
    start = bias[0] if bias else None
    calls: tuple[KernelCall, ...]
    if attrs.base == "depthwise_conv":
        assert isinstance(attrs.attrs, ConvAttrs)
        put = put_call(weight, part, index, scratch)
        window = attrs.attrs.window(weight.shape[1:-1])
        channels = x.shape[-1]
        pointers = (x, scratch, start, y)
        calls = (put, *conv_kernel_call("mg_depthwise_conv_float32", window, x.shape, channels, channels, *pointers))
    else:
        two_places = Group("mg_sparse_weight", (("frozen", weight), ("part", part), ("index", index)))
        calls = (KernelCall("mg_sparse_conv_float32", "mg_sparse_conv_params", _fields(attrs, x, weight, index),
                            (x, two_places, start, scratch, y)),)  # fmt: skip
    if len(node.outputs) == 1:
        return calls
    if attrs.keeps_channels:
        return (*calls, take_call(x, index, node.outputs[1]))
    fields = (("rows", 1), ("columns", x.type.size), ("x_stride", 0), ("y_stride", 0))
    return (*calls, KernelCall("mg_copy_float32", "mg_copy_params", fields, (x, node.outputs[1])))


def _fields(
    attrs: SparseAttrs, x: Value, weight: Value, index: Value
) -> tuple[tuple[str, int | float | tuple[int, ...]], ...]:
    """A linear layer is a 1×1 convolution along the vectors of its input."""
    conv, shape, kernel = attrs.attrs, x.shape, weight.shape[1:-1]
    if not isinstance(conv, ConvAttrs):
        conv, shape, kernel = ConvAttrs((1,), ((0, 0),), (1,)), (1, rows(x.shape), x.shape[-1]), (1,)
    return (
        *conv.window(kernel).fields(shape),
        ("in_channels", x.shape[-1]),
        ("out_channels", weight.shape[0]),
        ("chosen", index.type.size),
        ("by_output", int(attrs.side == "output")),
    )


def _macs(node: Node) -> int:
    assert isinstance(node.attrs, SparseAttrs)
    x, weight, *_ = node.inputs
    base = Node(node.attrs.base, (x, weight), node.outputs[:1], node.attrs.attrs)
    return BASES[node.attrs.base].macs(base)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for name, base in BASES.items():
        for number, sample in enumerate(base.samples()):
            x, weight, *bias = sample.inputs
            grouped = getattr(sample.attrs, "groups", 1) != 1
            if grouped or (name == "depthwise_conv" and weight.shape[-1] != x.shape[-1]):
                continue
            side: Side = "output" if number % 2 and name != "depthwise_conv" else "input"
            channels = weight.shape[0 if side == "output" else -1]
            index = np.sort(generator.permutation(channels)[: 1 + number % channels]).astype(np.int32)
            frozen = weight.copy()
            part = weight[index].copy() if side == "output" else weight[..., index].copy()
            if side == "output":
                frozen[index] = 0
            else:
                frozen[..., index] = 0
            wanted = (0, 2, *range(4, 4 + len(bias)))
            yield Sample((x, frozen, part, index, *bias), SparseAttrs(name, sample.attrs, side), wanted)


SPARSE_LAYER = Operator(
    name="sparse_layer",
    inputs=("x", "frozen", "weight", "index", "bias?"),
    outputs=("y", "taken"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=_macs,
    scratch=_scratch,
)
