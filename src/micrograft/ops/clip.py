"""clip: y = min(max(x, low), high). The backward pass keeps one bit per element: where the gradient passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types, require


@dataclass(frozen=True)
class ClipAttrs(Attrs):
    """ends: whether the gradient passes at the bounds themselves, as in `torch.clamp`; in `hardtanh` it does not."""

    low: float = -np.inf
    high: float = np.inf
    ends: bool = True


def _infer(attrs: ClipAttrs, types: Types) -> Types:
    require(attrs.low <= attrs.high, f"it clips to [{attrs.low:g}, {attrs.high:g}], where nothing lies")
    return types[0], TensorType(types[0].shape, DType.BIT)


def _evaluate(attrs: ClipAttrs, arrays: Arrays) -> Arrays:
    (x,) = arrays
    low, high = (x.dtype.type(np.float32(bound)) for bound in (attrs.low, attrs.high))
    passes = (x >= low) & (x <= high) if attrs.ends else (x > low) & (x < high)
    return np.clip(x, low, high), passes


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    dy = gradients[0]
    assert dy is not None
    return (backward.emit("mask_gradient", dy, backward.keep(node, "mask")),)


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, ClipAttrs)
    (x,) = node.inputs
    y, *mask = node.outputs
    fields = (
        ("size", x.type.size),
        ("low", float(node.attrs.low)),
        ("high", float(node.attrs.high)),
        ("ends", int(node.attrs.ends)),
    )
    return (KernelCall("mg_clip_float32", "mg_clip_params", fields, (x, y, mask[0] if mask else None)),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, attrs in [
        ((1, 9), ClipAttrs(-1.0, 1.0, ends=False)),
        ((2, 3, 5), ClipAttrs(low=-0.25)),
        ((1, 8), ClipAttrs(high=0.75)),
    ]:
        x = generator.uniform(-2, 2, shape)
        for bound in (attrs.low, attrs.high):  # finite differences are meaningless at a corner
            x[np.abs(x - bound) < 0.05] += 0.1
        yield Sample((x.astype(np.float32),), attrs)
    yield Sample((np.array([[-1, 0, 1]], np.float32),), ClipAttrs(-1.0, 1.0), differentiable=())
    yield Sample((np.array([[-1, 0, 1]], np.float32),), ClipAttrs(-1.0, 1.0, ends=False), differentiable=())


CLIP = Operator(
    name="clip",
    inputs=("x",),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=30),
)
