"""linear: y = x·Wᵀ + b over the last axis, and the two nodes of its gradient.

x: (..., inputs); weight: (outputs, inputs); bias: (outputs,); y: (..., outputs).
A 1×1 convolution is the same thing over the positions of its input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Shape, TensorType, Value
from micrograft.ops.block import contracted
from micrograft.ops.cost import Cost, by_fours, by_weight
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    Group,
    KernelCall,
    Operator,
    Sample,
    Types,
    require,
)
from micrograft.ops.reshape import ReshapeAttrs


def _infer(attrs: Attrs, types: Types) -> Types:
    x, weight, *bias = types
    require(len(weight.shape) == 2, f"the weight has {len(weight.shape)} axes, not 2")
    require(
        len(x.shape) >= 1 and x.shape[-1] == weight.shape[1],
        f"the input has shape {x.shape}, but the layer takes {weight.shape[1]} features",
    )
    require(all(each.shape == weight.shape[:1] for each in bias), "the bias does not match the outputs")
    return (TensorType((*x.shape[:-1], weight.shape[0]), x.dtype),)


def _evaluate(attrs: Attrs, arrays: Arrays) -> Arrays:
    x, weight, *bias = arrays
    y = x @ weight.T
    return (y + bias[0] if bias else y,)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, *bias = node.inputs
    (dy,) = gradients
    assert dy is not None
    dx = backward.emit("linear_input_gradient", dy, weight) if backward.needs(x) else None
    dw = backward.emit("linear_weight_gradient", x, dy) if backward.needs(weight) else None
    return (dx, dw, *(bias_gradient(backward, each, dy) for each in bias))


def bias_gradient(backward: Backward, bias: Value, dy: Value) -> Value | None:
    """The gradient of a per-channel bias: the sum of `dy` over its positions, a view where there is one."""
    if not backward.needs(bias):
        return None
    if rows(dy.shape) == 1:
        return backward.emit("reshape", dy, attrs=ReshapeAttrs(bias.shape))
    return backward.emit("linear_bias_gradient", dy)


def rows(shape: Shape) -> int:
    """How many vectors of the last axis a tensor holds."""
    return math.prod(shape[:-1])


def linear_kernel_call(
    function: str, count: int, inputs: int, outputs: int, *pointers: Value | Group | None
) -> tuple[KernelCall, ...]:
    """A call of one of the linear kernels, whose parameters are all alike."""
    fields = (("rows", count), ("inputs", inputs), ("outputs", outputs))
    return (KernelCall(function, "mg_linear_params", fields, pointers),)


def linear_call(node: Node) -> tuple[KernelCall, ...]:
    """The C call of a linear layer; a 1×1 convolution uses it too."""
    x, weight, *bias = node.inputs
    outputs, inputs = weight.shape[0], weight.shape[-1]
    y = node.outputs[0]
    return linear_kernel_call(
        "mg_linear_float32", rows(x.shape), inputs, outputs, x, weight, bias[0] if bias else None, y
    )


def _macs(node: Node) -> int:
    return rows(node.inputs[0].shape) * math.prod(node.inputs[1].shape)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for shape, outputs, bias in [((1, 5), 3, True), ((1, 16), 8, False), ((2, 3, 7), 9, True), ((4, 1), 1, True)]:
        arrays = [generator.standard_normal(shape), generator.standard_normal((outputs, shape[-1]))]
        if bias:
            arrays.append(generator.standard_normal(outputs))
        yield Sample(tuple(array.astype(np.float32) for array in arrays))


LINEAR = Operator(
    name="linear",
    inputs=("x", "weight", "bias?"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: linear_call},
    gradient=_gradient,
    macs=_macs,
    cost=by_fours(Cost(mac=2.15, output=9)),
)


def _infer_add(attrs: Attrs, types: Types) -> Types:
    x, weight, addend = types
    (y,) = _infer(attrs, (x, weight))
    require(addend == y, f"the addend has shape {addend.shape}, not {y.shape}")
    return (y,)


def _evaluate_add(attrs: Attrs, arrays: Arrays) -> Arrays:
    x, weight, addend = arrays
    return (addend + x @ weight.T,)


def _add_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, _ = node.inputs
    (dy,) = gradients
    assert dy is not None
    dx = backward.emit("linear_input_gradient", dy, weight) if backward.needs(x) else None
    dw = backward.emit("linear_weight_gradient", x, dy) if backward.needs(weight) else None
    return (dx, dw, dy)


def _add_call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, addend = node.inputs
    outputs, inputs = weight.shape
    return linear_kernel_call(
        "mg_linear_add_float32", rows(x.shape), inputs, outputs, x, weight, addend, node.outputs[0]
    )


def _add_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(5)
    for shape, outputs in [((1, 4), 10), ((1, 5), 3), ((2, 3, 4), 7), ((3, 8), 1)]:
        shapes = (shape, (outputs, shape[-1]), (*shape[:-1], outputs))
        yield Sample(tuple(generator.standard_normal(each).astype(np.float32) for each in shapes))


# How a LoRA branch joins its layer: in place on the layer's output, so there is no second activation.
LINEAR_ADD = Operator(
    name="linear_add",
    inputs=("x", "weight", "addend"),
    infer=_infer_add,
    evaluate=_evaluate_add,
    samples=_add_samples,
    kernels={DType.FLOAT32: _add_call},
    gradient=_add_gradient,
    inplace=((0, 2),),
    macs=_macs,
    cost=by_fours(Cost(mac=2.2, output=9)),
)


def _infer_input_gradient(attrs: Attrs, types: Types) -> Types:
    dy, weight = types
    require(dy.shape[-1] == weight.shape[0], "the gradient does not match the weight")
    return (TensorType((*dy.shape[:-1], weight.shape[1]), dy.dtype),)


def linear_input_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    """The C call of the input's gradient; a 1×1 convolution uses it too."""
    dy, weight = node.inputs
    outputs, inputs = weight.shape[0], weight.shape[-1]
    function = f"mg_linear_input_gradient_{weight.dtype.value}"
    return linear_kernel_call(function, rows(dy.shape), inputs, outputs, dy, weight, node.outputs[0])


