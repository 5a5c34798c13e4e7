"""The table of building blocks: a new layer joins all random networks by one more line here.

A block writes the layer as a person would, `Conv2d(3, 4, 3)`, so that a failing case can be read and run again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Pick = Callable[..., Any]
"""One of its arguments; the first is the simplest, which a failing case is reduced to."""


@dataclass(frozen=True)
class Block:
    """A kind of layer.

    ranks: of the first input, batch included. make: the layer's text for inputs of these shapes. partners: for
    a layer that joins several tensors, whether a second one fits the first; None for a layer of one input. weight: how
    often it is drawn, beside the others.
    """

    name: str
    ranks: tuple[int, ...]
    make: Callable[..., str]
    partners: Callable[[Shape, Shape], bool] | None = None
    weight: int = 2


SIZES = (1, 2, 3, 4, 5, 8, 9)
"""Channels and features: around the four that kernels take at once."""


def text(name: str, *arguments: object, **settings: object) -> str:
    """A call as it is written.

    >>> text("Conv1d", 2, 3, 1, bias=False)
    'Conv1d(2, 3, 1, bias=False)'
    """
    return f"{name}({', '.join([*map(repr, arguments), *(f'{key}={value!r}' for key, value in settings.items())])})"


def _each(pick: Pick, axes: int, *options: int) -> Any:
    """One option, or one for each axis."""
    return pick(*options) if pick(True, False) else tuple(pick(*options) for _ in range(axes))


def _conv(pick: Pick, shape: Shape) -> str:
    axes, channels = len(shape) - 2, shape[1]
    groups = pick(1, channels, *(size for size in range(1, channels + 1) if channels % size == 0))
    outputs = groups * pick(1, 2) if groups > 1 else pick(*SIZES)
    padding = pick(0, "same") if pick(False, False, True) else _each(pick, axes, 0, 1, 2)
    stride = 1 if padding == "same" else _each(pick, axes, 1, 2, 3)
    settings = {"stride": stride, "padding": padding, "dilation": _each(pick, axes, 1, 1, 2), "groups": groups}
    kernel = _each(pick, axes, 1, 2, 3)
    return text(f"Conv{axes}d", channels, outputs, kernel, **settings, bias=pick(True, False))


def _max_pool(pick: Pick, shape: Shape) -> str:
    kernel = pick(2, 3)
    settings = {"stride": pick(2, 1, 3), "padding": pick(0, 1), "dilation": pick(1, 2), "ceil_mode": pick(False, True)}
    return text(f"MaxPool{len(shape) - 2}d", kernel, **settings)


def _average_pool(pick: Pick, shape: Shape) -> str:
    counting = pick(True, False)
    settings = {"stride": pick(2, 1, 3), "padding": pick(0, 1), "count_include_pad": counting}
    settings["ceil_mode"] = not counting and pick(False, True)
    return text(f"AvgPool{len(shape) - 2}d", pick(2, 3), **settings)


def _view(pick: Pick, shape: Shape) -> str:
    """The same elements as one axis fewer, or one more."""
    axes = shape[1:]
    joined = [(*axes[:i], axes[i] * axes[i + 1], *axes[i + 2 :]) for i in range(len(axes) - 1)]
    split = [
        (*axes[:i], part, size // part, *axes[i + 1 :])
        for i, size in enumerate(axes)
        for part in range(1, size + 1)
        if size % part == 0 and len(axes) < 3
    ]
    return text("View", 1, *pick(*joined, *split))


def _permute(pick: Pick, shape: Shape) -> str:
    return text("Permute", 0, *pick(*((2, 1),) if len(shape) == 3 else ((2, 3, 1), (3, 1, 2), (1, 3, 2), (2, 1, 3))))


def _mean(pick: Pick, shape: Shape) -> str:
    axes = tuple(range(2, len(shape))) if pick(True, True, False) else tuple(range(1, len(shape) - 1))
    return text("Mean", *axes, keepdim=pick(False, True))


def _constant(pick: Pick, shape: Shape) -> Shape:
    """A shape that broadcasts to `shape`: per channel, per element of some axes, or one number for all."""
    per_channel = (shape[1], *(1 for _ in shape[2:]))
    some = tuple(pick(size, 1) for size in shape[1:])
    result: Shape = pick(per_channel, some, (1, *some), shape[-1:])
    return result


def _concat(pick: Pick, first: Shape, second: Shape) -> str:
    differing = [axis for axis in range(1, len(first)) if first[axis] != second[axis]]
    return text("Concat", *(differing or [pick(*range(1, len(first)))]))


def broadcasts(first: Shape, second: Shape) -> bool:
    """Whether the two can be added."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return all(a == b or a == 1 or b == 1 for a, b in pairs)


