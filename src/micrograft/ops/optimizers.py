"""Updates as ordinary nodes: each rewrites a parameter, and its own state, where they lie.

Learning rate and scale are values of shape () in memory, so that they can change from step to step. The
optional last input `scale` multiplies the gradient before anything else: that is how a step is clipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require

SCALAR: Shape = ()


@dataclass(frozen=True)
class SgdAttrs(Attrs):
    """weight_decay: added to the gradient, times the weight."""

    weight_decay: float = 0.0


@dataclass(frozen=True)
class SgdMomentumAttrs(Attrs):
    """As `torch.optim.SGD` without dampening."""

    momentum: float
    weight_decay: float = 0.0


@dataclass(frozen=True)
class AdamRateAttrs(Attrs):
    """The decay rates of the two moments."""

    beta1: float = 0.9
    beta2: float = 0.999


@dataclass(frozen=True)
class AdamAttrs(Attrs):
    """decoupled: whether weight decay acts on the weight alone (AdamW) and not through the gradient (Adam)."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False


@dataclass(frozen=True)
class ClipScaleAttrs(Attrs):
    """norm: the length that a gradient may have."""

    norm: float


@dataclass(frozen=True)
class AccumulateAttrs(Attrs):
    """weight: of each gradient in the sum, 1/k for a mean over k samples."""

    weight: float = 1.0


def _require_scalars(*types: TensorType) -> None:
    require(all(each.shape == SCALAR for each in types), "a learning rate or scale is not of shape ()")


def _require_gradient(weight: TensorType, gradient: TensorType) -> None:
    require(weight == gradient, f"the gradient {gradient} does not match the weight {weight}")


def _scaled(gradient: Array, scale: Arrays) -> Array:
    return gradient * scale[0] if scale else gradient


def _normal(generator: np.random.Generator, *shape: int) -> Array:
    return np.asarray(generator.standard_normal(shape), np.float32)


def _scalar(value: float) -> Array:
    return np.array(value, np.float32)


# w ← w − lr·(g + weight_decay·w)


def _infer_sgd(attrs: SgdAttrs, types: Types) -> Types:
    weight, gradient, *scalars = types
    _require_gradient(weight, gradient)
    _require_scalars(*scalars)
    return (weight,)


def _sgd(attrs: SgdAttrs, arrays: Arrays) -> Arrays:
    weight, gradient, rate, *scale = arrays
    return (weight - rate * (_scaled(gradient, scale) + attrs.weight_decay * weight),)


def _sgd_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, SgdAttrs)
    weight, gradient, rate, *scale = node.inputs
    fields = (("size", weight.type.size), ("weight_decay", float(node.attrs.weight_decay)))
    pointers = (weight, gradient, rate, scale[0] if scale else None)
    return (KernelCall("mg_sgd_float32", "mg_sgd_params", fields, pointers),)


def _size(node: Node) -> int:
    return node.inputs[0].type.size


def _sgd_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, decay, scale in [((3, 5), 0.0, ()), ((8,), 0.1, ()), ((1, 7), 0.0, (0.3,)), ((6,), 0.1, (0.5,))]:
        arrays = (_normal(generator, *shape), _normal(generator, *shape), _scalar(0.05), *map(_scalar, scale))
        yield Sample(arrays, SgdAttrs(decay))


SGD = Operator(
    name="sgd",
    inputs=("weight", "gradient", "learning_rate", "scale?"),
    outputs=("weight",),
    infer=_infer_sgd,
    evaluate=_sgd,
    samples=_sgd_samples,
    kernels={DType.FLOAT32: _sgd_call},
    mutates=((0, 0),),
    macs=_size,
    cost=Cost(output=5.75),
)


# v ← momentum·v + g + weight_decay·w; w ← w − lr·v


def _infer_momentum(attrs: SgdMomentumAttrs, types: Types) -> Types:
    weight, gradient, rate, velocity, *scale = types
    _require_gradient(weight, gradient)
    require(velocity == weight, f"the momentum {velocity} does not match the weight {weight}")
    _require_scalars(rate, *scale)
    return weight, velocity


def _momentum(attrs: SgdMomentumAttrs, arrays: Arrays) -> Arrays:
    weight, gradient, rate, velocity, *scale = arrays
    velocity = attrs.momentum * velocity + (_scaled(gradient, scale) + attrs.weight_decay * weight)
    return weight - rate * velocity, velocity


def _momentum_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, SgdMomentumAttrs)
    weight, gradient, rate, velocity, *scale = node.inputs
    fields = (
        ("size", weight.type.size),
        ("momentum", float(node.attrs.momentum)),
        ("weight_decay", float(node.attrs.weight_decay)),
    )
    pointers = (weight, gradient, rate, velocity, scale[0] if scale else None)
    return (KernelCall("mg_sgd_momentum_float32", "mg_sgd_momentum_params", fields, pointers),)


