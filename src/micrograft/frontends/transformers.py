"""Layers of transformers as PyTorch and ONNX mean them: attention, normalisations, products, tables of words.

They are drawn with our operators over channels that are last. Attention takes and gives heads as an axis of their
own, (batch, heads, rows, width); the reshapes and transpositions around it cancel the exporter's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from micrograft.frontends import layers, rearrange
from micrograft.frontends.channels_first import channels_back, channels_last
from micrograft.frontends.network import Constant, Network, Tensor, refused
from micrograft.ir.types import Array, DType, Shape, Value
from micrograft.ops.arithmetic import ExpandAttrs
from micrograft.ops.attention import MASKED, AttentionAttrs
from micrograft.ops.embedding import EmbeddingAttrs
from micrograft.ops.matmul import MatmulAttrs
from micrograft.ops.normalization import NormalizationAttrs
from micrograft.ops.strides import broadcast_shape


def attention(
    network: Network, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float | None, *, causal: bool,
    origin: str,
) -> Tensor:  # fmt: skip
    """softmax(scale · q·kᵀ + mask)·v. q: (..., heads, T, D); k: (..., key_heads, S, D); v: (..., key_heads, S, E).

    mask: constant, broadcast to the scores; bool (true: is read) or added to them. A query from which it hides all
    keys gives zeros. scale: 1/√D unless given.
    """
    if len(q.shape) not in (3, 4) or not len(q.shape) == len(k.shape) == len(v.shape):
        raise refused(f"attention of {q.shape}, {k.shape} and {v.shape} is not supported", origin)
    *leading, rows, width = q.shape
    heads, key_heads, keys = math.prod(leading), math.prod(k.shape[:-2]), k.shape[-2]
    hidden, seen = None, np.ones((), np.bool_)
    if mask is not None:
        if not isinstance(mask, Constant):
            raise refused("its mask is computed from the data, and must be constant", origin)
        added = _added(mask.data, (*leading, rows, keys), origin)
        seen = np.any(mask.data if mask.data.dtype == np.bool_ else mask.data > -np.inf, axis=-1, keepdims=True)
        causal = causal or _is_causal(added)
        if not _is_causal(added):
            hidden = network.value(Constant(added, f"{mask.source}_added"))
    attrs = AttentionAttrs(heads, key_heads, 1 / math.sqrt(width) if scale is None else scale, causal)
    inputs = [_side_by_side(network, each, origin) for each in (q, k, v)]
    y = network.add("attention", [*inputs, *([hidden] if hidden is not None else [])], attrs, origin=origin)
    y = network.reshape(y, (rows, *leading, v.shape[-1]), origin=origin)
    rank = len(q.shape)
    y = network.transpose(y, (*range(1, rank - 1), 0, rank - 1), origin=origin)
    if mask is None or seen.all():
        return y
    return layers.arithmetic(network, "mul", y, Constant(seen.astype(np.float32), f"{mask.source}_seen"), origin=origin)


def _side_by_side(network: Network, x: Tensor, origin: str) -> Value:
    """(..., heads, rows, width) as (1, rows, heads·width)."""
    rank = len(x.shape)
    y = network.transpose(x, (rank - 2, *range(rank - 2), rank - 1), origin=origin)
    return network.reshape(y, (1, x.shape[-2], math.prod(x.shape) // x.shape[-2]), origin=origin)


def _added(mask: Array, scores: Shape, origin: str) -> Array:
    """What the mask adds to the scores: (heads or 1, T, S)."""
    if broadcast_shape(mask.shape, scores) != scores:
        raise refused(f"its mask of {mask.shape} does not stretch to {scores}", origin)
    added = np.where(mask, 0.0, MASKED) if mask.dtype == np.bool_ else np.maximum(mask, MASKED)
    added = added.astype(np.float32)
    shared = math.prod(added.shape[:-2]) == 1
    shape = scores[-2:] if shared else scores
    return np.broadcast_to(added.reshape(added.shape[-2:]) if shared else added, shape).reshape(-1, *scores[-2:])


def _is_causal(added: Array) -> bool:
    """Whether it hides from query i the keys behind i and nothing else."""
    return np.array_equal(added, np.where(np.tri(*added.shape[1:], dtype=np.bool_), 0, np.float32(MASKED))[None])


def layer_norm(
    network: Network, op: str, x: Tensor, axes: int, affine: Sequence[Tensor | None], epsilon: float, *, origin: str
) -> Value:
    """`layer_norm` or `rms_norm` over the last `axes` axes. affine: weight and bias, stretching to these, or None."""
    outer, inner = x.shape[: len(x.shape) - axes], x.shape[len(x.shape) - axes :]
    size = math.prod(inner)
    whole = [
        each if each is None or math.prod(each.shape) == size
        else expand(network, network.value(each, trains=True), inner, origin=origin)
        for each in affine
    ]  # fmt: skip
    inputs: list[Tensor] = [network.reshape(x, (*outer, size), origin=origin)]
    inputs += _affine(network, whole, (size,), origin)
    y = network.add(op, inputs, NormalizationAttrs(epsilon), origin=origin)
    return network.reshape(y, x.shape, origin=origin)


def group_norm(
    network: Network, x: Tensor, groups: int, affine: Sequence[Tensor | None], epsilon: float, *, origin: str
) -> Value:
    """x: (N, C, *spatial). affine: weight and bias, each (C,), or None. A batch is more groups."""
    batch, channels, *spatial = x.shape
    if batch != 1:
        whole = network.reshape(x, (1, batch * channels, *spatial), origin=origin)
        repeated = [None if each is None else layers.concat(network, [each] * batch, 0, origin=origin)
                    for each in affine]  # fmt: skip
        y = group_norm(network, whole, groups * batch, repeated, epsilon, origin=origin)
        return network.reshape(y, x.shape, origin=origin)
    inputs: list[Tensor] = [channels_last(network, x, 1, origin=origin)]
    inputs += _affine(network, affine, (x.shape[1],), origin)
    y = network.add("group_norm", inputs, NormalizationAttrs(epsilon, groups), origin=origin)
    return channels_back(network, y, 1, origin=origin)


def _affine(network: Network, affine: Sequence[Tensor | None], shape: Shape, origin: str) -> list[Tensor]:
    """Weight and bias as inputs of a normalisation; a bias without a weight gets one of ones."""
    weight, bias = (*affine, None, None)[:2]
    if weight is None and bias is not None:
        weight = Constant(np.ones(shape, np.float32), f"{origin}.weight")
    given = [each for each in (weight, bias) if each is not None]
    return [network.reshape(network.value(each, trains=True), shape, origin=origin) for each in given]


def matmul(network: Network, a: Tensor, b: Tensor, *, origin: str) -> Value:
    """The product over the last two axes; a linear layer where b is a constant matrix."""
    if len(b.shape) == 2 and len(a.shape) >= 2 and network.source(b):
        return layers.matmul(network, a, b, origin=origin)
    if len(a.shape) == 1 or len(b.shape) == 1:
        left = network.reshape(a, (1, *a.shape), origin=origin) if len(a.shape) == 1 else a
        right = network.reshape(b, (*b.shape, 1), origin=origin) if len(b.shape) == 1 else b
        y = matmul(network, left, right, origin=origin)
        rows = () if len(a.shape) == 1 else y.shape[-2:-1]
        columns = () if len(b.shape) == 1 else y.shape[-1:]
        return network.reshape(y, (*y.shape[:-2], *rows, *columns), origin=origin)
    operands = [network.value(each, trains=True) for each in (a, b)]
    return network.add("matmul", operands, MatmulAttrs(), origin=origin)


def along(network: Network, x: Tensor, axis: int, matrix: Array, name: str, *, origin: str) -> Value:
    """An axis of `x` multiplied by a constant matrix (outputs, size), which no method takes for a layer's weight."""
    rows = Constant(matrix.T.astype(np.float32), name)
    last = channels_last(network, x, axis, origin=origin)
    return channels_back(
        network, network.add("matmul", (last, rows), MatmulAttrs(), origin=origin), axis, origin=origin
    )


def expand(network: Network, x: Tensor, shape: Sequence[int], *, origin: str) -> Tensor:
    """Stretched to `shape`, of which -1 keeps an axis."""
    missing = len(shape) - len(x.shape)
    to = tuple(x.shape[axis - missing] if size == -1 else int(size) for axis, size in enumerate(shape))
    if math.prod(to) == math.prod(x.shape):
        return network.reshape(x, to, origin=origin)
    return network.add("expand", (x,), ExpandAttrs(to), origin=origin)


def embedding(network: Network, weight: Tensor, tokens: Tensor, padding: int = -1, *, origin: str) -> Tensor:
    """Rows of a table: (rows, C). tokens: an input of the network, or constant. padding: a row that is not trained."""
    table = network.value(weight, trains=True)
    if isinstance(tokens, Constant):
        return rearrange.take(network, table, 0, tokens.data, origin=origin)
    if tokens.dtype is not DType.INT32:
        raise refused("its indices are computed from the data, and must be an input or constant", origin)
    return network.add("embedding", (tokens, table), EmbeddingAttrs(table.shape[0], padding), origin=origin)
