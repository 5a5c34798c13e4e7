"""fused_sgd, fused_sgd_momentum: a float32 weight is updated while its gradient is computed, four outputs at a time.

x, dy: what the weight's gradient is computed from; the rest as in `optimizers`. The gradient never exists as a whole,
and the results are those of the two nodes apart, to the last bit. fused_square_sum is the first pass over a gradient
that is clipped by its own norm: the gradient is then computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops.conv import CONV_WEIGHT_GRADIENT, ConvAttrs, ConvWeightGradientAttrs
from micrograft.ops.cost import CostRule
from micrograft.ops.depthwise_conv import DEPTHWISE_CONV_WEIGHT_GRADIENT
from micrograft.ops.linear import LINEAR_WEIGHT_GRADIENT, rows
from micrograft.ops.operator import Arrays, Group, KernelCall, Operator, Sample, Types, scratch_of
from micrograft.ops.optimizers import SGD, SGD_MOMENTUM, SQUARE_SUM, SgdAttrs, SgdMomentumAttrs

WEIGHT_GRADIENTS = {
    each.name: each for each in (LINEAR_WEIGHT_GRADIENT, CONV_WEIGHT_GRADIENT, DEPTHWISE_CONV_WEIGHT_GRADIENT)
}
"""The gradients that can be computed part by part."""

_LINEAR = ConvWeightGradientAttrs(ConvAttrs((1,), ((0, 0),), (1,)), (1,))
"""A linear layer as a convolution along its rows."""

_ROWS = 4
"""Outputs of which the gradient is computed at a time; the kernel's own number."""


@dataclass(frozen=True)
class FusedAttrs(Attrs):
    """gradient, attrs: the operator that computes the gradient as a whole. The rest as in `optimizers`."""

    gradient: str
    attrs: Attrs
    weight_decay: float = 0.0
    momentum: float = 0.0

    def infer(self, x: TensorType, dy: TensorType) -> TensorType:
        """The type of the gradient."""
        (gradient,) = WEIGHT_GRADIENTS[self.gradient].infer(self.attrs, (x, dy))
        return gradient

    def evaluate(self, x: Array, dy: Array) -> Array:
        """The gradient."""
        (gradient,) = WEIGHT_GRADIENTS[self.gradient].evaluate(self.attrs, (x, dy))
        return gradient


def _whole(node: Node) -> Node:
    """The node that computes the gradient as a whole."""
    attrs, (x, dy) = node.attrs, _read(node)
    assert isinstance(attrs, FusedAttrs)
    gradient = Value(f"{node.outputs[0].name}.gradient", attrs.infer(x.type, dy.type))
    return Node(attrs.gradient, (x, dy), (gradient,), attrs.attrs)


def _read(node: Node) -> tuple[Value, ...]:
    """x and dy."""
    return node.inputs[:2] if node.op == "fused_square_sum" else node.inputs[1:3]


def _macs(node: Node) -> int:
    whole = _whole(node)
    return WEIGHT_GRADIENTS[whole.op].macs(whole)


def _cost(update: float) -> CostRule:
    """Of the gradient, and of the update of each of its elements."""

    def rule(node: Node, macs: float) -> float:
        whole = _whole(node)
        return WEIGHT_GRADIENTS[whole.op].work(whole) + update * whole.outputs[0].type.size

    return rule


