"""What PyTorch calls the operators, on tensors in our layout (channels last)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from micrograft.ops.attention import AttentionAttrs, PackedAttentionAttrs
from micrograft.ops.average_pool import AveragePoolAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.max_pool import PoolAttrs

Tensor = torch.Tensor


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
    heads = [each.unflatten(2, (count, -1)).movedim(2, 1) for each, count in zip((q, k, v), counts, strict=True)]
    if attrs.causal and mask is not None:
        mask = mask.masked_fill(torch.ones(mask.shape[1:]).tril() == 0, -torch.inf)
    y = F.scaled_dot_product_attention(
        *heads, mask, is_causal=attrs.causal and mask is None, scale=attrs.scale, enable_gqa=True
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
    return _attention(attrs.attention, *parts, mask)


MEANINGS: dict[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "depthwise_conv": _depthwise_conv,
    "attention": _attention,
    "packed_attention": _packed_attention,
    "layer_norm": lambda attrs, x, weight=None, bias=None: F.layer_norm(x, x.shape[-1:], weight, bias, attrs.epsilon),
    "rms_norm": lambda attrs, x, weight=None: F.rms_norm(x, x.shape[-1:], weight, attrs.epsilon),
    "group_norm": lambda attrs, x, weight=None, bias=None: F.group_norm(
        x.movedim(-1, 1), attrs.groups, weight, bias, attrs.epsilon
    ).movedim(1, -1),
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
    "mul_sum_to": lambda attrs, a, b: (a * b).sum_to_size(attrs.shape),
    "scale": lambda attrs, x: x * attrs.factor,
    "reshape": lambda attrs, x: x.reshape(attrs.shape),
    "transpose": lambda attrs, x: x.permute(attrs.permutation),
    "concat": lambda attrs, *xs: torch.cat(xs, dim=attrs.axis),
    "slice": lambda attrs, x: x.narrow(attrs.axis, attrs.start, attrs.stop - attrs.start),
    "cross_entropy": lambda attrs, logits, target: F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), target.reshape(-1).long()
    ),
    "mean_squared_error": lambda attrs, y, target: F.mse_loss(y, target),
    "binary_cross_entropy": lambda attrs, logits, target: F.binary_cross_entropy_with_logits(logits, target),
}
