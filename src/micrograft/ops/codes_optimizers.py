"""Updates of int8 weights and int32 biases where they lie: the optimizers' steps in real numbers, rounded to codes.

gradient: float32, of the real numbers that the codes stand for; so are momentum and moments. With w = s·q the step of
a code is the step of the real number over s: for plain SGD q ← q − lr·g/s, which with g = G/s is quantization-aware
scaling, G·s⁻² (arXiv:2206.15472, equation 3), of a weight (s = s_W) and of a bias (s = s_W·s_x). How a step becomes
whole codes: `codes_update`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops.codes_update import RANGES, Layout, UpdateAttrs
from micrograft.ops.cost import Cost, by_dtype
from micrograft.ops.operator import Arrays, Group, KernelCall, Operator, Sample, Types, require


@dataclass(frozen=True)
class CodesSgdAttrs(UpdateAttrs):
    """weight_decay: as in `optimizers`, of the real numbers."""

    weight_decay: float = 0.0


@dataclass(frozen=True)
class CodesMomentumAttrs(UpdateAttrs):
    """As `torch.optim.SGD` without dampening, on the real numbers."""

    momentum: float = 0.9
    weight_decay: float = 0.0


@dataclass(frozen=True)
class CodesAdamAttrs(UpdateAttrs):
    """As `torch.optim.Adam`, or AdamW where decoupled, on the real numbers."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False


def _check(attrs: UpdateAttrs, types: Types, rate: TensorType) -> None:
    codes, gradient, found, scales, random, *scale = types
    require(codes.dtype in RANGES, f"the codes are {codes.dtype.value}, not int8, int16 or int32")
    require(gradient == TensorType(codes.shape), f"the gradient {gradient} does not match the codes {codes}")
    require(found == rate, f"the learning rate is {found}, not {rate}")
    require(random == TensorType((), DType.INT32), f"the random state is {random}, not int32()")
    require(all(each == TensorType(()) for each in scale), "the gradient's scale is not of shape ()")
    attrs.layout.check(scales, codes.shape)


def _step(rate: Value, scales: Value, random: Value, scale: list[Value]) -> Group:
    """The `mg_code_step` of a kernel."""
    factor = scale[0] if scale else None
    return Group("mg_code_step", (("rate", rate), ("scales", scales), ("random", random), ("factor", factor)))


def codes_call(
    op: str, node: Node, *fields: tuple[str, int | float], state: Value | None = None
) -> tuple[KernelCall, ...]:
    """A call of one of the updates' kernels. state: what it keeps of its own."""
    codes, gradient, rate, scales, random, *rest = node.inputs
    scale = [value for value in rest if value is not state]
    attrs = node.attrs
    assert isinstance(attrs, UpdateAttrs)
    own = () if state is None else (state,)
    return (
        KernelCall(
            f"mg_{op}_{codes.dtype.value}",
            f"mg_codes_{op.removesuffix('_residue')}_params",
            (attrs.field(codes.shape), *fields),
            (codes, gradient, *own, _step(rate, scales, random, scale)),
        ),
    )


def _kernels(rule: Callable[[Node], tuple[KernelCall, ...]]) -> dict[DType, Callable[[Node], tuple[KernelCall, ...]]]:
    return dict.fromkeys(RANGES, rule)


def _factor(scale: Arrays, gradient: Array) -> Array:
    return gradient.dtype.type(1) if not scale else scale[0]


def _decayed(attrs: UpdateAttrs, codes: Array, gradient: Array, decay: float, scales: Array, factor: Array) -> Array:
    """The gradient of the real numbers, scaled and with weight decay."""
    scaled = factor * gradient
    if decay == 0.0:
        return np.asarray(scaled)
    spread = attrs.layout.spread(scales, codes.shape)
    return np.asarray(scaled + (gradient.dtype.type(decay) * spread) * codes.astype(gradient.dtype))


# q ← q − lr·(g + weight_decay·w)/s


def _infer_sgd(attrs: CodesSgdAttrs, types: Types) -> Types:
    _check(attrs, types, TensorType(()))
    return (types[0],)