def joins(first: Shape, second: Shape) -> bool:
    """Whether the two can be put one behind the other."""
    pairs = list(zip(first, second, strict=False))
    return len(first) == len(second) and sum(a != b for a, b in pairs) <= 1 and first[0] == second[0]


def _conv_transpose(pick: Pick, shape: Shape) -> str:
    axes, channels = len(shape) - 2, shape[1]
    groups = pick(1, 1, *(size for size in range(1, channels + 1) if channels % size == 0))
    stride = pick(1, 2, 3)
    settings = {"stride": stride, "padding": pick(0, 1), "output_padding": pick(0, stride - 1), "groups": groups}
    kernel = _each(pick, axes, 1, 2, 3)
    outputs = groups * pick(1, 2, 3)
    return text(f"ConvTranspose{axes}d", channels, outputs, kernel, **settings, bias=pick(True, False))


def _divisor(pick: Pick, size: int) -> int:
    return int(pick(*(each for each in range(1, size + 1) if size % each == 0)))


def _group_norm(pick: Pick, shape: Shape) -> str:
    return text("GroupNorm", _divisor(pick, shape[1]), shape[1], affine=pick(True, False))


def _norm(pick: Pick, shape: Shape, name: str, **settings: object) -> str:
    """Over the last axis, or the last two."""
    last = shape[2:] if len(shape) > 3 and pick(False, True) else shape[-1:]
    return text(name, last if len(last) > 1 else last[0], **settings)


def _pad(pick: Pick, shape: Shape) -> str:
    axes = len(shape) - 2
    sides = tuple(pick(1, 0, 2) for _ in range(2 * axes))
    kind = pick("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad")
    return text(f"{kind}{axes}d", sides)


def _upsample(pick: Pick, shape: Shape) -> str:
    linear = "linear" if len(shape) == 3 else "bilinear"
    mode = pick("nearest", linear)
    corners = {"align_corners": pick(False, True)} if mode == linear else {}
    how = {"scale_factor": pick(2, 3, 1.5)} if pick(True, False) else {"size": pick(2, 3, 5, 7)}
    return text("Upsample", mode=mode, **how, **corners)


def _part(pick: Pick, shape: Shape) -> str:
    axis = pick(*range(1, len(shape)))
    size = shape[axis]
    start = pick(*range(size))
    return text("Part", axis, start, pick(*range(start + 1, size + 1)), pick(1, 1, 2))


def _recurrent(pick: Pick, shape: Shape) -> str:
    kind = pick("LSTM", "GRU", "RNN")
    settings = {"num_layers": pick(1, 1, 2), "bidirectional": pick(False, True), "bias": pick(True, True, False)}
    return text("Recurrent", kind, shape[2], pick(*SIZES), last=pick(True, False), **settings)


def _attention(pick: Pick, shape: Shape) -> str:
    width = shape[2]
    return text("SelfAttention", width, _divisor(pick, width), causal=pick(False, True))


def _encoder(pick: Pick, shape: Shape) -> str:
    width, act = shape[2], pick("relu", "gelu")
    heads = _divisor(pick, width)
    return text("TransformerEncoderLayer", width, heads, pick(4, 6), 0.0, act, batch_first=True,
                norm_first=pick(False, True))  # fmt: skip


def products(first: Shape, second: Shape) -> bool:
    """Whether the two have a matrix product."""
    return first[-1] == second[-2] and len(first) == len(second) and broadcasts(first[:-2], second[:-2])


def attends(first: Shape, second: Shape) -> bool:
    """Whether rows of the first can look at those of the second."""
    return len(first) == len(second) and first[-1] == second[-1] and first[:-2] == second[:-2]


ANY, IMAGES, WAVES, SPATIAL = (2, 3, 4), (4,), (3,), (3, 4)

ACTIVATIONS = (
    "GELU()", "GELU('tanh')", "SiLU()", "Hardswish()", "Hardsigmoid()", "LeakyReLU(0.1)", "ELU()", "ELU(0.5)",
    "SELU()", "CELU(0.7)", "Softplus()", "Mish()", "Softsign()", "Hardtanh(-0.5, 2.0)", "Gaussian()", "Logarithm()",
    "Root()", "Inverse()", "Absolute()", "Cube()", "LogSigmoid()", "Tanhshrink()", "Softmin(1)",
)  # fmt: skip

