"""What PyTorch calls the operators of a network, on tensors in our layout (channels last), one sample or a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from micrograft.ir.types import Shape
from micrograft.ops.attention import AttentionAttrs, PackedAttentionAttrs
from micrograft.ops.average_pool import AveragePoolAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.conv_transpose import ConvTransposeAttrs
from micrograft.ops.max_pool import PoolAttrs
from micrograft.ops.pad import PadAttrs, PadMode
from micrograft.ops.recurrent import RecurrentAttrs
from micrograft.ops.resize import ResizeAttrs

Tensor = torch.Tensor


def shape_for(x: Tensor, shape: Shape) -> Shape:
    """`shape`, which is one sample's, for a batch of x."""
    return (x.shape[0], *shape[1:]) if x.ndim and shape[:1] == (1,) else shape


def _channels_first(x: Tensor, padding: Sequence[tuple[int, int]] = (), fill: float = 0.0) -> Tensor:
    """`x` (1, *spatial, C) as PyTorch wants it, padded along its spatial axes."""
    return F.pad(x.movedim(-1, 1), [pad for pads in reversed(padding) for pad in pads], value=fill)


def _conv(attrs: ConvAttrs, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    convolve = (F.conv1d, F.conv2d)[len(attrs.stride) - 1]
    x, weight = _channels_first(x, attrs.padding), weight.movedim(-1, 1)
    return convolve(x, weight, bias, attrs.stride, 0, attrs.dilation, attrs.groups).movedim(1, -1)


def _depthwise_conv(attrs: ConvAttrs, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    grouped = ConvAttrs(attrs.stride, attrs.padding, attrs.dilation, groups=x.shape[-1])
    return _conv(grouped, x, weight.movedim(-1, 0).unsqueeze(-1).squeeze(1), bias)


def _max_pool(attrs: PoolAttrs, x: Tensor) -> Tensor:
    if not x.is_floating_point():  # PyTorch pools no integers
        return _max_pool(attrs, x.double()).to(x.dtype)
    pool = (F.max_pool1d, F.max_pool2d)[len(attrs.kernel) - 1]
    x = _channels_first(x, attrs.padding, fill=-torch.inf)
    return pool(x, attrs.kernel, attrs.stride, 0, attrs.dilation or 1).movedim(1, -1)


def _average_pool(attrs: AveragePoolAttrs, x: Tensor) -> Tensor:
    pool = (F.avg_pool1d, F.avg_pool2d)[len(attrs.kernel) - 1]
    y = pool(_channels_first(x, attrs.padding), attrs.kernel, attrs.stride)
    if not attrs.count_include_pad:
        y = y / pool(_channels_first(torch.ones_like(x), attrs.padding), attrs.kernel, attrs.stride)
    return y.movedim(1, -1)


def _attention(attrs: AttentionAttrs, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    counts = (attrs.heads, attrs.key_heads, attrs.key_heads)
    heads = [
        each.reshape(*each.shape[:2], count, -1).movedim(2, 1) for each, count in zip((q, k, v), counts, strict=True)
    ]
    if attrs.causal and mask is not None:
        mask = mask.masked_fill(torch.ones(mask.shape[1:]).tril() == 0, -torch.inf)
    y = F.scaled_dot_product_attention(
        heads[0], heads[1], heads[2], mask, is_causal=attrs.causal and mask is None, scale=attrs.scale, enable_gqa=True
    )
    return y.movedim(1, 2).flatten(2)


def _packed_attention(attrs: PackedAttentionAttrs, qkv: Tensor, mask: Tensor | None = None) -> Tensor:
    heads, key_heads = attrs.attention.heads, attrs.attention.key_heads
    parts = [
        qkv.as_strided((1, rows, width), (0, columns.stride, 1), columns.start)
        for columns, rows, width in (
            (attrs.q, attrs.rows, heads * attrs.width),
            (attrs.k, attrs.keys, key_heads * attrs.width),
            (attrs.v, attrs.keys, key_heads * attrs.value_width),
        )
    ]
    return _attention(attrs.attention, parts[0], parts[1], parts[2], mask)


def _conv_transpose(attrs: ConvTransposeAttrs, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Unpadded, then cut where the padding was; what no window reached is the bias alone."""
    transpose = (F.conv_transpose1d, F.conv_transpose2d)[len(attrs.spatial) - 1]
    conv = attrs.conv
    y = transpose(x.movedim(-1, 1), weight.movedim(-1, 1), None, conv.stride, 0, 0, conv.groups, conv.dilation)
    for axis, (size, (before, _)) in enumerate(zip(attrs.spatial, conv.padding, strict=True), start=2):
        y = y.narrow(axis, before, min(size, y.shape[axis] - before))
        missing = [0] * (2 * y.ndim)
        missing[2 * (y.ndim - 1 - axis) + 1] = size - y.shape[axis]
        y = F.pad(y, missing)
    y = y.movedim(1, -1)
    return y if bias is None else y + bias


def _pad(attrs: PadAttrs, x: Tensor) -> Tensor:
    """Axis by axis, as the sources of the elements say."""
    modes = {PadMode.EDGE: "replicate", PadMode.REFLECT: "reflect", PadMode.WRAP: "circular"}
    for axis, pads in enumerate(attrs.pads):
        moved = x.movedim(axis, -1)
        flat = moved.reshape(1, -1, moved.shape[-1])
        if attrs.mode is PadMode.CONSTANT:
            flat = F.pad(flat, pads, value=attrs.value)
        else:
            flat = F.pad(flat, pads, mode=modes[attrs.mode])
        x = flat.reshape(*moved.shape[:-1], flat.shape[-1]).movedim(-1, axis)
    return x


def _resize(attrs: ResizeAttrs, x: Tensor) -> Tensor:
    """Axis by axis: the place at or below each position, and the share of the next."""
    for number, axis in enumerate(attrs.axes, start=1):
        below, rest = axis.below()
        last = x.shape[number] - 1
        here, there = (x.index_select(number, torch.from_numpy(each.clip(0, last))) for each in (below, below + 1))
        share = torch.from_numpy(rest / axis.parts).to(x.dtype).reshape(-1, *[1] * (x.ndim - number - 1))
        x = here + (there - here) * share if attrs.linear else here
    return x


def _recurrent(kind: str, attrs: RecurrentAttrs, z: Tensor, weight: Tensor, *others: Tensor) -> Tensor:
    """PyTorch's layer with an identity for its input's weight, one direction after the other."""
    hidden, directions = weight.shape[1], len(attrs.reverse)
    gates = weight.shape[0] // (directions * hidden)
    order = {4: attrs.order, 3: (*attrs.order, 2), 1: (0,)}[gates]
    bias, state = (others[0], others[1:]) if kind == "gru" else (None, others)
    found = []
    for direction, reverse in enumerate(attrs.reverse):
        rows = slice(direction * gates * hidden, (direction + 1) * gates * hidden)
        ours = z[..., rows].reshape(1, -1, gates, hidden)[:, :, list(order)].flatten(2)
        own = weight[rows].reshape(gates, hidden, hidden)[list(order)].flatten(0, 1)
        units = slice(direction * hidden, (direction + 1) * hidden)
        start = [each[units] for each in state[0]] if state else []
        start = [each.reshape(1, 1, hidden) for each in start] or [z.new_zeros(1, 1, hidden)] * 2
        parts = [torch.eye(gates * hidden, dtype=z.dtype), own]
        if bias is not None:
            parts += [z.new_zeros(gates * hidden), bias[rows].reshape(gates, hidden)[list(order)].flatten()]
        layer: dict[str, Callable[..., Any]] = {
            "lstm": torch.lstm,
            "gru": torch.gru,
            "rnn": torch.rnn_relu if attrs.order == (1,) else torch.rnn_tanh,
        }
        first = tuple(start) if kind == "lstm" else start[0]
        ours = ours.flip(1) if reverse else ours
        y, *last = layer[kind](ours, first, parts, bias is not None, 1, 0.0, False, False, True)
        if attrs.framed:
            behind = last[1] if kind == "lstm" else torch.zeros_like(start[0])
            y = torch.cat([start[0], y, behind], dim=1)
        found.append(y.flip(1) if reverse else y)
    return torch.cat(found, dim=2)


MEANINGS: dict[str, Callable[..., Tensor]] = {
    "lstm": partial(_recurrent, "lstm"),
    "gru": partial(_recurrent, "gru"),
    "rnn": partial(_recurrent, "rnn"),
    "greater": lambda attrs, a, b: (a > b).to(a.dtype),
    "greater_equal": lambda attrs, a, b: (a >= b).to(a.dtype),
    "equal": lambda attrs, a, b: (a == b).to(a.dtype),
    "where": lambda attrs, condition, a, b: torch.where(condition != 0, a, b),
    "argmax": lambda attrs, x: x.shape[-1] - 1 - x.flip(-1).argmax(-1) if attrs.last else x.argmax(-1),
    "add_bias": lambda attrs, x, bias: x + bias,
    "conv_transpose": _conv_transpose,
    "pad": _pad,
    "resize": _resize,
    "exp": lambda attrs, x: torch.exp(x),
    "log": lambda attrs, x: torch.log(x),
    "sqrt": lambda attrs, x: torch.sqrt(x),
    "abs": lambda attrs, x: torch.abs(x),
    "reciprocal": lambda attrs, x: torch.reciprocal(x),
    "softplus": lambda attrs, x: F.softplus(x),
    "clip": lambda attrs, x: (
        torch.clamp(x, attrs.low, attrs.high) if attrs.ends else F.hardtanh(x, attrs.low, attrs.high)
    ),
    "hard_sigmoid": lambda attrs, x: torch.clamp(x * attrs.slope + attrs.offset, 0, 1),
    "hard_swish": lambda attrs, x: F.hardswish(x),
    "elu": lambda attrs, x: F.elu(x, attrs.alpha),
    "prelu": lambda attrs, x, slope: torch.where(x > 0, x, slope * x),
    "div": lambda attrs, a, b: a / b,
    "maximum": lambda attrs, a, b: torch.maximum(a, b),
    "minimum": lambda attrs, a, b: torch.minimum(a, b),
    "log_softmax": lambda attrs, x: F.log_softmax(x, dim=-1),
    "conv": _conv,
    "depthwise_conv": _depthwise_conv,
    "attention": _attention,
    "packed_attention": _packed_attention,
    "layer_norm": lambda attrs, x, weight=None, bias=None: F.layer_norm(x, x.shape[-1:], weight, bias, attrs.epsilon),
    "rms_norm": lambda attrs, x, weight=None, bias=0: F.rms_norm(x, x.shape[-1:], weight, attrs.epsilon) + bias,
    "group_norm": lambda attrs, x, weight=None, bias=None: F.group_norm(
        x.movedim(-1, 1), attrs.groups, weight, bias, attrs.epsilon
    ).movedim(1, -1),
    "erf": lambda attrs, x: torch.erf(x),
    "gelu": lambda attrs, x: F.gelu(x),
    "gelu_tanh": lambda attrs, x: F.gelu(x, approximate="tanh"),
    "silu": lambda attrs, x: F.silu(x),
    "matmul": lambda attrs, a, b: (a.mT if attrs.transpose_a else a) @ (b.mT if attrs.transpose_b else b),
    "embedding": lambda attrs, x, weight: F.embedding(x.long(), weight),
    "expand": lambda attrs, x: x.expand(shape_for(x, attrs.shape)),
    "linear": lambda attrs, x, weight, bias=None: F.linear(x, weight, bias),
    "linear_add": lambda attrs, x, weight, addend: addend + F.linear(x, weight),
    "batch_norm": lambda attrs, x, weight, bias, mean, variance: F.batch_norm(
        x.movedim(-1, 1), mean, variance, weight, bias, eps=attrs.epsilon
    ).movedim(1, -1),
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "global_average_pool": lambda attrs, x: x.mean(dim=tuple(range(1, x.ndim - 1)), keepdim=True),
    "relu": lambda attrs, x: F.relu(x),
    "relu6": lambda attrs, x: F.relu6(x),
    "sigmoid": lambda attrs, x: torch.sigmoid(x),
    "tanh": lambda attrs, x: torch.tanh(x),
    "softmax": lambda attrs, x: F.softmax(x, dim=-1),
    "add": lambda attrs, a, b: a + b,
    "sub": lambda attrs, a, b: a - b,
    "mul": lambda attrs, a, b: a * b,
    "sum_to": lambda attrs, x: x.sum_to_size(attrs.shape),
    "scale": lambda attrs, x: x * attrs.factor,
    "reshape": lambda attrs, x: x.reshape(shape_for(x, attrs.shape)),
    "transpose": lambda attrs, x: x.permute(attrs.permutation),
    "concat": lambda attrs, *xs: torch.cat(xs, dim=attrs.axis),
    "slice": lambda attrs, x: x.movedim(attrs.axis, 0)[attrs.start : attrs.stop : attrs.step].movedim(0, attrs.axis),
}
