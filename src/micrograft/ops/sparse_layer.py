"""sparse_layer: a linear layer or convolution whose weight lies in two places, most of it frozen in flash and some
channels, which are trained, in RAM.

x, bias, y: as of the layer. frozen: its weight, zero in the trained channels; weight: those channels, (O, ..., k) of
the input's or (k, ..., I) of the output's; index: (k,) int32, which they are, ascending. The kernel joins four outputs'
rows at a time in its scratch memory, so that every sum runs in the order of the ordinary layer and has its bits (of a
depthwise convolution, whose weight is small, it joins all). The backward pass keeps the chosen channels of x (`taken`)
where they are the input's, and x where they are the output's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.channels import put_call, require_index, take_call
from micrograft.ops.conv import CONV, ConvAttrs, ConvInputGradientAttrs, ConvWeightGradientAttrs, conv_kernel_call
from micrograft.ops.cost import Cost
from micrograft.ops.depthwise_conv import DEPTHWISE_CONV
from micrograft.ops.linear import LINEAR, bias_gradient, rows
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Field,
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
        return self.side == "input" or self.depthwise

    @property
    def depthwise(self) -> bool:
        """Whether each channel of the input meets one of the output alone."""
        return self.base.endswith("depthwise_conv")

    def check(self, weight: TensorType, part: TensorType, index: TensorType) -> None:
        """Raise ShapeError unless the part is so many channels of the weight."""
        count = require_index(index, weight.shape[0 if self.side == "output" else -1])
        expected = (count, *weight.shape[1:]) if self.side == "output" else (*weight.shape[:-1], count)
        found = (part.shape, part.dtype)
        require(found == (expected, weight.dtype), f"the trained channels are {part}, not {expected}")
        require(not self.depthwise or self.side == "input", "a depthwise weight's channels are its last axis")
        require(self.depthwise or getattr(self.conv, "groups", 1) == 1, "the layer has groups")

    @property
    def conv(self) -> ConvAttrs | None:
        """The convolution; None of a linear layer."""
        attrs = getattr(self.attrs, "conv", self.attrs)
        return attrs if isinstance(attrs, ConvAttrs) else None


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
    attrs.check(weight, part, index)
    (y,) = BASES[attrs.base].infer(attrs.attrs, (x, weight, *bias))
    return y, taken_type(attrs, x, y, index)


def taken_type(attrs: SparseAttrs, x: TensorType, y: TensorType, index: TensorType) -> TensorType:
    """What is kept of x. Raises ShapeError where a depthwise convolution makes several outputs of an input."""
    require(not attrs.depthwise or y.shape[-1] == x.shape[-1], "the layer has more outputs than inputs")
    return replace(x, shape=(*x.shape[:-1], index.size if attrs.keeps_channels else x.shape[-1]))


def _evaluate(attrs: SparseAttrs, arrays: Arrays) -> Arrays:
    x, weight, part, index, *bias = arrays
    whole = joined(attrs.side, weight, part, index)
    (y,) = BASES[attrs.base].evaluate(attrs.attrs, (x, whole, *bias))
    return y, x[..., index] if attrs.keeps_channels else x


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,), (_, _, part, _, *bias) = gradients, node.inputs
    assert dy is not None and isinstance(node.attrs, SparseAttrs)
    conv, base = node.attrs.conv, node.attrs.base
    attrs = ConvWeightGradientAttrs(conv, part.shape[1:-1]) if conv is not None else None
    dx, d_part = sparse_gradients(
        backward, node, dy, base, lambda x, dy: backward.emit(f"{base}_weight_gradient", x, dy, attrs=attrs)
    )
    return (dx, None, d_part, None, *(bias_gradient(backward, each, dy) for each in bias))


def sparse_gradients(
    backward: Backward, node: Node, dy: Value, base: str, weight_gradient: Callable[[Value, Value], Value]
) -> tuple[Value | None, Value | None]:
    """The gradients of x and of the trained channels, from that of the layer's sums.

    base: the layer on real numbers. weight_gradient: that of the ordinary layer, from x and dy.
    """
    x, frozen, part, index, *_ = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, SparseAttrs)

    def input_gradient(dy: Value, weight: Value, shape: Shape) -> Value:
        conv = ConvInputGradientAttrs(attrs.conv, shape) if attrs.conv is not None else None
        return backward.emit(f"{base}_input_gradient", dy, weight, attrs=conv)

    inputs_only = attrs.side == "input" and not attrs.depthwise
    chosen = dy if inputs_only else backward.emit("take_channels", dy, index)  # what reaches the trained channels
    dx = d_part = None
    if backward.needs(part):
        d_part = weight_gradient(backward.keep(node, "taken") if attrs.keeps_channels else x, chosen)
    if backward.needs(x) and attrs.keeps_channels:
        trained = input_gradient(chosen, part, (*x.shape[:-1], index.type.size))
        dx = backward.emit("put_channels", input_gradient(dy, frozen, x.shape), trained, index)
    elif backward.needs(x):
        dx = backward.emit("add", input_gradient(dy, frozen, x.shape), input_gradient(chosen, part, x.shape))
    return dx, d_part


def joining_scratch(node: Node) -> tuple[Value, ...]:
    """Where the kernel joins rows of the weight."""
    assert isinstance(node.attrs, SparseAttrs)
    weight = node.inputs[1]
    rows = weight.shape[0] if node.attrs.depthwise else min(_BLOCK, weight.shape[0])
    (scratch,) = (scratch_of(node, weight.type.size // weight.shape[0] * rows),)
    return (replace(scratch, type=replace(scratch.type, dtype=weight.dtype)),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, part, index, *bias = node.inputs
    attrs, y = node.attrs, node.outputs[0]
    assert isinstance(attrs, SparseAttrs)
    (scratch,) = joining_scratch(node)
    start = bias[0] if bias else None
    calls: tuple[KernelCall, ...]
    if attrs.depthwise:
        assert attrs.conv is not None
        put = put_call(weight, part, index, scratch)
        window = attrs.conv.window(weight.shape[1:-1])
        channels = x.shape[-1]
        pointers = (x, scratch, start, y)
        calls = (put, *conv_kernel_call("mg_depthwise_conv_float32", window, x.shape, channels, channels, *pointers))
    else:
        two_places = Group("mg_sparse_weight", (("frozen", weight), ("part", part), ("index", index)))
        calls = (KernelCall("mg_sparse_conv_float32", "mg_sparse_conv_params", shape_fields(attrs, x, weight, index),
                            (x, two_places, start, scratch, y)),)  # fmt: skip
    return (*calls, *taken_calls(node, 1))


def taken_calls(node: Node, output: int) -> tuple[KernelCall, ...]:
    """The call that keeps the chosen channels of x, where somebody wants them."""
    if len(node.outputs) <= output:
        return ()
    assert isinstance(node.attrs, SparseAttrs)
    x, index, taken = node.inputs[0], node.inputs[3], node.outputs[output]
    if node.attrs.keeps_channels:
        return (take_call(x, index, taken),)
    fields = (("rows", 1), ("channels", x.type.size), ("chosen", 0))
    pointers = (x, None, None, taken)
    return (KernelCall(f"mg_put_channels_{x.dtype.value}", "mg_channels_params", fields, pointers),)


def shape_fields(attrs: SparseAttrs, x: Value, weight: Value, index: Value) -> tuple[Field, ...]:
    """The first fields of the kernel's parameters. A linear layer is a 1×1 convolution along its rows."""
    conv, shape, kernel = attrs.conv, x.shape, weight.shape[1:-1]
    if conv is None:
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
            places = sample_places(generator, weight, side, number)
            wanted = (0, 2, *range(4, 4 + len(bias)))
            yield Sample((x, *places, *bias), SparseAttrs(name, sample.attrs, side), wanted)


def sample_places(generator: np.random.Generator, weight: Array, side: Side, number: int) -> tuple[Array, Array, Array]:
    """A weight as two: what is frozen, what is trained, and which channels that is."""
    channels = weight.shape[0 if side == "output" else -1]
    index = np.sort(generator.permutation(channels)[: 1 + number % channels]).astype(np.int32)
    places = index if side == "output" else (..., index)
    frozen, part = weight.copy(), weight[places].copy()
    frozen[places] = 0
    return frozen, part, index


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
    cost=Cost(mac=2.7, output=33, optional=14),
    scratch=joining_scratch,
)
