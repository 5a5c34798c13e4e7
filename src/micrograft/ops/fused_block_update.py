"""block_gradient_scale, fused_block_square_sum, fused_block_sgd: an int8 weight is updated while its gradient, in
integers (`block`), is computed part by part, and never exists as a whole.

What the codes of a block count in depends on the largest of them, so a first pass finds the scale: alone, or while it
sums the squares that a gradient is clipped by. The update then computes the gradient again. Codes and scales are those
of the nodes apart, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops.block import EXPONENT, SCALE
from micrograft.ops.block import group as block_group
from micrograft.ops.block_update import (
    BLOCK_SGD,
    BLOCK_SQUARE_SUM,
    BlockSgdAttrs,
    BlockSquareSumAttrs,
    paces,
    square_weights,
)
from micrograft.ops.block_weights import (
    BLOCK_CONV_OF_CODES_WEIGHT_GRADIENT,
    BLOCK_DEPTHWISE_CONV_OF_CODES_WEIGHT_GRADIENT,
    BLOCK_LINEAR_OF_CODES_WEIGHT_GRADIENT,
)
from micrograft.ops.codes_update import RANGES, Layout
from micrograft.ops.cost import CostRule
from micrograft.ops.fused_update import FusedAttrs
from micrograft.ops.operator import Arrays, Field, Group, KernelCall, KernelRule, Operator, Sample, Types, scratch_of
from micrograft.ops.weight_gradient_parts import PartsAttrs, params, part_size, scales_axis

BLOCK_WEIGHT_GRADIENTS = {
    each.name: each
    for each in (
        BLOCK_LINEAR_OF_CODES_WEIGHT_GRADIENT,
        BLOCK_CONV_OF_CODES_WEIGHT_GRADIENT,
        BLOCK_DEPTHWISE_CONV_OF_CODES_WEIGHT_GRADIENT,
    )
}
"""The gradients in integers that can be computed part by part. Inputs: x, dy, scale of dy, own scale."""

_READ = 4
"""So many inputs."""


def _types(gradient: PartsAttrs, read: Types) -> Types:
    """Of the gradient's codes and scale."""
    return BLOCK_WEIGHT_GRADIENTS[f"block_{gradient.gradient}"].infer(gradient.attrs, read)


def _codes(gradient: PartsAttrs, read: Arrays) -> Arrays:
    """The gradient's codes and scale."""
    return BLOCK_WEIGHT_GRADIENTS[f"block_{gradient.gradient}"].evaluate(gradient.attrs, read)


@dataclass(frozen=True)
class BlockScaleAttrs(Attrs):
    """gradient: whose scale it is."""

    gradient: PartsAttrs


def _read(node: Node) -> tuple[PartsAttrs, int]:
    """What a node computes part by part, and which input is its x."""
    assert isinstance(node.attrs, BlockScaleAttrs | FusedAttrs)
    return node.attrs.gradient, int(node.op == "fused_block_sgd")


def _whole(node: Node) -> Node:
    """The node that would compute the gradient as a whole."""
    gradient, at = _read(node)
    inputs = node.inputs[at : at + _READ]
    codes, _ = _types(gradient, [value.type for value in inputs])
    outputs = (Value(f"{node.outputs[0].name}.gradient", codes),)
    return Node(f"block_{gradient.gradient}", inputs, outputs, gradient.attrs)


def _of_floats(whole: Node) -> Node:
    """The node that stands for it in float32."""
    return replace(whole, op=whole.op.removeprefix("block_"), inputs=whole.inputs[:2])


def _macs(node: Node) -> int:
    whole = _whole(node)
    return BLOCK_WEIGHT_GRADIENTS[whole.op].macs(whole)


def _cost(element: float) -> CostRule:
    """Of the gradient, and of what is done with each of its elements."""

    def rule(node: Node, macs: float) -> float:
        whole = _whole(node)
        return BLOCK_WEIGHT_GRADIENTS[whole.op].work(whole) + element * whole.outputs[0].type.size

    return rule