def _sgd(attrs: CodesSgdAttrs, arrays: Arrays) -> Arrays:
    return (attrs.moved(arrays[0], sgd_steps(attrs, arrays), arrays[4]),)


def sgd_steps(attrs: CodesSgdAttrs, arrays: Arrays) -> Array:
    """What plain SGD takes off the codes, in codes."""
    codes, gradient, rate, scales, _, *scale = arrays
    pace = _factor(scale, gradient) * (rate / attrs.layout.spread(scales, codes.shape))
    steps = gradient * pace
    if attrs.weight_decay:  # of a code, over its own scale
        steps = steps + (rate * gradient.dtype.type(attrs.weight_decay)) * codes.astype(gradient.dtype)
    return np.asarray(steps)


def _sgd_call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, CodesSgdAttrs)
    return codes_call("sgd", node, ("weight_decay", float(node.attrs.weight_decay)))


@dataclass(frozen=True)
class _Case:
    """Inputs of a sample but for state and scale."""

    arrays: tuple[Array, ...]
    base: tuple[Layout, int, int, int]


def _cases(rate: Array) -> Iterator[_Case]:
    generator = np.random.default_rng(1)
    random = np.array(20260101, np.int32)
    for dtype, shape, axis in [
        (DType.INT8, (4, 3, 5), 0), (DType.INT8, (1, 3, 3, 6), 3), (DType.INT16, (2, 9), None), (DType.INT32, (7,), 0),
    ]:  # fmt: skip
        layout, (low, high) = Layout(axis), RANGES[dtype]
        codes = generator.integers(-127, 128, shape).astype(dtype.numpy)
        codes.reshape(-1)[:2] = low + 1, high - 1
        gradient = generator.standard_normal(shape) * 10.0 ** generator.integers(-3, 2, shape)
        scales = generator.uniform(0.001, 0.1, layout.split(shape)[1]).astype(np.float32)
        yield _Case((codes, gradient.astype(np.float32), rate, scales, random), (layout, low, high, 77))


_DECAYS = (0.0, 0.1, 0.1, 0.0)
"""Of the samples. An int32 code at its end, times a decay, is more than float32 holds exactly."""


def _scalar(value: float) -> Array:
    return np.array(value, np.float32)


def _sgd_samples() -> Iterator[Sample]:
    for index, case in enumerate(_cases(_scalar(0.05))):
        attrs = CodesSgdAttrs(*case.base, weight_decay=_DECAYS[index])
        yield Sample((*case.arrays, *((_scalar(0.3),) if index > 1 else ())), attrs)


CODES_SGD = Operator(
    name="codes_sgd",
    inputs=("codes", "gradient", "learning_rate", "scales", "random", "scale?"),
    outputs=("codes",),
    infer=_infer_sgd,
    evaluate=_sgd,
    samples=_sgd_samples,
    kernels=_kernels(_sgd_call),
    mutates=((0, 0),),
    macs=lambda node: node.inputs[0].type.size,
    cost=by_dtype({DType.INT8: Cost(output=42), DType.INT16: Cost(output=70), DType.INT32: Cost(output=89)}),
)


# v ← momentum·v + g + weight_decay·w; q ← q − lr·v/s


def _infer_momentum(attrs: CodesMomentumAttrs, types: Types) -> Types:
    *before, velocity = types[:6]
    _check(attrs, (*before, *types[6:]), TensorType(()))
    require(velocity == types[1], f"the momentum {velocity} does not match the codes {types[0]}")
    return types[0], velocity


def _momentum(attrs: CodesMomentumAttrs, arrays: Arrays) -> Arrays:
    codes, gradient, rate, scales, random, velocity, *scale = arrays
    g = _decayed(attrs, codes, gradient, attrs.weight_decay, scales, _factor(scale, gradient))
    velocity = gradient.dtype.type(attrs.momentum) * velocity + g
    return attrs.moved(codes, velocity * (rate / attrs.layout.spread(scales, codes.shape)), random), velocity


