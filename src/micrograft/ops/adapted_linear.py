"""adapted_linear: a frozen linear layer on int8 codes with a low-rank float32 detour, in one kernel (`detour`).

x, weight, bias, factors, y: as in `quantized_linear`; down: (..., r) float32; up: (outputs, r) float32. The kernel is
that of `adapted_conv`, with rows for positions. The backward pass keeps one bit per output and the r values per row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import DType
from micrograft.ops.columns import row_columns
from micrograft.ops.cost import Cost
from micrograft.ops.detour import check_detour, detour_gradients, detour_group, detour_units
from micrograft.ops.linear import bias_gradient, rows
from micrograft.ops.linear_of_codes import ROWS
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types
from micrograft.ops.quantized_conv import conv_int8_call
from micrograft.ops.quantized_linear import QUANTIZED_LINEAR, QuantizedLinearAttrs
from micrograft.ops.requantization import channels_group, codes_gradient, requantized, with_mask


def _infer(attrs: QuantizedLinearAttrs, types: Types) -> Types:
    *base, down, up = types
    y, mask = QUANTIZED_LINEAR.infer(attrs, base)
    check_detour(y, down, up)
    return y, mask


def _evaluate(attrs: QuantizedLinearAttrs, arrays: Arrays) -> Arrays:
    x, weight, bias, factors, down, up = arrays
    sums = (x.astype(np.float64) - attrs.x_zero) @ weight.astype(np.float64).T
    y = requantized(sums.astype(np.int64) + detour_units(attrs.y, factors, down, up), bias, factors, attrs.y)
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, bias, factors, down, up = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, QuantizedLinearAttrs)
    passed = codes_gradient(backward, node, dy)
    d_down, d_up = detour_gradients(backward, attrs.y, passed, down, up)
    dx = d_bias = None
    if backward.needs(x) or backward.needs(bias):
        sums = backward.emit("rescale_gradient", passed, factors)
        d_bias = bias_gradient(backward, bias, sums)
    if backward.needs(x):
        dx = backward.emit("linear_input_gradient", sums, weight)
    return dx, None, d_bias, None, d_down, d_up


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, bias, factors, down, up = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedLinearAttrs)
    call = conv_int8_call(
        "mg_adapted_conv_int8", ROWS, (1, rows(x.shape), x.shape[-1]), weight.shape[0], 1, attrs.x_zero, attrs.y,
        x, weight, channels_group(bias, factors), detour_group(down, up, *row_columns(node)),
        node.outputs[0], rank=up.shape[-1],
    )  # fmt: skip
    return with_mask(call, node, attrs.y)


def _macs(node: Node) -> int:
    return rows(node.inputs[0].shape) * (node.inputs[1].type.size + node.inputs[5].type.size)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(4)
    for index, base in enumerate(QUANTIZED_LINEAR.samples()):
        x, weight, rank = base.inputs[0], base.inputs[1], 1 + index % 4
        down = generator.standard_normal((*x.shape[:-1], rank)).astype(np.float32)
        up = generator.standard_normal((len(weight), rank)).astype(np.float32)
        yield Sample((*base.inputs, down, up), base.attrs, differentiable=())


ADAPTED_LINEAR = Operator(
    name="adapted_linear",
    inputs=("x", "weight", "bias", "factors", "down", "up"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    macs=_macs,
    cost=Cost(mac=2.0, output=105, optional=15),
    scratch=row_columns,
)
