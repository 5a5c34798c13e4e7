"""elu: y = x above zero, else alpha·(eˣ − 1). Its derivative is a function of the output: 1, or y + alpha."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    KernelRule,
    Operator,
    Sample,
    Types,
    require,
)
from micrograft.ops.sigmoid import infer_from_output


@dataclass(frozen=True)
class EluAttrs(Attrs):
    """alpha: −y far below zero."""

    alpha: float = 1.0


def _infer(attrs: EluAttrs, types: Types) -> Types:
    require(attrs.alpha >= 0, f"its alpha is {attrs.alpha:g}, and must not be negative")
    return types


def _evaluate(attrs: EluAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    return (np.where(x > 0, x, x.dtype.type(attrs.alpha) * np.expm1(np.minimum(x, 0))),)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("elu_gradient", dy, node.outputs[0], attrs=node.attrs),)


def _kernel(function: str) -> KernelRule:
    def call(node: Node) -> tuple[KernelCall, ...]:
        assert isinstance(node.attrs, EluAttrs)
        fields = (("size", node.outputs[0].type.size), ("alpha", float(node.attrs.alpha)))
        return (KernelCall(function, "mg_elu_params", fields, (*node.inputs, *node.outputs)),)

    return call


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, alpha in [((1, 9), 1.0), ((2, 3, 5), 0.4)]:
        x = generator.uniform(-4, 4, shape)
        x[np.abs(x) < 0.05] = 1.0  # finite differences are meaningless at a corner
        yield Sample((x.astype(np.float32),), EluAttrs(alpha))


ELU = Operator(
    name="elu",
    inputs=("x",),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _kernel("mg_elu_float32")},
    gradient=_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=36),
)


def _evaluate_gradient(attrs: EluAttrs, arrays: Arrays) -> Arrays:
    dy, y = arrays
    return (dy * np.where(y > 0, 1, y + y.dtype.type(attrs.alpha)),)


def _gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for sample in _samples():
        assert isinstance(sample.attrs, EluAttrs)
        (y,) = _evaluate(sample.attrs, sample.inputs)
        yield Sample((generator.standard_normal(y.shape).astype(np.float32), y), sample.attrs)


ELU_GRADIENT = Operator(
    name="elu_gradient",
    inputs=("dy", "y"),
    infer=infer_from_output,
    evaluate=_evaluate_gradient,
    samples=_gradient_samples,
    kernels={DType.FLOAT32: _kernel("mg_elu_gradient_float32")},
    inplace=((0, 0), (0, 1)),
    cost=Cost(output=11.5),
)