def _momentum_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for decay, scale in [(0.0, ()), (0.1, (0.3,))]:
        weight, gradient, velocity = (_normal(generator, 3, 5) for _ in range(3))
        arrays = (weight, gradient, _scalar(0.05), velocity, *map(_scalar, scale))
        yield Sample(arrays, SgdMomentumAttrs(0.9, decay))


SGD_MOMENTUM = Operator(
    name="sgd_momentum",
    inputs=("weight", "gradient", "learning_rate", "momentum", "scale?"),
    outputs=("weight", "momentum"),
    infer=_infer_momentum,
    evaluate=_momentum,
    samples=_momentum_samples,
    kernels={DType.FLOAT32: _momentum_call},
    mutates=((0, 0), (1, 3)),
    macs=lambda node: 2 * _size(node),
    cost=Cost(output=17),
)


# Adam (arXiv:1412.6980, algorithm 1). corrections = 1 − βᵗ, moved on by c ← c + (1 − β)·(1 − c) from 0:
# the same recursion and the same rounded 1 − β as the moments', so the two never drift apart.


def _infer_adam_rate(attrs: AdamRateAttrs, types: Types) -> Types:
    rate, corrections = types
    _require_scalars(rate)
    require(corrections.shape == (2,), f"the corrections have shape {corrections.shape}, not (2,)")
    return TensorType((3,), rate.dtype), corrections


def _adam_rate(attrs: AdamRateAttrs, arrays: Arrays) -> Arrays:
    rate, corrections = arrays
    rest = np.array([1 - attrs.beta1, 1 - attrs.beta2], corrections.dtype)
    corrections = corrections + rest * (1 - corrections)
    first, second = corrections
    return np.array([rate / first, 1 / np.sqrt(second), rate], corrections.dtype), corrections


def _adam_rate_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, AdamRateAttrs)
    fields = (("rest1", 1.0 - node.attrs.beta1), ("rest2", 1.0 - node.attrs.beta2))
    return (KernelCall("mg_adam_rate_float32", "mg_adam_rate_params", fields, (*node.inputs, node.outputs[0])),)


def _adam_rate_samples() -> Iterator[Sample]:
    for corrections in [(0.0, 0.0), (0.1, 0.001), (1.0, 0.5)]:
        yield Sample((_scalar(0.002), np.array(corrections, np.float32)), AdamRateAttrs(0.9, 0.999))


ADAM_RATE = Operator(
    name="adam_rate",
    inputs=("learning_rate", "corrections"),
    outputs=("rate", "corrections"),
    infer=_infer_adam_rate,
    evaluate=_adam_rate,
    samples=_adam_rate_samples,
    kernels={DType.FLOAT32: _adam_rate_call},
    mutates=((1, 1),),
)


def _infer_adam(attrs: AdamAttrs, types: Types) -> Types:
    weight, gradient, rate, moments, *scale = types
    _require_gradient(weight, gradient)
    require(rate.shape == (3,), f"the rate has shape {rate.shape}, not (3,)")
    require(moments.shape == (2, *weight.shape), f"the moments {moments} do not match the weight {weight}")
    _require_scalars(*scale)
    return weight, moments


def _adam(attrs: AdamAttrs, arrays: Arrays) -> Arrays:
    weight, gradient, rate, (mean, square), *scale = arrays
    gradient = _scaled(gradient, scale)
    kept = weight
    if attrs.decoupled:
        kept = weight - rate[2] * attrs.weight_decay * weight
    else:
        gradient = gradient + attrs.weight_decay * weight
    mean = mean + (1 - attrs.beta1) * (gradient - mean)
    square = square + (1 - attrs.beta2) * (gradient**2 - square)
    weight = kept - rate[0] * mean / (np.sqrt(square) * rate[1] + attrs.epsilon)
    return weight, np.stack([mean, square])


def _adam_call(node: Node) -> tuple[KernelCall, ...]:
    attrs = node.attrs
    assert isinstance(attrs, AdamAttrs)
    weight, gradient, rate, moments, *scale = node.inputs
    fields = (
        ("size", weight.type.size),
        ("rest1", 1.0 - attrs.beta1),
        ("rest2", 1.0 - attrs.beta2),
        ("epsilon", float(attrs.epsilon)),
        ("weight_decay", float(attrs.weight_decay)),
        ("decoupled", int(attrs.decoupled)),
    )
    pointers = (weight, gradient, rate, moments, scale[0] if scale else None)
    return (KernelCall("mg_adam_float32", "mg_adam_params", fields, pointers),)


def _adam_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    rate = np.array([0.005, 1.5, 0.004], np.float32)
    for shape, decay, decoupled, scale in [
        ((3, 5), 0.0, False, ()), ((4,), 0.1, False, (0.3,)), ((2, 3), 0.1, True, ()),
    ]:  # fmt: skip
        weight, gradient, mean = (_normal(generator, *shape) for _ in range(3))
        moments = np.stack([mean, mean**2 + 0.1])
        attrs = AdamAttrs(weight_decay=decay, decoupled=decoupled)
        yield Sample((weight, gradient, rate, moments, *map(_scalar, scale)), attrs)