def _momentum_call(node: Node) -> tuple[KernelCall, ...]:
    attrs = node.attrs
    assert isinstance(attrs, CodesMomentumAttrs)
    fields = (("momentum", float(attrs.momentum)), ("weight_decay", float(attrs.weight_decay)))
    return codes_call("sgd_momentum", node, *fields, state=node.inputs[5])


def _momentum_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for index, case in enumerate(_cases(_scalar(0.05))):
        velocity = generator.standard_normal(case.arrays[0].shape).astype(np.float32)
        attrs = CodesMomentumAttrs(*case.base, weight_decay=_DECAYS[index])
        yield Sample((*case.arrays, velocity, *((_scalar(0.3),) if index > 1 else ())), attrs)


CODES_SGD_MOMENTUM = Operator(
    name="codes_sgd_momentum",
    inputs=("codes", "gradient", "learning_rate", "scales", "random", "momentum", "scale?"),
    outputs=("codes", "momentum"),
    infer=_infer_momentum,
    evaluate=_momentum,
    samples=_momentum_samples,
    kernels=_kernels(_momentum_call),
    mutates=((0, 0), (1, 5)),
    macs=lambda node: 2 * node.inputs[0].type.size,
    cost=Cost(output=64),
)


# Adam: the step of `optimizers`, over s.


def _infer_adam(attrs: CodesAdamAttrs, types: Types) -> Types:
    *before, moments = types[:6]
    _check(attrs, (*before, *types[6:]), TensorType((3,)))
    expected = TensorType((2, *types[0].shape))
    require(moments == expected, f"the moments {moments} do not match the codes {types[0]}")
    return types[0], moments


def _adam(attrs: CodesAdamAttrs, arrays: Arrays) -> Arrays:
    codes, gradient, rate, scales, random, (mean, square), *scale = arrays
    kind = gradient.dtype.type
    decay = 0.0 if attrs.decoupled else attrs.weight_decay
    g = _decayed(attrs, codes, gradient, decay, scales, _factor(scale, gradient))
    mean = mean + kind(1 - attrs.beta1) * (g - mean)
    square = square + kind(1 - attrs.beta2) * (g * g - square)
    pace = rate[0] / attrs.layout.spread(scales, codes.shape)
    steps = pace * mean / (np.sqrt(square) * rate[1] + kind(attrs.epsilon))
    if attrs.decoupled:
        steps = steps + (rate[2] * kind(attrs.weight_decay)) * codes.astype(gradient.dtype)
    return attrs.moved(codes, steps, random), np.stack([mean, square])


def _adam_call(node: Node) -> tuple[KernelCall, ...]:
    attrs = node.attrs
    assert isinstance(attrs, CodesAdamAttrs)
    fields = (
        ("rest1", 1.0 - attrs.beta1),
        ("rest2", 1.0 - attrs.beta2),
        ("epsilon", float(attrs.epsilon)),
        ("weight_decay", float(attrs.weight_decay)),
        ("decoupled", int(attrs.decoupled)),
    )
    return codes_call("adam", node, *fields, state=node.inputs[5])


def _adam_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for index, case in enumerate(_cases(np.array([0.005, 1.5, 0.004], np.float32))):
        mean = generator.standard_normal(case.arrays[0].shape).astype(np.float32)
        moments = np.stack([mean, mean**2 + np.float32(0.1)])
        attrs = CodesAdamAttrs(*case.base, weight_decay=_DECAYS[index], decoupled=index > 1)
        yield Sample((*case.arrays, moments, *((_scalar(0.3),) if index > 1 else ())), attrs)


CODES_ADAM = Operator(
    name="codes_adam",
    inputs=("codes", "gradient", "rate", "scales", "random", "moments", "scale?"),
    outputs=("codes", "moments"),
    infer=_infer_adam,
    evaluate=_adam,
    samples=_adam_samples,
    kernels=_kernels(_adam_call),
    mutates=((0, 0), (1, 5)),
    macs=lambda node: 4 * node.inputs[0].type.size,
    cost=Cost(output=84),
)
