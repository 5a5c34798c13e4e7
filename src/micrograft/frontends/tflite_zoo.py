"""Handlers of TFLite operators beyond the first ones, as in `tflite_operators`."""

from __future__ import annotations

from fractions import Fraction

import tflite

from micrograft.frontends import channels_first, layers, rearrange, transformers, zoo
from micrograft.frontends.channels_first import same_padding
from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.tflite_operators import Call, Handler, activated, handles, picked, stride_of
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.conv_transpose import ConvTransposeAttrs
from micrograft.ops.pad import PadAttrs, PadMode
from micrograft.ops.resize import ResizeAttrs

_FUNCTIONS = {"ABS": "abs", "EXP": "exp", "HARD_SWISH": "hard_swish", "LOG": "log", "SQRT": "sqrt"}
"""TFLite operators of one input and no options, to ours."""


def _function(op: str) -> Handler:
    return lambda call: call.network.add(op, (call.x,), origin=call.origin)


for _name, _op in _FUNCTIONS.items():
    handles(_name)(_function(_op))


@handles("ELU")
def _elu(call: Call) -> Tensor:
    return zoo.elu(call.network, call.x, 1.0, origin=call.origin)


@handles("GELU")
def _gelu(call: Call) -> Tensor:
    op = "gelu_tanh" if call.options.get("Approximate", False) else "gelu"
    return call.network.add(op, (call.x,), origin=call.origin)


@handles("LEAKY_RELU")
def _leaky_relu(call: Call) -> Tensor:
    return zoo.leaky_relu(call.network, call.x, float(call.options.get("Alpha", 0.0)), origin=call.origin)


@handles("PRELU")
def _prelu(call: Call) -> Tensor:
    return zoo.prelu(call.network, call.x, call.tensor(1), origin=call.origin)


@handles("LOG_SOFTMAX")
def _log_softmax(call: Call) -> Tensor:
    return call.network.add("log_softmax", (call.x,), origin=call.origin)


@handles("SQUARE")
def _square(call: Call) -> Tensor:
    return zoo.power(call.network, call.x, 2.0, origin=call.origin)


@handles("RSQRT")
def _rsqrt(call: Call) -> Tensor:
    return zoo.power(call.network, call.x, -0.5, origin=call.origin)


@handles("POW")
def _pow(call: Call) -> Tensor:
    exponent = call.tensor(1)
    if not isinstance(exponent, Constant) or exponent.data.size != 1:
        raise call.refused("a power of several exponents is not supported")
    return zoo.power(call.network, call.x, float(exponent.data.item()), origin=call.origin)


@handles("SQUARED_DIFFERENCE")
def _squared_difference(call: Call) -> Tensor:
    difference = layers.arithmetic(call.network, "sub", call.x, call.tensor(1), origin=call.origin)
    return zoo.power(call.network, difference, 2.0, origin=call.origin)


@handles("MAXIMUM")
def _maximum(call: Call) -> Tensor:
    return zoo.choose(call.network, "maximum", (call.x, call.tensor(1)), origin=call.origin)


@handles("MINIMUM")
def _minimum(call: Call) -> Tensor:
    return zoo.choose(call.network, "minimum", (call.x, call.tensor(1)), origin=call.origin)


@handles("SUM")
def _sum(call: Call) -> Tensor:
    keep = bool(call.options.get("KeepDims", False))
    return layers.total(call.network, call.x, call.integers(1), keep=keep, mean=False, origin=call.origin)


@handles("REDUCE_MAX")
def _reduce_max(call: Call) -> Tensor:
    """Over all spatial axes, a global max pool."""
    rank = len(call.x.shape)
    if sorted(axis % rank for axis in call.integers(1)) != list(range(1, rank - 1)) or rank not in (3, 4):
        raise call.refused(f"a maximum over the axes {call.integers(1)} of {call.x.shape} is not a global max pool")
    first = channels_first.channels_back(call.network, call.network.value(call.x), 1, origin=call.origin)
    y = zoo.global_max(call.network, first, origin=call.origin)
    last = channels_first.channels_last(call.network, y, 1, origin=call.origin)
    if call.options.get("KeepDims", False):
        return last
    return call.network.reshape(last, (last.shape[0], last.shape[-1]), origin=call.origin)


