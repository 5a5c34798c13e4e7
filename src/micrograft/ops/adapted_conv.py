"""adapted_conv: a frozen convolution on int8 codes with a low-rank float32 detour, in one kernel.

y = codes of (W·x + b + up·down), rounded once: the detour enters the int32 sums in their own units, so that changes
smaller than a step of the output count and no float copy of an activation exists. x, weight, bias, factors, y: as
in `quantized_conv`; down: (1, *positions, r) float32, what A makes of x (`conv_of_codes`); up: (O, r) float32, B. The
backward pass keeps one bit per output and the r values per position.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.columns import row_columns
from micrograft.ops.conv import CONV, ConvInputGradientAttrs, window_cost
from micrograft.ops.cost import Cost
from micrograft.ops.detour import check_detour, detour_gradients, detour_group, detour_units
from micrograft.ops.linear import bias_gradient
from micrograft.ops.operator import Arrays, Backward, Gradients, KernelCall, Operator, Sample, Types
from micrograft.ops.quantized_conv import QUANTIZED_CONV, QuantizedConvAttrs, conv_int8_call
from micrograft.ops.requantization import by_rounding, channels_group, codes_gradient, requantized, with_mask


def _infer(attrs: QuantizedConvAttrs, types: Types) -> Types:
    *base, down, up = types
    y, mask = QUANTIZED_CONV.infer(attrs, base)
    check_detour(y, down, up)
    return y, mask


def _evaluate(attrs: QuantizedConvAttrs, arrays: Arrays) -> Arrays:
    x, weight, bias, factors, down, up = arrays
    centred = x.astype(np.float64) - attrs.x_zero
    (sums,) = CONV.evaluate(attrs.conv, (centred, weight.astype(np.float64)))
    y = requantized(sums.astype(np.int64) + detour_units(attrs.y, factors, down, up), bias, factors, attrs.y)
    return y, attrs.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, bias, factors, down, up = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, QuantizedConvAttrs)
    passed = codes_gradient(backward, node, dy)
    d_down, d_up = detour_gradients(backward, attrs.y, passed, down, up)
    dx = d_bias = None
    if backward.needs(x) or backward.needs(bias):
        sums = backward.emit("rescale_gradient", passed, factors)
        d_bias = bias_gradient(backward, bias, sums)
    if backward.needs(x):
        dx = backward.emit("conv_input_gradient", sums, weight, attrs=ConvInputGradientAttrs(attrs.conv, x.shape))
    return dx, None, d_bias, None, d_down, d_up


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, bias, factors, down, up = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, QuantizedConvAttrs)
    call = conv_int8_call(
        "mg_adapted_conv_int8", attrs.conv.window(weight.shape[1:-1]), x.shape, weight.shape[0], attrs.conv.groups,
        attrs.x_zero, attrs.y, x, weight, channels_group(bias, factors), detour_group(down, up, *row_columns(node)),
        node.outputs[0], rank=up.shape[-1],
    )  # fmt: skip
    return with_mask(call, node, attrs.y)


def _macs(node: Node) -> int:
    positions = node.outputs[0].type.size // node.outputs[0].shape[-1]
    return positions * (node.inputs[1].type.size + node.inputs[5].type.size)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(4)
    for index, base in enumerate(QUANTIZED_CONV.samples()):
        rank = 1 + index % 4
        y, _ = QUANTIZED_CONV.infer(base.attrs, [TensorType(a.shape, DType(a.dtype.name)) for a in base.inputs])
        down = generator.standard_normal((*y.shape[:-1], rank)).astype(np.float32)
        up = generator.standard_normal((y.shape[-1], rank)).astype(np.float32)
        yield Sample((*base.inputs, down, up), base.attrs, differentiable=())


ADAPTED_CONV = Operator(
    name="adapted_conv",
    inputs=("x", "weight", "bias", "factors", "down", "up"),
    outputs=("y", "mask"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    macs=_macs,
    cost=by_rounding(
        once=window_cost(Cost(mac=1.57, output=98, optional=15), Cost(mac=1.46, output=92, optional=15), tap=65),
        twice=window_cost(Cost(mac=1.57, output=140, optional=15), Cost(mac=1.46, output=135, optional=15), tap=65),
    ),
    scratch=row_columns,
)