def _scratch(node: Node) -> tuple[Value, ...]:
    part = scratch_of(node, part_size(_of_floats(_whole(node))))
    return (replace(part, type=TensorType(part.shape, _whole(node).outputs[0].dtype)),)


def _group(node: Node) -> Group:
    """What the kernels read and where they write a part."""
    (part,), whole = _scratch(node), _whole(node)
    members = zip(("x", "dy", "dy_scale", "scale", "part"), (*whole.inputs, part), strict=True)
    return Group(f"mg_gradient_block_{part.dtype.value}", tuple(members))


def _gradient_samples() -> Iterator[tuple[PartsAttrs, Arrays, TensorType, Array, int]]:
    """Attributes, what is read, the gradient's type, scales of the weight's channels, a number."""
    for name, operator in BLOCK_WEIGHT_GRADIENTS.items():
        gradient = name.removeprefix("block_")
        for number, sample in enumerate(operator.samples()):
            codes, _ = operator.evaluate(sample.attrs, sample.inputs)
            type_ = TensorType(codes.shape)
            layout = Layout((None, scales_axis(gradient, type_))[number % 3 > 0])
            channels = layout.split(codes.shape)[1]
            scales = np.random.default_rng(number).uniform(0.001, 0.1, channels).astype(np.float32)
            yield PartsAttrs(gradient, sample.attrs, layout), sample.inputs, type_, scales, number


# The scale alone.


def _scale_call(node: Node) -> tuple[KernelCall, ...]:
    whole, (gradient, _) = _whole(node), _read(node)
    _, fields = params(_of_floats(whole), gradient.layout)
    function = f"mg_block_gradient_scale_{whole.outputs[0].dtype.value}"
    return (KernelCall(function, "mg_gradient_int8_params", _members(fields), (_group(node),)),)


def _members(content: object) -> tuple[Field, ...]:
    """The members of an `mg_gradient_int8_params`."""
    assert isinstance(content, tuple)
    return tuple(zip(("conv", "depthwise", "size", "channels", "inner"), content, strict=True))


def _scale_samples() -> Iterator[Sample]:
    for gradient, read, *_ in _gradient_samples():
        yield Sample(tuple(read), BlockScaleAttrs(gradient))


BLOCK_GRADIENT_SCALE = Operator(
    name="block_gradient_scale",
    inputs=("x", "dy", "dy_scale", "scale"),
    outputs=("scale",),
    infer=lambda attrs, types: _types(attrs.gradient, types)[1:],
    evaluate=lambda attrs, arrays: _codes(attrs.gradient, arrays)[1:],
    samples=_scale_samples,
    kernels={DType.INT32: _scale_call},
    mutates=((0, 3),),
    macs=_macs,
    cost=_cost(0),
    scratch=_scratch,
)


# The scale, and the sum of squares.


def _infer_square_sum(attrs: FusedAttrs, types: Types) -> Types:
    *read, weights = types
    codes, scale = _types(attrs.gradient, read)
    return *BLOCK_SQUARE_SUM.infer(attrs.update, (codes, scale, weights)), scale


def _square_sum(attrs: FusedAttrs, arrays: Arrays) -> Arrays:
    *read, weights = arrays
    codes, scale = _codes(attrs.gradient, read)
    return *BLOCK_SQUARE_SUM.evaluate(attrs.update, (codes, scale, weights)), scale