def _input_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for shape, inputs in [((1, 3), 5), ((1, 10), 32), ((2, 3, 9), 7)]:
        dy, weight = generator.standard_normal(shape), generator.standard_normal((shape[-1], inputs))
        yield Sample((dy.astype(np.float32), weight.astype(np.float32)))
        codes = generator.integers(-127, 128, weight.shape).astype(np.int8)  # a frozen int8 layer's
        yield Sample((dy.astype(np.float32), codes))


LINEAR_INPUT_GRADIENT = Operator(
    name="linear_input_gradient",
    inputs=("dy", "weight"),
    infer=_infer_input_gradient,
    evaluate=lambda attrs, arrays: (arrays[0] @ arrays[1],),
    samples=_input_gradient_samples,
    kernels={DType.FLOAT32: linear_input_gradient_call},
    in_blocks=contracted("block_linear_input_gradient"),
    macs=_macs,
    cost=by_weight(Cost(mac=2.5, output=5.4, input=1.9), Cost(mac=2.43, output=4, input=4)),
)


def _infer_weight_gradient(attrs: Attrs, types: Types) -> Types:
    x, dy = types
    require(x.shape[:-1] == dy.shape[:-1], "the gradient does not match the input")
    return (TensorType((dy.shape[-1], x.shape[-1]), x.dtype),)


def _evaluate_weight_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    x, dy = (array.reshape(-1, array.shape[-1]) for array in arrays)
    return (dy.T @ x,)


def linear_weight_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    """The C call of the weight's gradient; a 1×1 convolution uses it too."""
    x, dy = node.inputs
    return linear_kernel_call(
        "mg_linear_weight_gradient_float32",
        rows(x.shape), x.shape[-1], dy.shape[-1], x, dy, node.outputs[0],
    )  # fmt: skip


def _weight_gradient_macs(node: Node) -> int:
    return rows(node.inputs[0].shape) * node.outputs[0].type.size


def _weight_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for leading, inputs, outputs in [((1,), 5, 3), ((1,), 64, 32), ((2, 3), 7, 9)]:
        x, dy = generator.standard_normal((*leading, inputs)), generator.standard_normal((*leading, outputs))
        yield Sample((x.astype(np.float32), dy.astype(np.float32)))


LINEAR_WEIGHT_GRADIENT = Operator(
    name="linear_weight_gradient",
    inputs=("x", "dy"),
    infer=_infer_weight_gradient,
    evaluate=_evaluate_weight_gradient,
    samples=_weight_gradient_samples,
    kernels={DType.FLOAT32: linear_weight_gradient_call},
    macs=_weight_gradient_macs,
    cost=Cost(mac=1.85, output=3.3),
)


def _evaluate_bias_gradient(attrs: Attrs, arrays: Arrays) -> Arrays:
    return (arrays[0].reshape(-1, arrays[0].shape[-1]).sum(axis=0),)


def _bias_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    (dy,) = node.inputs
    return linear_kernel_call("mg_linear_bias_gradient_float32", rows(dy.shape), 0, dy.shape[-1], dy, node.outputs[0])


def _bias_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(4)
    for shape in [(1, 5), (2, 3, 7)]:
        yield Sample((generator.standard_normal(shape).astype(np.float32),))


LINEAR_BIAS_GRADIENT = Operator(
    name="linear_bias_gradient",
    inputs=("dy",),
    infer=lambda attrs, types: (TensorType(types[0].shape[-1:], types[0].dtype),),
    evaluate=_evaluate_bias_gradient,
    samples=_bias_gradient_samples,
    kernels={DType.FLOAT32: _bias_gradient_call},
    in_blocks=contracted("block_linear_bias_gradient"),
    cost=Cost(output=15, input=5),
)