@handles("ARG_MAX")
def _arg_max(call: Call) -> Tensor:
    (axis,) = call.integers(1)
    return zoo.argmax(call.network, call.x, axis, keep=False, origin=call.origin)


@handles("PAD", "PADV2")
def _pad(call: Call) -> Tensor:
    value = call.optional(2)
    if value is not None and not isinstance(value, Constant):
        raise call.refused("the value that it pads with is computed from the data, and must be constant")
    attrs = PadAttrs(_pads(call), PadMode.CONSTANT, 0.0 if value is None else float(value.data.item()))
    return call.network.add("pad", (call.x,), attrs, origin=call.origin)


@handles("MIRROR_PAD")
def _mirror_pad(call: Call) -> Tensor:
    if call.integer("Mode") != tflite.MirrorPadMode.REFLECT:
        raise call.refused("a mirror pad that repeats the border is not supported")
    return call.network.add("pad", (call.x,), PadAttrs(_pads(call), PadMode.REFLECT), origin=call.origin)


def _pads(call: Call) -> tuple[tuple[int, int], ...]:
    numbers = call.integers(1)
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


@handles("TRANSPOSE_CONV")
def _transpose_conv(call: Call) -> Tensor:
    """Inputs: the output's shape, the weight (O, height, width, C), x, perhaps a bias."""
    network, origin = call.network, call.origin
    spatial, weight, x, bias = call.integers(0)[1:-1], call.trained(1), call.tensor(2), call.trained(3)
    if weight is None or len(weight.shape) != 4 or len(spatial) != 2:
        raise call.refused("its weight is missing or is not (outputs, height, width, channels)")
    kernel, stride, ones = weight.shape[1:3], stride_of(call), (1, 1)
    padding = ((0, 0), (0, 0))
    if call.integer("Padding") == tflite.Padding.SAME:
        (top, bottom), (left, right) = same_padding(spatial, kernel, stride, ones)
        padding = ((top, bottom), (left, right))
    inputs: list[Tensor] = [x, network.transpose(weight, (3, 1, 2, 0), origin=origin)]
    attrs = ConvTransposeAttrs(ConvAttrs(stride, padding, ones), spatial)
    y = network.add("conv_transpose", inputs if bias is None else [*inputs, bias], attrs, origin=origin)
    return activated(call, y)