BLOCKS: Sequence[Block] = (
    Block("relu", ANY, lambda pick, x: "ReLU()"),
    Block("linear", ANY, lambda pick, x: text("Linear", x[-1], pick(*SIZES), bias=pick(True, False)), weight=4),
    Block("conv", SPATIAL, _conv, weight=10),
    Block("batch_norm_2d", IMAGES, lambda pick, x: text("BatchNorm2d", x[1], affine=pick(True, False))),
    Block("batch_norm_1d", (2, 3), lambda pick, x: text("BatchNorm1d", x[1], affine=pick(True, False))),
    Block("add", ANY, lambda pick, a, b: "Add()", broadcasts),
    Block("add", ANY, lambda pick, a, b: "Add()", lambda a, b: a == b),
    Block("sub", ANY, lambda pick, a, b: "Sub()", broadcasts),
    Block("mul", ANY, lambda pick, a, b: "Mul()", broadcasts),
    Block("concat", ANY, _concat, joins),
    Block("relu6", ANY, lambda pick, x: "ReLU6()", weight=1),
    Block("sigmoid", ANY, lambda pick, x: "Sigmoid()", weight=1),
    Block("tanh", ANY, lambda pick, x: "Tanh()", weight=1),
    Block("softmax", ANY, lambda pick, x: text("Softmax", pick(*range(1, len(x)))), weight=1),
    Block("max_pool", SPATIAL, _max_pool),
    Block("average_pool", SPATIAL, _average_pool),
    Block("global_average_pool", SPATIAL, lambda pick, x: text(f"AdaptiveAvgPool{len(x) - 2}d", 1), weight=1),
    Block("mean", SPATIAL, _mean, weight=1),
    Block("flatten", SPATIAL, lambda pick, x: text("Flatten", pick(*range(1, len(x) - 1))), weight=1),
    Block("view", ANY, _view, weight=1),
    Block("permute", SPATIAL, _permute, weight=1),
    Block("plus", ANY, lambda pick, x: text("Plus", *_constant(pick, x)), weight=1),
    Block("times", ANY, lambda pick, x: text("Times", *_constant(pick, x)), weight=1),
    Block("without", ANY, lambda pick, x: text("Without", *_constant(pick, x)), weight=1),
    Block("affine", ANY, lambda pick, x: text("Affine", pick(0.5, -1.0, 1.0, 2.0), pick(0.0, 1.0)), weight=1),
    Block("activation", ANY, lambda pick, x: pick(*ACTIVATIONS), weight=6),
    Block("prelu", ANY, lambda pick, x: text("PReLU", pick(1, x[1])), weight=1),
    Block("log_softmax", ANY, lambda pick, x: text("LogSoftmax", pick(*range(1, len(x)))), weight=1),
    Block("glu", ANY, lambda pick, x: text("GLU", pick(*range(1, len(x)))), weight=1),
    Block("conv_transpose", SPATIAL, _conv_transpose, weight=4),
    Block("layer_norm", ANY, lambda pick, x: _norm(pick, x, "LayerNorm", elementwise_affine=pick(True, False))),
    Block("rms_norm", ANY, lambda pick, x: _norm(pick, x, "RMSNorm", eps=1e-5), weight=1),
    Block("group_norm", SPATIAL, _group_norm),
    Block("instance_norm", SPATIAL, lambda pick, x: text(f"InstanceNorm{len(x) - 2}d", x[1], affine=True), weight=1),
    Block("pad", SPATIAL, _pad),
    Block("upsample", SPATIAL, _upsample),
    Block("global_max_pool", SPATIAL, lambda pick, x: text(f"AdaptiveMaxPool{len(x) - 2}d", 1), weight=1),
    Block(
        "largest",
        SPATIAL,
        lambda pick, x: text("Largest", pick(*range(1, len(x))), keepdim=pick(True, False)),
        weight=1,
    ),
    Block("part", ANY, _part),
    Block("repeat", ANY, lambda pick, x: text("Repeat", 1, *(pick(1, 2) for _ in x[1:])), weight=1),
    Block("roll", ANY, lambda pick, x: text("Roll", pick(1, -1, 2), pick(*range(1, len(x)))), weight=1),
    Block("flip", ANY, lambda pick, x: text("Flip", pick(*range(1, len(x)))), weight=1),
    Block("maximum", ANY, lambda pick, a, b: "Maximum()", broadcasts, weight=1),
    Block("minimum", ANY, lambda pick, a, b: "Minimum()", broadcasts, weight=1),
    Block("ratio", ANY, lambda pick, a, b: "Ratio()", broadcasts, weight=1),
    Block("choice", ANY, lambda pick, a, b: "Choice()", broadcasts, weight=1),
    Block("matmul", SPATIAL, lambda pick, a, b: "Matmul()", products),
    Block("gram", SPATIAL, lambda pick, x: "Gram()", weight=1),
    Block("attend", SPATIAL, lambda pick, a, b: "Attend()", attends),
    Block("self_attention", WAVES, _attention, weight=3),
    Block("encoder", WAVES, _encoder, weight=3),
    Block("recurrent", WAVES, _recurrent, weight=5),
)


def elements(shape: Shape) -> int:
    """How many numbers a tensor of this shape has."""
    return math.prod(shape)
