"""coded_detour_conv and coded_detour_linear: frozen layers on int8 codes with a low-rank detour in integers.

y = codes of W·x + b + (up·down) / 2^places, rounded to nearest, ties up, in the units of the int32 sums and in one
kernel: the detour costs no factor, as B's grid is that of the layer's weight times a power of two. x, weight, bias,
factors, y: as in `quantized_conv` and `quantized_linear`; down: (..., r) int16 (`down`); up: (O, r) int8, B. The
backward pass keeps one bit per output and the r values per position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, TensorType
from micrograft.ops.block import shifted
from micrograft.ops.columns import row_columns
from micrograft.ops.conv import CONV, ConvInputGradientAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.linear import LINEAR, bias_gradient, rows
from micrograft.ops.linear_of_codes import ROWS
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
from micrograft.ops.quantized_conv import QUANTIZED_CONV, QuantizedConvAttrs, conv_int8_call
from micrograft.ops.quantized_linear import QUANTIZED_LINEAR, QuantizedLinearAttrs
from micrograft.ops.requantization import channels_group, codes_gradient, requantized, with_mask
from micrograft.ops.scale import ScaleAttrs


@dataclass(frozen=True)
class CodedDetourAttrs(Attrs):
    """layer: of the frozen layer. places: that the detour is shifted to the right."""

    layer: QuantizedConvAttrs | QuantizedLinearAttrs
    places: int


def _infer(attrs: CodedDetourAttrs, types: Types) -> Types:
    *base, down, up = types
    operator = QUANTIZED_CONV if isinstance(attrs.layer, QuantizedConvAttrs) else QUANTIZED_LINEAR
    y, mask = operator.infer(attrs.layer, base)
    rank = down.shape[-1]
    require(down == TensorType((*y.shape[:-1], rank), DType.INT16), f"the detour is {down}, but the output {y}")
    require((up.shape, up.dtype) == ((y.shape[-1], rank), DType.INT8), f"{up} does not lead from {down} to {y}")
    return y, mask


def _sums(attrs: CodedDetourAttrs, x: Array, weight: Array) -> Array:
    centred, codes = x.astype(np.float64) - attrs.layer.x_zero, weight.astype(np.float64)
    if isinstance(attrs.layer, QuantizedConvAttrs):
        (sums,) = CONV.evaluate(attrs.layer.conv, (centred, codes))
    else:
        (sums,) = LINEAR.evaluate(Attrs(), (centred, codes))
    return sums.astype(np.int64)


def _evaluate(attrs: CodedDetourAttrs, arrays: Arrays) -> Arrays:
    x, weight, bias, factors, down, up = arrays
    detour = shifted(down.astype(np.int64) @ up.astype(np.int64).T, attrs.places)
    y = requantized(_sums(attrs, x, weight) + detour, bias, factors, attrs.layer.y)
    return y, attrs.layer.y.mask(y)


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    x, weight, bias, factors, down, up = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, CodedDetourAttrs)
    sums = backward.emit("rescale_gradient", codes_gradient(backward, node, dy), factors)
    share = ScaleAttrs(2.0**-attrs.places)
    dx = d_down = d_up = None
    if backward.needs(down):
        d_down = backward.emit("scale", backward.emit("linear_input_gradient", sums, up), attrs=share)
    if backward.needs(up):
        d_up = backward.emit("scale", backward.emit("down_weight_gradient", down, sums), attrs=share)
    if backward.needs(x) and isinstance(attrs.layer, QuantizedConvAttrs):
        input_attrs = ConvInputGradientAttrs(attrs.layer.conv, x.shape)
        dx = backward.emit("conv_input_gradient", sums, weight, attrs=input_attrs)
    elif backward.needs(x):
        dx = backward.emit("linear_input_gradient", sums, weight)
    return dx, None, bias_gradient(backward, bias, sums), None, d_down, d_up


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, weight, bias, factors, down, up = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, CodedDetourAttrs)
    window, shape, groups = ROWS, x.shape, 1
    if isinstance(attrs.layer, QuantizedConvAttrs):
        window, groups = attrs.layer.conv.window(weight.shape[1:-1]), attrs.layer.conv.groups
    else:
        shape = (1, rows(x.shape), x.shape[-1])
    (columns,) = row_columns(node)
    detour = Group("mg_coded_detour", (("down", down), ("up", up), ("columns", columns)))
    call = conv_int8_call(
        "mg_coded_detour_conv_int8", window, shape, weight.shape[0], groups, attrs.layer.x_zero, attrs.layer.y,
        x, weight, channels_group(bias, factors), detour, node.outputs[0], rank=up.shape[-1], places=attrs.places,
    )  # fmt: skip
    return with_mask(call, node, attrs.layer.y)


def _macs(node: Node) -> int:
    positions = node.outputs[0].type.size // node.outputs[0].shape[-1]
    return positions * (node.inputs[1].type.size + node.inputs[5].type.size)


def _operator(name: str, base: Operator) -> Operator:
    def samples() -> Iterator[Sample]:
        generator = np.random.default_rng(4)
        for index, sample in enumerate(base.samples()):
            assert isinstance(sample.attrs, (QuantizedConvAttrs, QuantizedLinearAttrs))
            rank, outputs = 1 + index % 4, len(sample.inputs[1])
            y = base.evaluate(sample.attrs, sample.inputs)[0]
            down = generator.integers(-32767, 32768, (*y.shape[:-1], rank)).astype(np.int16)
            up = generator.integers(-127, 128, (outputs, rank)).astype(np.int8)
            attrs = CodedDetourAttrs(sample.attrs, (6, 11, 0)[index % 3])
            yield Sample((*sample.inputs, down, up), attrs, differentiable=())

    return Operator(
        name=name,
        inputs=("x", "weight", "bias", "factors", "down", "up"),
        outputs=("y", "mask"),
        infer=_infer,
        evaluate=_evaluate,
        samples=samples,
        kernels={DType.INT8: _call},
        gradient=_gradient,
        macs=_macs,
        cost=Cost(mac=2.1, output=95, optional=15),
        scratch=row_columns,
    )


CODED_DETOUR_CONV = _operator("coded_detour_conv", QUANTIZED_CONV)
CODED_DETOUR_LINEAR = _operator("coded_detour_linear", QUANTIZED_LINEAR)
