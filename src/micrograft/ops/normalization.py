"""layer_norm, rms_norm and group_norm: each group of elements gets mean 0 and variance 1, then a weight and a bias.

layer_norm, rms_norm: a group is a vector of the last axis; weight, bias: (C,). rms_norm takes no mean off.
group_norm: x: (1, *spatial, C); a group is C/groups channels at all positions (one channel: instance norm).
The backward pass reads x alone and works the moments out again, which costs less than to keep anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
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
class NormalizationAttrs(Attrs):
    """epsilon: added to the variance. groups: of channels; layer_norm and rms_norm have one."""

    epsilon: float
    groups: int = 1


@dataclass(frozen=True)
class _Kind:
    """centers: whether the mean is taken off. spatial: whether a group reaches over all positions."""

    name: str
    centers: bool
    spatial: bool

    def grouped(self, attrs: NormalizationAttrs, x: Array) -> Array:
        """`x` as (positions outside a group, positions in it, groups, channels of a group)."""
        outside, inside = (1, -1) if self.spatial else (-1, 1)
        return x.reshape(outside, inside, attrs.groups, x.shape[-1] // attrs.groups)

    def fields(self, attrs: NormalizationAttrs, shape: Shape) -> tuple[tuple[str, int | float], ...]:
        """Those of mg_normalization_params."""
        channels = shape[-1]
        positions = TensorType(shape).size // channels
        width = channels // attrs.groups
        return (
            ("groups", attrs.groups if self.spatial else positions),
            ("group_stride", width),
            ("positions", positions if self.spatial else 1),
            ("position_stride", channels),
            ("width", width),
            ("weight_stride", width if self.spatial else 0),
            ("weights", channels),
            ("centers", int(self.centers)),
            ("epsilon", float(attrs.epsilon)),
        )

    def normalized(self, attrs: NormalizationAttrs, x: Array) -> tuple[Array, Array]:
        """The groups of `x` normalised, and 1/√(variance + ε) of each."""
        groups = self.grouped(attrs, x)
        if self.centers:
            groups = groups - groups.mean(axis=(1, 3), keepdims=True)
        variance = np.square(groups).mean(axis=(1, 3), keepdims=True)
        scale = 1 / np.sqrt(variance + x.dtype.type(attrs.epsilon))
        return groups * scale, scale

    def call(self, function: str, node: Node, *pointers: Value | None) -> tuple[KernelCall, ...]:
        assert isinstance(node.attrs, NormalizationAttrs)
        fields = self.fields(node.attrs, node.inputs[0].shape)
        return (KernelCall(function, "mg_normalization_params", fields, pointers),)


def _check(kind: _Kind, attrs: NormalizationAttrs, x: TensorType, channels: Types) -> None:
    require(len(x.shape) >= 1, "a single number has no axis to normalise over")
    require(not kind.spatial or x.shape[0] == 1, f"the input has shape {x.shape}, not (1, *spatial, channels)")
    require(
        attrs.groups >= 1 and x.shape[-1] % attrs.groups == 0 and (kind.spatial or attrs.groups == 1),
        f"{x.shape[-1]} channels cannot be cut into {attrs.groups} groups",
    )
    require(
        all(each.shape == x.shape[-1:] for each in channels),
        f"the input has {x.shape[-1]} channels, but the layer has {[each.shape for each in channels]}",
    )


_CASES: dict[str, list[tuple[Shape, NormalizationAttrs]]] = {
    "layer_norm": [
        ((1, 5, 12), NormalizationAttrs(1e-5)),
        ((1, 7), NormalizationAttrs(1e-3)),
        ((2, 3, 2, 9), NormalizationAttrs(1e-5)),
    ],
    "rms_norm": [((1, 5, 12), NormalizationAttrs(1e-6)), ((1, 7), NormalizationAttrs(1e-3))],
    "group_norm": [
        ((1, 3, 4, 12), NormalizationAttrs(1e-5, 3)),
        ((1, 6, 5), NormalizationAttrs(1e-5, 5)),
        ((1, 2, 2, 6), NormalizationAttrs(1e-5, 1)),
    ],
}


def _arrays(generator: np.random.Generator, *shapes: Shape) -> tuple[Array, ...]:
    return tuple(generator.standard_normal(shape).astype(np.float32) for shape in shapes)


def _samples(kind: _Kind) -> Callable[[], Iterator[Sample]]:
    def samples() -> Iterator[Sample]:
        generator = np.random.default_rng(1)
        for index, (shape, attrs) in enumerate(_CASES[kind.name]):
            channels = [shape[-1:]] * (2 - index % 3)  # with weight and bias, with a weight, with neither
            x, *affine = _arrays(generator, shape, *channels)
            yield Sample((x * np.float32(2) + np.float32(0.5), *affine), attrs)

    return samples


def _forward(kind: _Kind) -> Operator:
    def infer(attrs: NormalizationAttrs, types: Types) -> Types:
        x, *channels = types
        _check(kind, attrs, x, channels)
        return (x,)

    def evaluate(attrs: NormalizationAttrs, arrays: Arrays) -> Arrays:
        x, *affine = arrays
        y = kind.normalized(attrs, x)[0].reshape(x.shape)
        y = y * affine[0] if affine else y
        return (y + affine[1] if len(affine) > 1 else y,)

    def gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
        x, *affine = node.inputs
        (dy,) = gradients
        assert dy is not None
        found: list[Value | None] = [None] * len(node.inputs)
        if backward.needs(x):
            found[0] = backward.emit(f"{kind.name}_input_gradient", x, dy, *affine[:1], attrs=node.attrs)
        if affine and backward.needs(affine[0]):
            found[1] = backward.emit(f"{kind.name}_weight_gradient", x, dy, attrs=node.attrs)
        if len(affine) > 1:
            found[2] = bias_gradient(backward, affine[1], dy)
        return found

    def call(node: Node) -> tuple[KernelCall, ...]:
        x, *affine = node.inputs
        weight, bias = (*affine, None, None)[:2]
        return kind.call("mg_normalization_float32", node, x, weight, bias, node.outputs[0])

    return Operator(
        name=kind.name,
        inputs=("x", "weight?", "bias?"),
        infer=infer,
        evaluate=evaluate,
        samples=_samples(kind),
        kernels={DType.FLOAT32: call},
        gradient=gradient,
        inplace=((0, 0),),
        macs=lambda node: 3 * node.outputs[0].type.size,
        cost=Cost(output=28),
    )


def _input_gradient(kind: _Kind) -> Operator:
    def infer(attrs: NormalizationAttrs, types: Types) -> Types:
        x, dy, *channels = types
        _check(kind, attrs, x, channels)
        require(x == dy, "the gradient does not match the input")
        return (x,)

    def evaluate(attrs: NormalizationAttrs, arrays: Arrays) -> Arrays:
        x, dy, *weight = arrays
        n, scale = kind.normalized(attrs, x)
        g = kind.grouped(attrs, dy * weight[0] if weight else dy)
        dx = g - n * (g * n).mean(axis=(1, 3), keepdims=True)
        if kind.centers:
            dx = dx - g.mean(axis=(1, 3), keepdims=True)
        return ((dx * scale).reshape(x.shape),)

    def call(node: Node) -> tuple[KernelCall, ...]:
        x, dy, *weight = node.inputs
        return kind.call(
            "mg_normalization_input_gradient_float32", node, x, dy, weight[0] if weight else None, node.outputs[0]
        )

    def samples() -> Iterator[Sample]:
        generator = np.random.default_rng(2)
        for index, (shape, attrs) in enumerate(_CASES[kind.name]):
            yield Sample(_arrays(generator, shape, shape, *[shape[-1:]] * (index % 2)), attrs)

    return Operator(
        name=f"{kind.name}_input_gradient",
        inputs=("x", "dy", "weight?"),
        infer=infer,
        evaluate=evaluate,
        samples=samples,
        kernels={DType.FLOAT32: call},
        inplace=((0, 1), (0, 0)),
        macs=lambda node: 5 * node.outputs[0].type.size,
        cost=Cost(output=42),
    )


def _weight_gradient(kind: _Kind) -> Operator:
    def infer(attrs: NormalizationAttrs, types: Types) -> Types:
        x, dy = types
        _check(kind, attrs, x, ())
        require(x == dy, "the gradient does not match the input")
        return (TensorType(x.shape[-1:], x.dtype),)

    def evaluate(attrs: NormalizationAttrs, arrays: Arrays) -> Arrays:
        x, dy = arrays
        products = kind.normalized(attrs, x)[0].reshape(x.shape) * dy
        return (products.reshape(-1, x.shape[-1]).sum(axis=0),)

    def call(node: Node) -> tuple[KernelCall, ...]:
        pointers = (*node.inputs, *node.outputs)
        return kind.call("mg_normalization_weight_gradient_float32", node, *pointers)

    def samples() -> Iterator[Sample]:
        generator = np.random.default_rng(3)
        for shape, attrs in _CASES[kind.name]:
            yield Sample(_arrays(generator, shape, shape), attrs)

    return Operator(
        name=f"{kind.name}_weight_gradient",
        inputs=("x", "dy"),
        infer=infer,
        evaluate=evaluate,
        samples=samples,
        kernels={DType.FLOAT32: call},
        macs=lambda node: 3 * node.inputs[0].type.size,
        cost=Cost(input=23),
    )


_LAYER = _Kind("layer_norm", centers=True, spatial=False)
_RMS = _Kind("rms_norm", centers=False, spatial=False)
_GROUP = _Kind("group_norm", centers=True, spatial=True)

LAYER_NORM, LAYER_NORM_INPUT, LAYER_NORM_WEIGHT = _forward(_LAYER), _input_gradient(_LAYER), _weight_gradient(_LAYER)
RMS_NORM, RMS_NORM_INPUT, RMS_NORM_WEIGHT = _forward(_RMS), _input_gradient(_RMS), _weight_gradient(_RMS)
GROUP_NORM, GROUP_NORM_INPUT, GROUP_NORM_WEIGHT = _forward(_GROUP), _input_gradient(_GROUP), _weight_gradient(_GROUP)