def _scratch(node: Node) -> tuple[Value, ...]:
    gradient = _whole(node).outputs[0]
    if _whole(node).op == "depthwise_conv_weight_gradient":
        return (scratch_of(node, gradient.shape[-1]),)
    return (scratch_of(node, gradient.type.size // gradient.shape[0] * min(_ROWS, gradient.shape[0])),)


def _fields(node: Node) -> tuple[tuple[str, int | float | tuple[int, ...]], ...]:
    attrs, whole = node.attrs, _whole(node)
    x, dy = whole.inputs
    assert isinstance(attrs, FusedAttrs)
    depthwise = whole.op == "depthwise_conv_weight_gradient"
    own = attrs.attrs if isinstance(attrs.attrs, ConvWeightGradientAttrs) else _LINEAR
    linear = own.conv.is_linear(own.kernel) and not depthwise
    if linear:
        own = _LINEAR
    conv, shape = own.conv, (1, rows(x.shape), x.shape[-1]) if linear else x.shape
    return (
        *conv.window(own.kernel).fields(shape),
        ("in_channels", x.shape[-1]),
        ("out_channels", dy.shape[-1]),
        ("groups", x.shape[-1] if depthwise else conv.groups),
        ("linear", int(linear)),
        ("depthwise", int(depthwise)),
        ("size", whole.outputs[0].type.size),
        ("momentum", float(attrs.momentum)),
        ("weight_decay", float(attrs.weight_decay)),
    )


def _infer_sgd(attrs: FusedAttrs, types: Types) -> Types:
    weight, x, dy, *scalars = types
    return SGD.infer(SgdAttrs(attrs.weight_decay), (weight, attrs.infer(x, dy), *scalars))


def _sgd(attrs: FusedAttrs, arrays: Arrays) -> Arrays:
    weight, x, dy, *scalars = arrays
    return SGD.evaluate(SgdAttrs(attrs.weight_decay), (weight, attrs.evaluate(x, dy), *scalars))


def _call(node: Node, rate: Value, velocity: Value | None, scale: Value | None) -> tuple[KernelCall, ...]:
    (x, dy), (scratch,) = _read(node), _scratch(node)
    members = (("weight", node.inputs[0]), ("velocity", velocity), ("rate", rate), ("scale", scale))
    pointers = (x, dy, Group("mg_updated", members), scratch)
    return (KernelCall("mg_fused_update_float32", "mg_fused_update_params", _fields(node), pointers),)


def _sgd_call(node: Node) -> tuple[KernelCall, ...]:
    _, _, _, rate, *scale = node.inputs
    return _call(node, rate, None, scale[0] if scale else None)


def _gradient_samples() -> Iterator[tuple[FusedAttrs, Array, Array, Array]]:
    """Attributes, x, dy, and a weight."""
    generator = np.random.default_rng(1)
    for name, operator in WEIGHT_GRADIENTS.items():
        for number, sample in enumerate(operator.samples()):
            attrs = FusedAttrs(name, sample.attrs, weight_decay=0.1 * (number % 2))
            (gradient,) = operator.evaluate(sample.attrs, sample.inputs)
            x, dy = sample.inputs
            yield attrs, x, dy, generator.standard_normal(gradient.shape).astype(np.float32)


def _scalars(number: int) -> list[Array]:
    """A learning rate; every third sample a scale, too."""
    return [np.array(value, np.float32) for value in ((0.05, 0.3) if number % 3 == 0 else (0.05,))]


def _sgd_samples() -> Iterator[Sample]:
    for number, (attrs, x, dy, weight) in enumerate(_gradient_samples()):
        yield Sample((weight, x, dy, *_scalars(number)), attrs)


FUSED_SGD = Operator(
    name="fused_sgd",
    inputs=("weight", "x", "dy", "learning_rate", "scale?"),
    outputs=("weight",),
    infer=_infer_sgd,
    evaluate=_sgd,
    samples=_sgd_samples,
    kernels={DType.FLOAT32: _sgd_call},
    mutates=((0, 0),),
    macs=_macs,
    cost=_cost(5.75),
    scratch=_scratch,
)


def _infer_momentum(attrs: FusedAttrs, types: Types) -> Types:
    weight, x, dy, *others = types
    own = SgdMomentumAttrs(attrs.momentum, attrs.weight_decay)
    return SGD_MOMENTUM.infer(own, (weight, attrs.infer(x, dy), *others))


def _momentum(attrs: FusedAttrs, arrays: Arrays) -> Arrays:
    weight, x, dy, *others = arrays
    own = SgdMomentumAttrs(attrs.momentum, attrs.weight_decay)
    return SGD_MOMENTUM.evaluate(own, (weight, attrs.evaluate(x, dy), *others))


def _momentum_call(node: Node) -> tuple[KernelCall, ...]:
    _, _, _, rate, velocity, *scale = node.inputs
    return _call(node, rate, velocity, scale[0] if scale else None)


def _momentum_samples() -> Iterator[Sample]:
    for number, (attrs, x, dy, weight) in enumerate(_gradient_samples()):
        if number % 2 == 0:
            rate, *scale = _scalars(number)
            own = FusedAttrs(attrs.gradient, attrs.attrs, attrs.weight_decay, 0.9)
            yield Sample((weight, x, dy, rate, weight[..., ::-1].copy(), *scale), own)


FUSED_SGD_MOMENTUM = Operator(
    name="fused_sgd_momentum",
    inputs=("weight", "x", "dy", "learning_rate", "momentum", "scale?"),
    outputs=("weight", "momentum"),
    infer=_infer_momentum,
    evaluate=_momentum,
    samples=_momentum_samples,
    kernels={DType.FLOAT32: _momentum_call},
    mutates=((0, 0), (1, 4)),
    macs=_macs,
    cost=_cost(17),
    scratch=_scratch,
)


def _square_sum(attrs: FusedAttrs, arrays: Arrays) -> Arrays:
    return SQUARE_SUM.evaluate(Attrs(), (attrs.evaluate(*arrays),))


def _square_sum_call(node: Node) -> tuple[KernelCall, ...]:
    pointers = (*_read(node), *_scratch(node), node.outputs[0])
    return (KernelCall("mg_fused_square_sum_float32", "mg_fused_update_params", _fields(node), pointers),)


def _square_sum_samples() -> Iterator[Sample]:
    for attrs, x, dy, _ in _gradient_samples():
        yield Sample((x, dy), attrs)


FUSED_SQUARE_SUM = Operator(
    name="fused_square_sum",
    inputs=("x", "dy"),
    infer=lambda attrs, types: (TensorType((), attrs.infer(*types).dtype),),
    evaluate=_square_sum,
    samples=_square_sum_samples,
    kernels={DType.FLOAT32: _square_sum_call},
    macs=_macs,
    cost=_cost(5.6),
    scratch=_scratch,
)