@handles("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def _resize(call: Call) -> Tensor:
    """The nearest element is the one below, but for aligned corners, where halves go up."""
    linear = "nearest" not in call.kind.lower()
    corners, centers = bool(call.options.get("AlignCorners")), bool(call.options.get("HalfPixelCenters"))
    mode = "align_corners" if corners else "asymmetric"
    if centers:
        mode = "half_pixel" if linear else "tf_half_pixel_for_nn"
    coordinates = zoo.Coordinates(mode, "round_prefer_ceil" if corners else "floor")
    axes = []
    for size, output in zip(call.x.shape[1:-1], call.integers(1), strict=True):
        scaling = coordinates.scaling(size, output, Fraction(output, size), nearest=not linear)
        if scaling is None:
            raise call.refused("a resize with these coordinates is not supported")
        axes.append(scaling)
    return call.network.add("resize", (call.x,), ResizeAttrs(tuple(axes), linear), origin=call.origin)


@handles("SLICE")
def _slice(call: Call) -> Tensor:
    y = call.x
    for axis, (start, size) in enumerate(zip(call.integers(1), call.integers(2), strict=True)):
        stop = y.shape[axis] if size < 0 else start + size
        y = rearrange.part(call.network, y, axis, start, stop, origin=call.origin)
    return y


@handles("STRIDED_SLICE")
def _strided_slice(call: Call) -> Tensor:
    y, gone = call.x, []
    for axis, pick in enumerate(picked(call, y.shape, *(call.integers(index) for index in (1, 2, 3)))):
        if isinstance(pick, int):
            pick = slice(pick, pick + 1)
            gone.append(axis)
        y = rearrange.part(call.network, y, axis, pick.start, pick.stop, pick.step or 1, origin=call.origin)
    kept = tuple(size for axis, size in enumerate(y.shape) if axis not in gone)
    return call.network.reshape(y, kept, origin=call.origin)


@handles("SPLIT")
def _split(call: Call) -> tuple[Tensor, ...]:
    """Inputs: the axis, x."""
    (axis,), x, count = call.integers(0), call.tensor(1), call.integer("NumSplits", 1)
    if x.shape[axis] % count:
        raise call.refused(f"an axis of {x.shape[axis]} does not split into {count}")
    sizes = [x.shape[axis] // count] * count
    return tuple(rearrange.split(call.network, x, axis, sizes, origin=call.origin))


@handles("SPLIT_V")
def _split_v(call: Call) -> tuple[Tensor, ...]:
    """Inputs: x, the sizes (of which one may be -1), the axis."""
    sizes, (axis,) = list(call.integers(1)), call.integers(2)
    if -1 in sizes:
        sizes[sizes.index(-1)] = call.x.shape[axis] - sum(sizes) - 1
    return tuple(rearrange.split(call.network, call.x, axis, sizes, origin=call.origin))


@handles("UNPACK")
def _unpack(call: Call) -> tuple[Tensor, ...]:
    axis = call.integer("Axis")
    return tuple(
        rearrange.select(call.network, call.x, axis, index, origin=call.origin) for index in range(call.x.shape[axis])
    )


@handles("PACK")
def _pack(call: Call) -> Tensor:
    axis = call.integer("Axis") % (len(call.x.shape) + 1)
    parts = [call.tensor(index) for index in range(len(call.inputs))]
    rows = [layers.unsqueeze(call.network, each, (axis,), origin=call.origin) for each in parts]
    return layers.concat(call.network, rows, axis, origin=call.origin)


@handles("DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
def _space(call: Call) -> Tensor:
    """Blocks of a square of places, their places before their channels."""
    block, x = call.integer("BlockSize", 1), call.network.value(call.x)
    _, height, width, channels = x.shape
    if call.kind == "DEPTH_TO_SPACE":
        apart = (1, height, width, block, block, channels // (block * block))
        shape = (1, height * block, width * block, channels // (block * block))
    else:
        apart = (1, height // block, block, width // block, block, channels)
        shape = (1, height // block, width // block, channels * block * block)
    split = call.network.reshape(x, apart, origin=call.origin)
    turned = call.network.transpose(split, (0, 1, 3, 2, 4, 5), origin=call.origin)
    return call.network.reshape(turned, shape, origin=call.origin)


@handles("GATHER")
def _gather(call: Call) -> Tensor:
    indices = call.tensor(1)
    if not isinstance(indices, Constant) or call.integer("BatchDims"):
        raise call.refused("its indices are computed from the data, and must be constant")
    return rearrange.take(call.network, call.x, call.integer("Axis"), indices.data, origin=call.origin)


@handles("BATCH_MATMUL")
def _batch_matmul(call: Call) -> Tensor:
    operands = []
    for tensor, option in ((call.x, "AdjX"), (call.tensor(1), "AdjY")):
        rank = len(tensor.shape)
        turned = (*range(rank - 2), rank - 1, rank - 2)
        adjoint = bool(call.options.get(option, False))
        operands.append(call.network.transpose(tensor, turned, origin=call.origin) if adjoint else tensor)
    return transformers.matmul(call.network, operands[0], operands[1], origin=call.origin)


@handles("BROADCAST_TO")
def _broadcast_to(call: Call) -> Tensor:
    return transformers.expand(call.network, call.x, call.integers(1), origin=call.origin)


@handles("TILE")
def _tile(call: Call) -> Tensor:
    return zoo.tile(call.network, call.x, call.integers(1), origin=call.origin)
