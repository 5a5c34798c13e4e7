"""Handlers of ONNX operators beyond the first ones. https://onnx.ai/onnx/operators/ is the reference."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from micrograft.frontends import channels_first, layers, zoo
from micrograft.frontends.channels_first import Windows
from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import Call, Handler, handles
from micrograft.frontends.onnx_resize import kept_aspect, resize_by_matrices
from micrograft.ops.hard_sigmoid import HardSigmoidAttrs
from micrograft.ops.pad import PadMode

_FUNCTIONS = {
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Abs": "abs",
    "Reciprocal": "reciprocal",
    "Softplus": "softplus",
    "HardSwish": "hard_swish",
}
"""ONNX operators of one input and no attributes, to ours."""


def _function(op: str) -> Handler:
    return lambda call: call.network.add(op, (call.x,), origin=call.origin)


for _name, _op in _FUNCTIONS.items():
    handles(_name)(_function(_op))


@handles("HardSigmoid")
def _hard_sigmoid(call: Call) -> Tensor:
    attrs = HardSigmoidAttrs(call.number("alpha", 0.2), call.number("beta", 0.5))
    return call.network.add("hard_sigmoid", (call.x,), attrs, origin=call.origin)


@handles("LeakyRelu")
def _leaky_relu(call: Call) -> Tensor:
    return zoo.leaky_relu(call.network, call.x, call.number("alpha", 0.01), origin=call.origin)


@handles("PRelu")
def _prelu(call: Call) -> Tensor:
    return zoo.prelu(call.network, call.x, call.tensor(1), origin=call.origin)


@handles("Elu")
def _elu(call: Call) -> Tensor:
    return zoo.elu(call.network, call.x, call.number("alpha", 1.0), origin=call.origin)


@handles("Selu")
def _selu(call: Call) -> Tensor:
    alpha, gamma = call.number("alpha", 1.67326319217681884765625), call.number("gamma", 1.05070102214813232421875)
    return zoo.elu(call.network, call.x, alpha, scale=gamma, origin=call.origin)


@handles("Celu")
def _celu(call: Call) -> Tensor:
    alpha = call.number("alpha", 1.0)
    return zoo.elu(call.network, call.x, 1.0, scale=alpha, inner=1 / alpha, origin=call.origin)


@handles("Mish")
def _mish(call: Call) -> Tensor:
    return zoo.mish(call.network, call.x, origin=call.origin)


@handles("Softsign")
def _softsign(call: Call) -> Tensor:
    return zoo.softsign(call.network, call.x, origin=call.origin)


@handles("Max")
def _max(call: Call) -> Tensor:
    return zoo.choose(call.network, "maximum", _every(call), origin=call.origin)


@handles("Min")
def _min(call: Call) -> Tensor:
    return zoo.choose(call.network, "minimum", _every(call), origin=call.origin)


@handles("Sum")
def _sum(call: Call) -> Tensor:
    y, *others = _every(call)
    for other in others:
        y = layers.arithmetic(call.network, "add", y, other, origin=call.origin)
    return y


@handles("Mean")
def _mean(call: Call) -> Tensor:
    return layers.scale(call.network, _sum_of(call), 1 / len(call.inputs), origin=call.origin)


def _sum_of(call: Call) -> Tensor:
    found = _sum(call)
    assert not isinstance(found, tuple)
    return found


def _every(call: Call) -> list[Tensor]:
    return [call.tensor(index) for index in range(len(call.inputs))]


@handles("LogSoftmax")
def _log_softmax(call: Call) -> Tensor:
    axis = call.integer("axis", -1)
    return channels_first.softmax(call.network, call.x, axis, op="log_softmax", origin=call.origin)


@handles("GlobalMaxPool")
def _global_max_pool(call: Call) -> Tensor:
    return zoo.global_max(call.network, call.x, origin=call.origin)


@handles("ArgMax")
def _argmax(call: Call) -> Tensor:
    keep, last = bool(call.integer("keepdims", 1)), bool(call.integer("select_last_index", 0))
    return zoo.argmax(call.network, call.x, call.integer("axis", 0), keep=keep, last=last, origin=call.origin)


@handles("ArgMin")
def _argmin(call: Call) -> Tensor:
    keep, last = bool(call.integer("keepdims", 1)), bool(call.integer("select_last_index", 0))
    negated = layers.scale(call.network, call.x, -1.0, origin=call.origin)
    return zoo.argmax(call.network, negated, call.integer("axis", 0), keep=keep, last=last, origin=call.origin)


@handles("Tile")
def _tile(call: Call) -> Tensor:
    return zoo.tile(call.network, call.x, _integers(call, 1), origin=call.origin)


def _integers(call: Call, index: int) -> tuple[int, ...]:
    """Input `index`, a constant list of integers."""
    found = call.constant(index)
    if found is None:
        raise call.refused(f"its input {index} is missing")
    return tuple(int(each) for each in np.atleast_1d(found))


@handles("Pad")
def _pad(call: Call) -> Tensor:
    modes = {
        "constant": PadMode.CONSTANT,
        "edge": PadMode.EDGE,
        "reflect": PadMode.REFLECT,
        "wrap": PadMode.WRAP,
    }
    mode, rank = call.text("mode", "constant"), len(call.x.shape)
    if mode not in modes:
        raise call.refused(f"a pad of mode {mode} is not supported")
    value = call.constant(2)
    pads, chosen = _integers(call, 1), call.constant(3)
    axes = range(rank) if chosen is None else [int(axis) % rank for axis in chosen]
    every = [(0, 0)] * rank
    for number, axis in enumerate(axes):
        every[axis] = (pads[number], pads[number + len(axes)])
    constant = 0.0 if value is None else float(value.item())
    return zoo.pad(call.network, call.x, every, modes[mode], constant, origin=call.origin)


@handles("ConvTranspose")
def _conv_transpose(call: Call) -> Tensor:
    weight = call.tensor(1)
    kernel = weight.shape[2:]
    rank = len(kernel)
    ones, zeros = (1,) * rank, (0,) * rank
    stride = call.integers("strides", ones) or ones
    dilation = call.integers("dilations", ones) or ones
    extra = call.integers("output_padding", zeros) or zeros
    pads = call.integers("pads", zeros + zeros) or zeros + zeros
    padding = tuple(zip(pads[:rank], pads[rank:], strict=True))
    auto = call.text("auto_pad", "NOTSET")
    wanted = call.integers("output_shape")
    whole = tuple(
        step * (size - 1) + more + (taps - 1) * spread + 1
        for size, step, more, taps, spread in zip(call.x.shape[2:], stride, extra, kernel, dilation, strict=True)
    )
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(size * step for size, step in zip(call.x.shape[2:], stride, strict=True))
    if wanted is not None:
        totals = [max(0, size - output) for size, output in zip(whole, wanted[-rank:], strict=True)]
        upper = auto == "SAME_UPPER"
        padding = tuple((t // 2, t - t // 2) if upper else (t - t // 2, t // 2) for t in totals)
        spatial = tuple(wanted[-rank:])
    else:
        spatial = tuple(size - sum(each) for size, each in zip(whole, padding, strict=True))
    windows = Windows(kernel, stride, padding, dilation)
    groups = call.integer("group", 1)
    return zoo.transposed_convolution(
        call.network, call.x, weight, call.optional(2), windows, groups, spatial, origin=call.origin
    )


@handles("Resize")
def _resize(call: Call) -> Tensor:
    mode, shape = call.text("mode", "nearest"), call.x.shape
    given, wanted = call.constant(2), call.constant(3)
    axes = [axis % len(shape) for axis in call.integers("axes") or range(len(shape))]
    scales, sizes = [Fraction(1)] * len(shape), list(shape)
    if given is not None and given.size:
        for axis, scale in zip(axes, given, strict=True):
            scales[axis] = zoo.fraction(float(scale))
            sizes[axis] = int(shape[axis] * scales[axis])
    elif wanted is not None and call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        common, kept = kept_aspect(call, [int(size) for size in wanted], axes)
        for axis, size in zip(axes, kept, strict=True):
            scales[axis], sizes[axis] = common, size
    elif wanted is not None:
        for axis, size in zip(axes, wanted, strict=True):
            scales[axis], sizes[axis] = Fraction(int(size), shape[axis]), int(size)
    coordinates = zoo.Coordinates(
        call.text("coordinate_transformation_mode", "half_pixel"), call.text("nearest_mode", "round_prefer_floor")
    )
    if coordinates.mode == "align_corners" and any((shape[axis] * scales[axis]).denominator != 1 for axis in axes):
        raise call.refused(
            "a resize that aligns corners by a scale that gives no whole size means one thing in PyTorch and"
            " onnxruntime and another in ONNX's own tests",
            "give it a size instead of a scale",
        )
    if _is_ordinary(call, coordinates):
        return zoo.resize(call.network, call.x, sizes, scales, coordinates, linear=mode == "linear", origin=call.origin)
    return resize_by_matrices(call, sizes, scales, axes)


def _is_ordinary(call: Call, coordinates: zoo.Coordinates) -> bool:
    """Whether our operator has a rule for it."""
    if coordinates.mode in ("half_pixel_symmetric", "tf_crop_and_resize") or call.text("mode", "nearest") == "cubic":
        return False
    return not call.integer("antialias", 0)


@handles("Pow")
def _pow(call: Call) -> Tensor:
    """Of a constant exponent; where it differs from element to element, each exponent for the elements that have it."""
    exponent = call.constant(1)
    if exponent is None:
        raise call.refused("its exponent is missing")
    different = np.unique(exponent)
    if different.size == 1:
        return zoo.power(call.network, call.x, float(different[0]), origin=call.origin)
    if not np.array_equal(different, np.round(different)) or different.min() < 1:
        raise call.refused("a power of several exponents that are not whole is not supported")
    total: Tensor | None = None
    for each in different:
        chosen = Constant((exponent == each).astype(np.float32), f"{call.origin}.has_{int(each)}")
        powers = zoo.power(call.network, call.x, float(each), origin=call.origin)
        part = layers.arithmetic(call.network, "mul", powers, chosen, origin=call.origin)
        total = part if total is None else layers.arithmetic(call.network, "add", total, part, origin=call.origin)
    assert total is not None
    return total
