"""ONNX's Attention: in our one operator where that will do, else drawn part by part.

All that hides keys from queries (masks, causality, windows, caches that are partly filled) is constant and becomes
one bias, added to the scores; a query that sees no key gives zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from micrograft.frontends import layers, rearrange, transformers
from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import Call, handles
from micrograft.ir.types import Array, Shape
from micrograft.ops.attention import MASKED

_FLOAT = 1  # TensorProto.FLOAT


@dataclass(frozen=True)
class _Heads:
    """q: (B, H, T, D); k: (B, K, S, D); v: (B, K, S, E), the cache in front. past: how many keys were in the cache."""

    q: Tensor
    k: Tensor
    v: Tensor
    past: int

    @property
    def scores(self) -> Shape:
        """(B, H, T, S)"""
        return (*self.q.shape[:3], self.k.shape[2])


@handles("Attention")
def _attention(call: Call) -> tuple[Tensor | None, ...]:
    """(Y, present keys, present values, scores)."""
    if call.integer("softmax_precision", _FLOAT) != _FLOAT:
        raise call.refused("attention in another precision than float32 is not supported")
    heads = _heads(call)
    bias = _bias(call, heads)
    y: Tensor
    softcap, scores = call.number("softcap", 0.0), None
    if softcap or 3 in call.used or _moving(call):
        y, scores = _by_parts(call, heads, bias)
    else:
        mask = Constant(bias.astype(np.float32), f"{call.origin}.mask") if np.any(bias) else None
        scale = call.number("scale", 0.0) or None
        y = transformers.attention(
            call.network, heads.q, heads.k, heads.v, mask, scale, causal=False, origin=call.origin
        )
    if len(call.x.shape) == 3:
        y = call.network.transpose(y, (0, 2, 1, 3), origin=call.origin)
        y = call.network.reshape(y, (*y.shape[:2], y.shape[2] * y.shape[3]), origin=call.origin)
    return y, heads.k, heads.v, scores


def _moving(call: Call) -> bool:
    """Whether the mask is computed from the data."""
    return call.optional(3) is not None and not isinstance(call.optional(3), Constant)


def _heads(call: Call) -> _Heads:
    parts = [call.x, call.tensor(1), call.tensor(2)]
    if len(call.x.shape) == 3:
        counts = [call.integer(name, 0) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
        parts = [_split(call, each, count) for each, count in zip(parts, counts, strict=True)]
    q, k, v = parts
    if not len(q.shape) == len(k.shape) == len(v.shape) == 4:
        raise call.refused(f"attention of {q.shape}, {k.shape} and {v.shape} is not supported")
    past_k, past_v = call.optional(4), call.optional(5)
    if past_k is None or past_v is None:
        return _Heads(q, k, v, 0)
    k, v = (layers.concat(call.network, each, 2, origin=call.origin) for each in ((past_k, k), (past_v, v)))
    return _Heads(q, k, v, past_k.shape[2])


def _split(call: Call, x: Tensor, heads: int) -> Tensor:
    """(batch, rows, heads·width) as (batch, heads, rows, width)."""
    if len(x.shape) != 3 or heads < 1 or x.shape[2] % heads:
        raise call.refused(f"{x.shape} cannot be split into {heads} heads")
    split = call.network.reshape(x, (*x.shape[:2], heads, x.shape[2] // heads), origin=call.origin)
    return call.network.transpose(split, (0, 2, 1, 3), origin=call.origin)


def _bias(call: Call, heads: _Heads) -> Array:
    """What the constants add to the scores, (B or 1, H or 1, T, S); minus infinity hides a key from a query."""
    rows, keys = heads.scores[2:]
    filled = call.constant(6)
    offset = heads.past if filled is None else (filled.reshape(-1, 1, 1, 1) - rows)
    behind = np.arange(keys) - (np.arange(rows)[:, None] + offset)  # a key's place behind its query's own
    shown = np.ones_like(behind, dtype=np.bool_)
    if call.integer("is_causal", 0):
        shown &= behind <= 0
    left, right = call.integer("left_window_size", -1), call.integer("right_window_size", -1)
    if left >= 0:
        shown &= -behind <= left
    if right >= 0:
        shown &= behind <= right
    if filled is not None:
        shown = shown & (np.arange(keys) < filled.reshape(-1, 1, 1, 1))
    bias = np.where(shown, 0.0, -np.inf)
    mask = None if _moving(call) else call.constant(3)
    if mask is not None:
        added = np.where(mask, 0.0, -np.inf) if mask.dtype == np.bool_ else mask
        short = keys - added.shape[-1]
        if short > 0:
            added = np.pad(added, [(0, 0)] * (added.ndim - 1) + [(0, short)], constant_values=-np.inf)
        bias = bias + added
    bias = bias.reshape((1,) * (4 - bias.ndim) + bias.shape)
    if bias.ndim != 4 or any(size not in (1, full) for size, full in zip(bias.shape, heads.scores, strict=True)):
        raise call.refused(f"its mask of {bias.shape} does not stretch to {heads.scores}")
    return np.broadcast_to(bias, (*bias.shape[:2], rows, keys))


def _by_parts(call: Call, heads: _Heads, bias: Array) -> tuple[Tensor, Tensor]:
    """The values, and the scores as qk_matmul_output_mode says: 0, 1 plain, 2 with the bias, 3 their softmax."""
    network, origin = call.network, call.origin
    mode, shared = call.integer("qk_matmul_output_mode", 0), heads.q.shape[1] // heads.k.shape[1]
    chosen = np.repeat(np.arange(heads.k.shape[1]), shared)
    k, v = (rearrange.take(network, each, 1, chosen, origin=origin) for each in (heads.k, heads.v))
    turned = network.transpose(k, (0, 1, 3, 2), origin=origin)
    scale = call.number("scale", 0.0) or heads.q.shape[3] ** -0.5
    plain = layers.scale(network, transformers.matmul(network, heads.q, turned, origin=origin), scale, origin=origin)
    if softcap := call.number("softcap", 0.0):
        capped = network.add("tanh", (layers.scale(network, plain, 1 / softcap, origin=origin),), origin=origin)
        plain = layers.scale(network, capped, softcap, origin=origin)
    added = _plus(call, plain, bias)
    if mode == 2 and 3 in call.used and not np.isfinite(bias).all():
        raise call.refused("scores of minus infinity as an output are not supported")
    shares: Tensor = network.add("softmax", (added,), origin=origin)
    seen = np.asarray(np.isfinite(bias).any(axis=-1, keepdims=True))
    if not seen.all():
        shown = Constant(seen.astype(np.float32), f"{origin}.seen")
        shares = layers.arithmetic(network, "mul", shares, shown, origin=origin)
    y = transformers.matmul(network, shares, v, origin=origin)
    return y, {2: added, 3: shares}.get(mode, plain)


def _plus(call: Call, scores: Tensor, bias: Array) -> Tensor:
    """The scores with the constant bias, and with a mask that the data give."""
    if np.any(bias):
        constant = Constant(np.maximum(bias, MASKED).astype(np.float32), f"{call.origin}.mask")
        scores = layers.arithmetic(call.network, "add", scores, constant, origin=call.origin)
    mask = call.optional(3)
    if mask is None or isinstance(mask, Constant):
        return scores
    if mask.shape[-1] != scores.shape[-1]:
        raise call.refused(f"its mask of {mask.shape} does not stretch to {scores.shape}")
    return layers.arithmetic(call.network, "add", scores, mask, origin=call.origin)
