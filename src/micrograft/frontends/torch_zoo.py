"""Handlers of ATen operators beyond the first ones; arguments are those of the operator's own schema."""

from __future__ import annotations

from fractions import Fraction

from micrograft.frontends import channels_first, layers, zoo
from micrograft.frontends.channels_first import Padding, Windows
from micrograft.frontends.network import Tensor
from micrograft.frontends.torch_operators import Call, Handler, handles
from micrograft.ops.hard_sigmoid import HardSigmoidAttrs
from micrograft.ops.pad import PadMode

_FUNCTIONS = {
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "abs": "abs",
    "reciprocal": "reciprocal",
    "hardswish": "hard_swish",
}
"""ATen operators of one input, to ours."""


def _function(op: str) -> Handler:
    return lambda call: call.network.add(op, (call.x,), origin=call.origin)


for _name, _op in _FUNCTIONS.items():
    handles(_name)(_function(_op))


@handles("hardsigmoid")
def _hard_sigmoid(call: Call) -> Tensor:
    return call.network.add("hard_sigmoid", (call.x,), HardSigmoidAttrs(), origin=call.origin)


@handles("leaky_relu")
def _leaky_relu(call: Call) -> Tensor:
    return zoo.leaky_relu(call.network, call.x, float(call.get("negative_slope", 0.01)), origin=call.origin)


@handles("prelu", "_prelu_kernel")
def _prelu(call: Call) -> Tensor:
    """The slope is one number per channel, along axis 1."""
    slope = call.network.value(call.tensor("weight"), trains=True)
    if len(slope.shape) == 1:
        inner = len(call.x.shape) - 2
        slope = call.network.reshape(slope, (*slope.shape, *(1 for _ in range(inner))), origin=call.origin)
    return zoo.prelu(call.network, call.x, slope, origin=call.origin)


@handles("elu")
def _elu(call: Call) -> Tensor:
    alpha, scale, inner = (float(call.get(name, 1)) for name in ("alpha", "scale", "input_scale"))
    return zoo.elu(call.network, call.x, alpha, scale=scale, inner=inner, origin=call.origin)


@handles("selu")
def _selu(call: Call) -> Tensor:
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return zoo.elu(call.network, call.x, alpha, scale=scale, origin=call.origin)


@handles("celu")
def _celu(call: Call) -> Tensor:
    alpha = float(call.get("alpha", 1))
    return zoo.elu(call.network, call.x, 1.0, scale=alpha, inner=1 / alpha, origin=call.origin)


@handles("softplus")
def _softplus(call: Call) -> Tensor:
    """log(1 + e^(βx)) / β. Above its threshold PyTorch takes x itself, which differs by less than float32 shows."""
    beta = float(call.get("beta", 1))
    if beta * float(call.get("threshold", 20)) < 17:
        raise call.refused("a softplus with a low threshold is not supported")
    y = layers.scale(call.network, call.x, beta, origin=call.origin)
    y = call.network.add("softplus", (y,), origin=call.origin)
    return layers.scale(call.network, y, 1 / beta, origin=call.origin)


@handles("mish")
def _mish(call: Call) -> Tensor:
    return zoo.mish(call.network, call.x, origin=call.origin)


@handles("rsqrt")
def _rsqrt(call: Call) -> Tensor:
    return zoo.power(call.network, call.x, -0.5, origin=call.origin)


@handles("square")
def _square(call: Call) -> Tensor:
    return zoo.power(call.network, call.x, 2, origin=call.origin)


@handles("pow")
def _pow(call: Call) -> Tensor:
    exponent = call.get("exponent")
    if not isinstance(exponent, (int, float)):
        raise call.refused("a power whose exponent is a tensor is not supported")
    return zoo.power(call.network, call.x, float(exponent), origin=call.origin)


@handles("maximum")
def _maximum(call: Call) -> Tensor:
    return zoo.choose(call.network, "maximum", (call.x, call.tensor("other")), origin=call.origin)


@handles("minimum")
def _minimum(call: Call) -> Tensor:
    return zoo.choose(call.network, "minimum", (call.x, call.tensor("other")), origin=call.origin)


