"""sparse_quantized_layer: an int8 layer whose weight lies in two places, most of it frozen in flash and some channels,
which are trained, in RAM.

As `sparse_layer`, on codes. x, bias, factors, y: as of the ordinary layer; frozen, weight: int8. Both meet in one int32
sum before it is rounded, so the codes are those of the ordinary layer, to the last bit. The backward pass keeps one bit
per output, and the chosen channels of x (`taken`) where they are the input's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, Quantization, Value
from micrograft.ops.channels import put_call
from micrograft.ops.columns import four_weights, row_columns
from micrograft.ops.conv_of_codes import ConvOfCodesWeightGradientAttrs
from micrograft.ops.cost import Cost
from micrograft.ops.linear import bias_gradient
from micrograft.ops.linear_of_codes import OfCodesAttrs
from micrograft.ops.operator import Arrays, Backward, Gradients, Group, KernelCall, Operator, Sample, Types
from micrograft.ops.quantized_conv import QUANTIZED_CONV, QuantizedConvAttrs, conv_int8_call
from micrograft.ops.quantized_depthwise_conv import QUANTIZED_DEPTHWISE_CONV
from micrograft.ops.quantized_linear import QUANTIZED_LINEAR, QuantizedLinearAttrs
from micrograft.ops.requantization import channels_group, sums_gradient, with_mask
from micrograft.ops.sparse_layer import (
    Side,
    SparseAttrs,
    joined,
    joining_scratch,
    sample_places,
    shape_fields,
    sparse_gradients,
    taken_calls,
    taken_type,
)

QUANTIZED_BASES = {each.name: each for each in (QUANTIZED_LINEAR, QUANTIZED_CONV, QUANTIZED_DEPTHWISE_CONV)}
"""The layers that there are in this form."""


def _quantized(attrs: SparseAttrs) -> QuantizedConvAttrs | QuantizedLinearAttrs:
    assert isinstance(attrs.attrs, QuantizedConvAttrs | QuantizedLinearAttrs), "the base is an int8 layer"
    return attrs.attrs


def _infer(attrs: SparseAttrs, types: Types) -> Types:
    x, frozen, part, index, *channels = types
    attrs.check(frozen, part, index)
    y, mask = QUANTIZED_BASES[attrs.base].infer(attrs.attrs, (x, frozen, *channels))
    return y, mask, taken_type(attrs, x, y, index)


def _evaluate(attrs: SparseAttrs, arrays: Arrays) -> Arrays:
    x, frozen, part, index, *channels = arrays
    whole = joined(attrs.side, frozen, part, index)
    y, mask = QUANTIZED_BASES[attrs.base].evaluate(attrs.attrs, (x, whole, *channels))
    return y, mask, x[..., index] if attrs.keeps_channels else x


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    _, _, part, _, bias, factors = node.inputs
    dy, attrs = gradients[0], node.attrs
    assert dy is not None and isinstance(attrs, SparseAttrs)
    sums = sums_gradient(backward, node, dy, factors)
    codes, base = Quantization((1.0,), (_quantized(attrs).x_zero,)), attrs.base.removeprefix("quantized_")
    weight_attrs = (
        OfCodesAttrs(codes)
        if attrs.conv is None
        else ConvOfCodesWeightGradientAttrs(attrs.conv, part.shape[1:-1], codes)
    )

    def weight_gradient(x: Value, dy: Value) -> Value:
        return backward.emit(f"{base}_of_codes_weight_gradient", x, dy, attrs=weight_attrs)

    dx, d_part = sparse_gradients(backward, node, sums, base, weight_gradient)
    return dx, None, d_part, None, bias_gradient(backward, bias, sums), None


def _scratch(node: Node) -> tuple[Value, ...]:
    assert isinstance(node.attrs, SparseAttrs)
    return (*joining_scratch(node), *(four_weights(node) if node.attrs.depthwise else row_columns(node)))


def _call(node: Node) -> tuple[KernelCall, ...]:
    x, frozen, part, index, bias, factors = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, SparseAttrs)
    own, channels, (scratch,) = _quantized(attrs), channels_group(bias, factors), joining_scratch(node)
    calls: tuple[KernelCall, ...]
    if attrs.depthwise:
        assert isinstance(own, QuantizedConvAttrs)
        window, outputs = own.conv.window(frozen.shape[1:-1]), x.shape[-1]
        layer = conv_int8_call(
            "mg_depthwise_conv_int8", window, x.shape, outputs, outputs, own.x_zero, own.y,
            x, scratch, channels, *four_weights(node), node.outputs[0],
        )  # fmt: skip
        calls = (put_call(frozen, part, index, scratch), layer)
    else:
        fields = (*shape_fields(attrs, x, frozen, index), ("x_zero", own.x_zero), own.y.field)
        places = Group("mg_sparse_codes", (("frozen", frozen), ("part", part), ("index", index)))
        (columns,) = row_columns(node)
        rooms = Group("mg_sparse_scratch", (("rows", scratch), ("columns", columns)))
        pointers = (x, places, channels, rooms, node.outputs[0])
        calls = (KernelCall("mg_sparse_conv_int8", "mg_sparse_conv_int8_params", fields, pointers),)
    *first, last = calls
    return (*first, *with_mask(last, node, own.y), *taken_calls(node, 2))


def _macs(node: Node) -> int:
    assert isinstance(node.attrs, SparseAttrs)
    base = QUANTIZED_BASES[node.attrs.base]
    return base.macs(Node(base.name, node.inputs[:2], node.outputs[:1], node.attrs.attrs))


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for name, base in QUANTIZED_BASES.items():
        depthwise = name == "quantized_depthwise_conv"
        for number, sample in enumerate(base.samples()):
            x, weight, *channels = sample.inputs
            if depthwise and weight.shape[-1] != x.shape[-1]:
                continue
            side: Side = "output" if number % 2 and not depthwise else "input"
            attrs = SparseAttrs(name, sample.attrs, side)
            if not depthwise and attrs.conv is not None and attrs.conv.groups != 1:
                continue
            yield Sample((x, *sample_places(generator, weight, side, number), *channels), attrs)


SPARSE_QUANTIZED_LAYER = Operator(
    name="sparse_quantized_layer",
    inputs=("x", "frozen", "weight", "index", "bias", "factors"),
    outputs=("y", "mask", "taken"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    gradient=_gradient,
    macs=_macs,
    cost=Cost(mac=2.3, output=76, optional=17),
    scratch=_scratch,
)