def _fused_call(base: Operator) -> KernelRule:
    """The call of `base`, told how the gradient is computed instead of where it lies."""

    def rule(node: Node) -> tuple[KernelCall, ...]:
        (gradient, at), whole = _read(node), _whole(node)
        assert isinstance(node.attrs, FusedAttrs)
        codes = whole.outputs[0]
        inputs = (*node.inputs[:at], codes, whole.inputs[-1], *node.inputs[at + _READ :])
        own = replace(node, op=base.name, inputs=inputs, attrs=node.attrs.update)
        (apply,) = base.kernels[own.outputs[0].dtype](own)
        block = block_group(Block(codes, whole.inputs[-1], 1.0))
        pointers = tuple(_group(node) if pointer == block else pointer for pointer in apply.pointers)
        fields = params(_of_floats(whole), gradient.layout), ("update", tuple(value for _, value in apply.fields))
        name = f"mg_fused_{base.name}"
        return (KernelCall(f"{name}_{codes.dtype.value}", f"{name}_params", fields, pointers),)

    return rule


def _square_sum_samples() -> Iterator[Sample]:
    for gradient, read, _, scales, _ in _gradient_samples():
        assert gradient.layout is not None
        weights, exponent = square_weights(0.3, scales)
        yield Sample((*read, weights), FusedAttrs(gradient, BlockSquareSumAttrs(gradient.layout, exponent)))


FUSED_BLOCK_SQUARE_SUM = Operator(
    name="fused_block_square_sum",
    inputs=("x", "dy", "dy_scale", "scale", "weights"),
    outputs=("total", "scale"),
    infer=_infer_square_sum,
    evaluate=_square_sum,
    samples=_square_sum_samples,
    kernels={DType.FLOAT32: _fused_call(BLOCK_SQUARE_SUM)},
    mutates=((1, 3),),
    macs=_macs,
    cost=_cost(7),
    scratch=_scratch,
)


# The update.


def _infer_sgd(attrs: FusedAttrs, types: Types) -> Types:
    codes, *others = types
    read, behind = others[:_READ], others[_READ:]
    return BLOCK_SGD.infer(attrs.update, (codes, *_types(attrs.gradient, read), *behind))


def _sgd(attrs: FusedAttrs, arrays: Arrays) -> Arrays:
    codes, *others = arrays
    (x, dy, dy_scale, scale), behind = others[:_READ], others[_READ:]
    shift = scale[EXPONENT] - dy_scale[EXPONENT]
    start = np.array([shift, 0], SCALE.dtype.numpy)
    gradient, _ = _codes(attrs.gradient, (x, dy, dy_scale, start))
    return BLOCK_SGD.evaluate(attrs.update, (codes, gradient, scale, *behind))


def _sgd_samples() -> Iterator[Sample]:
    rate, factor = (np.array(value, np.float32) for value in (0.05, 0.3))
    for gradient, read, type_, scales, number in _gradient_samples():
        assert gradient.layout is not None
        x, dy, dy_scale, _ = read
        shift = int(_codes(gradient, read)[1][EXPONENT]) - int(dy_scale[EXPONENT])
        exponent = -20 - number % 3  # steps of some codes each
        dy_scale, scale = np.array([5, exponent - shift], np.int32), np.array([77, exponent], np.int32)
        codes = np.random.default_rng(number).integers(-127, 128, type_.shape).astype(np.int8)
        word = np.array(20260101 + number, np.int32)
        behind = (rate, paces((1.0, -0.5)[number % 2], scales), word, *((factor,) if number % 2 else ()))
        attrs = BlockSgdAttrs(gradient.layout, *RANGES[DType.INT8], 77)
        yield Sample((codes, x, dy, dy_scale, scale, *behind), FusedAttrs(gradient, attrs))


FUSED_BLOCK_SGD = Operator(
    name="fused_block_sgd",
    inputs=("codes", "x", "dy", "dy_scale", "exponent", "learning_rate", "paces", "random", "factor?"),
    outputs=("codes",),
    infer=_infer_sgd,
    evaluate=_sgd,
    samples=_sgd_samples,
    kernels={DType.INT8: _fused_call(BLOCK_SGD)},
    mutates=((0, 0),),
    macs=_macs,
    cost=_cost(48),
    scratch=_scratch,
)