@handles("log_softmax", "_log_softmax")
def _log_softmax(call: Call) -> Tensor:
    axis = int(call.get("dim"))
    return channels_first.softmax(call.network, call.x, axis, op="log_softmax", origin=call.origin)


@handles("adaptive_max_pool1d", "adaptive_max_pool2d")
def _adaptive_max_pool(call: Call) -> Tensor:
    spatial = call.x.shape[2:]
    wanted = call.integers("output_size", len(spatial))
    if set(wanted) == {1}:
        return zoo.global_max(call.network, call.x, origin=call.origin)
    if any(size % parts for size, parts in zip(spatial, wanted, strict=True)):
        raise call.refused(f"adaptive pooling of {spatial} to {wanted} has windows of several sizes")
    kernel = tuple(size // parts for size, parts in zip(spatial, wanted, strict=True))
    windows = Windows(kernel, kernel, ((0, 0),) * len(kernel), (1,) * len(kernel))
    return channels_first.max_pool(call.network, call.x, windows, ceil=False, origin=call.origin)


@handles("argmax")
def _argmax(call: Call) -> Tensor:
    axis = call.get("dim")
    if axis is None:
        raise call.refused("an argmax over all axes is not supported", "give it a dim")
    keep = bool(call.get("keepdim", False))
    return zoo.argmax(call.network, call.x, int(axis), keep=keep, origin=call.origin)


@handles("argmin")
def _argmin(call: Call) -> Tensor:
    axis = call.get("dim")
    if axis is None:
        raise call.refused("an argmin over all axes is not supported", "give it a dim")
    negated = layers.scale(call.network, call.x, -1.0, origin=call.origin)
    return zoo.argmax(call.network, negated, int(axis), keep=bool(call.get("keepdim", False)), origin=call.origin)


@handles("repeat", "tile")
def _repeat(call: Call) -> Tensor:
    repeats = [int(each) for each in call.get("repeats") or call.get("dims")]
    repeats = [1] * (len(call.x.shape) - len(repeats)) + repeats
    return zoo.tile(call.network, call.x, repeats, origin=call.origin)


_MODES = {
    "constant": PadMode.CONSTANT,
    "replicate": PadMode.EDGE,
    "reflect": PadMode.REFLECT,
    "circular": PadMode.WRAP,
}


@handles("pad")
def _pad(call: Call) -> Tensor:
    mode = str(call.get("mode", "constant"))
    if mode not in _MODES:
        raise call.refused(f"a pad of mode {mode} is not supported")
    return _padded(call, [int(each) for each in call.get("pad")], _MODES[mode])


@handles("constant_pad_nd")
def _constant_pad(call: Call) -> Tensor:
    return _padded(call, [int(each) for each in call.get("pad")], PadMode.CONSTANT)


@handles("reflection_pad1d", "reflection_pad2d")
def _reflection_pad(call: Call) -> Tensor:
    return _padded(call, [int(each) for each in call.get("padding")], PadMode.REFLECT)


@handles("replication_pad1d", "replication_pad2d")
def _replication_pad(call: Call) -> Tensor:
    return _padded(call, [int(each) for each in call.get("padding")], PadMode.EDGE)


def _padded(call: Call, pads: list[int], mode: PadMode) -> Tensor:
    """PyTorch names the pads from the last axis on."""
    rank = len(call.x.shape)
    pairs = list(zip(pads[::2], pads[1::2], strict=True))[::-1]
    every = [(0, 0)] * (rank - len(pairs)) + pairs
    return zoo.pad(call.network, call.x, every, mode, float(call.get("value", 0)), origin=call.origin)


@handles("conv_transpose1d", "conv_transpose2d")
def _conv_transpose(call: Call) -> Tensor:
    x, weight = call.x, call.tensor("weight")
    kernel = weight.shape[2:]
    rank = len(kernel)
    stride, dilation = call.integers("stride", rank) or (1,) * rank, call.integers("dilation", rank) or (1,) * rank
    pads, extra = call.integers("padding", rank), call.integers("output_padding", rank)
    padding: Padding = tuple((each, each) for each in pads)
    spatial = tuple(
        step * (size - 1) + more + (taps - 1) * spread + 1 - 2 * side
        for size, step, more, taps, spread, side in zip(x.shape[2:], stride, extra, kernel, dilation, pads, strict=True)
    )
    windows = Windows(kernel, stride, padding, dilation)
    groups, bias = int(call.get("groups", 1)), call.optional("bias")
    return zoo.transposed_convolution(call.network, x, weight, bias, windows, groups, spatial, origin=call.origin)


_RESIZES = {
    "upsample_nearest1d": ("asymmetric", "floor"),
    "upsample_nearest2d": ("asymmetric", "floor"),
    "_upsample_nearest_exact1d": ("half_pixel", "floor"),
    "_upsample_nearest_exact2d": ("half_pixel", "floor"),
    "upsample_linear1d": ("half_pixel", ""),
    "upsample_bilinear2d": ("half_pixel", ""),
}
"""ATen operator to coordinates and rounding; without a rounding it is linear."""


def _resize_of(kind: str) -> Handler:
    mode, rounding = _RESIZES[kind]
    exact = kind.startswith("_")

    def draw(call: Call) -> Tensor:
        spatial = call.x.shape[2:]
        factors = call.get("scale_factors")
        wanted = call.get("output_size")
        if factors:
            scales = [zoo.fraction(float(factor)) for factor in factors]
            sizes = [int(size * scale) for size, scale in zip(spatial, scales, strict=True)]
        else:
            sizes = [int(size) for size in wanted]
            scales = [Fraction(size, old) for size, old in zip(sizes, spatial, strict=True)]
        corners = bool(call.get("align_corners", False))
        coordinates = zoo.Coordinates(
            "align_corners" if corners else "tf_half_pixel_for_nn" if exact else mode, rounding
        )
        ones = [Fraction(1)] * 2
        return zoo.resize(
            call.network, call.x, [*call.x.shape[:2], *sizes], [*ones, *scales], coordinates,
            linear=not rounding, origin=call.origin,
        )  # fmt: skip

    return draw


for _kind in _RESIZES:
    handles(_kind)(_resize_of(_kind))


_COMPARISONS = {
    "gt": ("greater", False),
    "lt": ("greater", True),
    "ge": ("greater_equal", False),
    "le": ("greater_equal", True),
    "eq": ("equal", False),
}
"""ATen comparison to ours, and whether its operands change places."""


def _comparison(op: str, swapped: bool) -> Handler:
    def draw(call: Call) -> Tensor:
        a, b = call.x, call.tensor("other")
        return call.network.add(op, (b, a) if swapped else (a, b), origin=call.origin)

    return draw


for _name, (_op, _swapped) in _COMPARISONS.items():
    handles(_name)(_comparison(_op, _swapped))


def _truths(call: Call) -> Call:
    """Refuses numbers that are no truths."""
    if set(call.before) != {"bool"}:
        raise call.refused(f"logic of {' and '.join(call.before)} is not supported", "compare the numbers first")
    return call


@handles("logical_and", "bitwise_and", "__and__")
def _logical_and(call: Call) -> Tensor:
    return _truths(call).network.add("mul", (call.x, call.tensor("other")), origin=call.origin)


@handles("logical_or", "bitwise_or", "__or__")
def _logical_or(call: Call) -> Tensor:
    return _truths(call).network.add("maximum", (call.x, call.tensor("other")), origin=call.origin)


@handles("logical_not", "bitwise_not")
def _logical_not(call: Call) -> Tensor:
    return zoo.negation(_truths(call).network, call.x, origin=call.origin)


@handles("where")
def _where(call: Call) -> Tensor:
    parts = (call.tensor("condition"), call.tensor("self"), call.tensor("other"))
    return call.network.add("where", parts, origin=call.origin)


@handles("masked_fill")
def _masked_fill(call: Call) -> Tensor:
    return call.network.add("where", (call.tensor("mask"), call.tensor("value"), call.x), origin=call.origin)