ADAM = Operator(
    name="adam",
    inputs=("weight", "gradient", "rate", "moments", "scale?"),
    outputs=("weight", "moments"),
    infer=_infer_adam,
    evaluate=_adam,
    samples=_adam_samples,
    kernels={DType.FLOAT32: _adam_call},
    mutates=((0, 0), (1, 3)),
    macs=lambda node: 4 * _size(node),
    cost=Cost(output=29),
)


# Clipping, as torch.nn.utils.clip_grad_norm_: the squares of all gradients are summed first, one after another.


def _infer_square_sum(attrs: Attrs, types: Types) -> Types:
    gradient, *previous = types
    _require_scalars(*previous)
    return (TensorType((), gradient.dtype),)


def _square_sum(attrs: Attrs, arrays: Arrays) -> Arrays:
    gradient, *previous = arrays
    total = np.sum(gradient**2) + (previous[0] if previous else 0)
    return (np.asarray(total, gradient.dtype),)


def _square_sum_call(node: Node) -> tuple[KernelCall, ...]:
    gradient, *previous = node.inputs
    pointers = (gradient, previous[0] if previous else None, node.outputs[0])
    fields = (("size", gradient.type.size),)
    return (KernelCall("mg_square_sum_float32", "mg_square_sum_params", fields, pointers),)


def _square_sum_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(4)
    for shape, previous in [((3, 5), ()), ((8,), (2.5,)), ((2,), (1.0,))]:
        yield Sample((_normal(generator, *shape), *map(_scalar, previous)))


SQUARE_SUM = Operator(
    name="square_sum",
    inputs=("gradient", "previous?"),
    infer=_infer_square_sum,
    evaluate=_square_sum,
    samples=_square_sum_samples,
    kernels={DType.FLOAT32: _square_sum_call},
    inplace=((0, 1),),
    macs=_size,
    cost=Cost(input=5.6),
)


def _clip_scale(attrs: ClipScaleAttrs, arrays: Arrays) -> Arrays:
    (total,) = arrays
    return (np.asarray(np.minimum(1, attrs.norm / (np.sqrt(total) + 1e-6)), total.dtype),)


def _infer_clip_scale(attrs: ClipScaleAttrs, types: Types) -> Types:
    _require_scalars(*types)
    return types


def _clip_scale_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, ClipScaleAttrs)
    fields = (("norm", float(node.attrs.norm)),)
    return (KernelCall("mg_clip_scale_float32", "mg_clip_scale_params", fields, (*node.inputs, node.outputs[0])),)


def _clip_scale_samples() -> Iterator[Sample]:
    for total in (0.0, 0.5, 7.0):
        yield Sample((_scalar(total),), ClipScaleAttrs(1.0))


CLIP_SCALE = Operator(
    name="clip_scale",
    inputs=("square_sum",),
    infer=_infer_clip_scale,
    evaluate=_clip_scale,
    samples=_clip_scale_samples,
    kernels={DType.FLOAT32: _clip_scale_call},
    inplace=((0, 0),),
)


# The mean gradient of several samples, kept in a state.


def _infer_accumulate(attrs: AccumulateAttrs, types: Types) -> Types:
    total, gradient = types
    _require_gradient(total, gradient)
    return (total,)


def _accumulate_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, AccumulateAttrs)
    fields = (("size", _size(node)), ("weight", float(node.attrs.weight)))
    return (KernelCall("mg_accumulate_float32", "mg_accumulate_params", fields, node.inputs),)


def _accumulate_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(5)
    for shape, weight in [((3, 5), 0.25), ((8,), 1.0)]:
        yield Sample((_normal(generator, *shape), _normal(generator, *shape)), AccumulateAttrs(weight))


ACCUMULATE = Operator(
    name="accumulate",
    inputs=("sum", "gradient"),
    outputs=("sum",),
    infer=_infer_accumulate,
    evaluate=lambda attrs, arrays: (arrays[0] + attrs.weight * arrays[1],),
    samples=_accumulate_samples,
    kernels={DType.FLOAT32: _accumulate_call},
    mutates=((0, 0),),
    macs=_size,
    cost=Cost(output=8),
)


def _clear_call(node: Node) -> tuple[KernelCall, ...]:
    return (
        KernelCall(f"mg_clear_{node.inputs[0].dtype.value}", "mg_clear_params", (("size", _size(node)),), node.inputs),
    )


def _clear_samples() -> Iterator[Sample]:
    yield Sample((_normal(np.random.default_rng(6), 2, 3),))
    yield Sample((np.arange(7, dtype=np.int16),))


CLEAR = Operator(
    name="clear",
    inputs=("sum",),
    outputs=("sum",),
    infer=lambda attrs, types: types,
    evaluate=lambda attrs, arrays: (np.zeros_like(arrays[0]),),
    samples=_clear_samples,
    kernels=dict.fromkeys((DType.FLOAT32, DType.INT16), _clear_call),
    mutates=((0, 0),),
    cost=Cost(output=4),
)
