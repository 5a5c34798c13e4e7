"""relu and relu6: the backward pass needs one bit per element, and asks for just that.

A mask bit is set where the gradient passes: x > 0 (and x < 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.cost import Cost
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Blocks,
    Gradients,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)


def _infer(attrs: Attrs, types: Types) -> Types:
    return types[0], TensorType(types[0].shape, DType.BIT)


def _evaluator(ceiling: float) -> Callable[[Attrs, Arrays], Arrays]:
    def evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
        x = arrays[0]
        return np.clip(x, 0, ceiling).astype(x.dtype), (x > 0) & (x < ceiling)

    return evaluate


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    (dy,) = gradients
    assert dy is not None
    return (backward.emit("mask_gradient", dy, backward.keep(node, "mask")),)


def _kernel(function: str) -> Callable[[Node], tuple[KernelCall, ...]]:
    def call(node: Node) -> tuple[KernelCall, ...]:
        (x,) = node.inputs
        y, *mask = node.outputs
        pointers = (x, y, mask[0] if mask else None)
        return (KernelCall(function, "mg_elements_params", (("size", x.type.size),), pointers),)

    return call


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape in [(1, 7), (1, 3, 5, 3)]:
        x = generator.uniform(-4, 10, shape)
        x[np.abs(x) < 0.05] = 1.0  # finite differences are meaningless at a corner
        yield Sample((np.where(np.abs(x - 6) < 0.05, 1.0, x).astype(np.float32),))


RELU = Operator(
    name="relu",
    inputs=("x",),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluator(np.inf),
    samples=_samples,
    kernels={DType.FLOAT32: _kernel("mg_relu_float32")},
    gradient=_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=10.5, optional=8.2),
)

RELU6 = Operator(
    name="relu6",
    inputs=("x",),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluator(6.0),
    samples=_samples,
    kernels={DType.FLOAT32: _kernel("mg_relu6_float32")},
    gradient=_gradient,
    inplace=((0, 0),),
    elementwise=True,
    cost=Cost(output=26),
)


def _infer_mask_gradient(attrs: Attrs, types: Types) -> Types:
    dy, mask = types
    require(dy.size == mask.size, "the mask does not match the gradient")
    return (dy,)


def _mask_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    dy, mask = node.inputs
    pointers = (dy, mask, node.outputs[0])
    return (KernelCall("mg_mask_gradient_float32", "mg_elements_params", (("size", dy.type.size),), pointers),)


def _mask_in_blocks(blocks: Blocks, node: Node) -> Block | None:
    dy = blocks.known(node.inputs[0])
    return None if dy is None else replace(dy, codes=blocks.emit("block_mask_gradient", dy.codes, node.inputs[1]))


def _mask_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape in [(1, 7), (2, 3, 11)]:
        yield Sample((generator.standard_normal(shape).astype(np.float32), generator.random(shape) < 0.5))


MASK_GRADIENT = Operator(
    name="mask_gradient",
    inputs=("dy", "mask"),
    infer=_infer_mask_gradient,
    evaluate=lambda attrs, arrays: (arrays[0] * arrays[1].astype(arrays[0].dtype),),
    samples=_mask_gradient_samples,
    kernels={DType.FLOAT32: _mask_gradient_call},
    in_blocks=_mask_in_blocks,
    inplace=((0, 0),),
    cost=Cost(output=11),
)
