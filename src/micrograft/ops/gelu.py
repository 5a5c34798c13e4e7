"""gelu, gelu_tanh and silu: x times a gate of its own, Φ(x), its tanh approximation, or 1/(1 + e⁻ˣ).

gelu: arXiv:1606.08415. Their derivatives are no functions of the output, so the backward pass keeps the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import Array, DType
from micrograft.ops.cost import Cost
from micrograft.ops.erf import erf
from micrograft.ops.operator import Backward, Gradients, KernelCall, KernelRule, Operator, Sample
from micrograft.ops.sigmoid import infer_from_output, logistic

_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def _normal(x: Array) -> Array:
    """Φ(x), the normal distribution, in the precision of x."""
    return np.asarray(0.5 * (1 + erf(x.astype(np.float64) * _ROOT_HALF)), x.dtype)


def _gelu(x: Array) -> Array:
    return np.asarray(x * _normal(x), x.dtype)


def _gelu_slope(x: Array) -> Array:
    return np.asarray(_normal(x) + x * _DENSITY * np.exp(-0.5 * x * x), x.dtype)


def _tanh(x: Array) -> Array:
    return np.asarray(np.tanh(_ROOT * (x + _CUBIC * x**3)), x.dtype)


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + _tanh(x)), x.dtype)


def _gelu_tanh_slope(x: Array) -> Array:
    t = _tanh(x)
    return np.asarray(0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _ROOT * (1 + 3 * _CUBIC * x * x), x.dtype)


def _silu(x: Array) -> Array:
    return np.asarray(x * logistic(x), x.dtype)


def _silu_slope(x: Array) -> Array:
    gate = logistic(x)
    return np.asarray(gate * (1 + x * (1 - gate)), x.dtype)


def _kernel(function: str) -> KernelRule:
    def call(node: Node) -> tuple[KernelCall, ...]:
        pointers = (*node.inputs, *node.outputs)
        return (KernelCall(function, "mg_elements_params", (("size", node.outputs[0].type.size),), pointers),)

    return call


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    yield Sample((generator.uniform(-6, 6, (1, 41)).astype(np.float32),))
    yield Sample((generator.uniform(-0.5, 0.5, (1, 2, 3, 4)).astype(np.float32),))
    yield Sample((np.array([[-30, -12, 0, 12, 30]], np.float32),))


def _gated(name: str, evaluate: Callable[[Array], Array], output: float) -> Operator:
    def gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
        (dy,) = gradients
        assert dy is not None
        return (backward.emit(f"{name}_gradient", dy, node.inputs[0]),)

    return Operator(
        name=name,
        inputs=("x",),
        infer=lambda attrs, types: types,
        evaluate=lambda attrs, arrays: (evaluate(arrays[0]),),
        samples=_samples,
        kernels={DType.FLOAT32: _kernel(f"mg_{name}_float32")},
        gradient=gradient,
        inplace=((0, 0),),
        elementwise=True,
        cost=Cost(output=output),
    )


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for sample in _samples():
        (x,) = sample.inputs
        yield Sample((generator.standard_normal(x.shape).astype(np.float32), x))


def _gated_gradient(name: str, slope: Callable[[Array], Array], output: float) -> Operator:
    return Operator(
        name=f"{name}_gradient",
        inputs=("dy", "x"),
        infer=infer_from_output,
        evaluate=lambda attrs, arrays: (arrays[0] * slope(arrays[1]),),
        samples=_gradient_samples,
        kernels={DType.FLOAT32: _kernel(f"mg_{name}_gradient_float32")},
        inplace=((0, 0), (0, 1)),
        cost=Cost(output=output),
    )


GELU, GELU_GRADIENT = _gated("gelu", _gelu, 45), _gated_gradient("gelu", _gelu_slope, 102)
GELU_TANH = _gated("gelu_tanh", _gelu_tanh, 55)
GELU_TANH_GRADIENT = _gated_gradient("gelu_tanh", _gelu_tanh_slope, 66)
SILU, SILU_GRADIENT = _gated("silu", _silu, 61), _gated_gradient("silu", _silu_slope, 68)
