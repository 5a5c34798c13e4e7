"""attention: softmax(scale · q·kᵀ + mask)·v for each head, one query at a time (FlashAttention, arXiv:2205.14135).

q: (1, T, heads·D); k: (1, S, key_heads·D); v: (1, S, key_heads·E); mask: (heads or 1, T, S), added to the scores;
y: (1, T, heads·E). No T×S matrix exists anywhere: the backward pass works the probabilities of a query out again,
and so keeps nothing beside q, k and v. `packed_attention` reads q, k and v from columns of one tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.concat import ConcatAttrs, SliceAttrs
from micrograft.ops.cost import CostRule
from micrograft.ops.operator import (
    Arrays,
    Backward,
    Gradients,
    KernelCall,
    Operator,
    Pointer,
    Sample,
    Types,
    require,
    scratch_of,
)
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.softmax import softmax

MASKED = -1e30
"""What is added to the score of a key that must not be read: its weight becomes exactly zero."""


@dataclass(frozen=True)
class AttentionAttrs(Attrs):
    """heads: of queries. key_heads: of keys and values, a divisor of `heads`. causal: query i reads keys 0 … i only."""

    heads: int
    key_heads: int
    scale: float
    causal: bool = False


@dataclass(frozen=True)
class Columns:
    """Rows of heads in a larger tensor: the element that they start at, and elements from row to row."""

    start: int
    stride: int


@dataclass(frozen=True)
class PackedAttentionAttrs(Attrs):
    """Attention whose q, k and v are columns of one tensor. width, value_width: D and E, of one head."""

    attention: AttentionAttrs
    rows: int
    keys: int
    width: int
    value_width: int
    q: Columns
    k: Columns
    v: Columns


def _infer(attrs: AttentionAttrs, types: Types) -> Types:
    q, k, v, *mask = types
    require(
        all(len(each.shape) == 3 and each.shape[0] == 1 for each in (q, k, v)), "q, k and v are (1, rows, heads·width)"
    )
    _check_heads(attrs)
    require(q.shape[2] % attrs.heads == 0, f"{q.shape[2]} channels cannot be split into {attrs.heads} heads")
    require(
        k.shape[2] * attrs.heads == q.shape[2] * attrs.key_heads and v.shape[2] % attrs.key_heads == 0,
        f"heads of q {q.shape}, k {k.shape} and v {v.shape} do not go together",
    )
    require(k.shape[1] == v.shape[1], f"there are {k.shape[1]} keys, but {v.shape[1]} values")
    _check_mask(attrs, mask, q.shape[1], k.shape[1])
    return (TensorType((1, q.shape[1], v.shape[2] // attrs.key_heads * attrs.heads), q.dtype),)


def _check_heads(attrs: AttentionAttrs) -> None:
    require(
        attrs.key_heads >= 1 and attrs.heads % attrs.key_heads == 0,
        f"{attrs.heads} heads cannot share {attrs.key_heads} of keys",
    )


def _check_mask(attrs: AttentionAttrs, mask: Types, rows: int, keys: int) -> None:
    expected = ((1, rows, keys), (attrs.heads, rows, keys))
    require(all(each.shape in expected for each in mask), f"the mask is not {expected[0]} or {expected[1]}")


def _attend(attrs: AttentionAttrs, arrays: Arrays) -> tuple[Array, Array, Array, Array]:
    """q, k, v as (heads, rows, width), those of shared heads repeated, and the probabilities."""
    q, k, v, *mask = arrays
    split = [each[0].reshape(each.shape[1], -1, each.shape[2] // count).swapaxes(0, 1)
             for each, count in ((q, attrs.heads), (k, attrs.key_heads), (v, attrs.key_heads))]  # fmt: skip
    q, k, v = (np.repeat(each, attrs.heads // len(each), axis=0) for each in split)
    scores = q @ k.swapaxes(1, 2) * q.dtype.type(attrs.scale)
    if mask:
        scores = scores + mask[0]
    if attrs.causal:
        scores = np.where(np.tri(*scores.shape[1:], dtype=np.bool_), scores, scores.dtype.type(MASKED))
    return q, k, v, softmax(scores)


def _evaluate(attrs: AttentionAttrs, arrays: Arrays) -> Arrays:
    _, _, v, p = _attend(attrs, arrays)
    return (_joined(p @ v),)


def _joined(heads: Array) -> Array:
    """(heads, rows, width) as (1, rows, heads·width)."""
    return np.ascontiguousarray(heads.swapaxes(0, 1)).reshape(1, heads.shape[1], -1)


def _flat(attrs: AttentionAttrs, q: Value, k: Value, v: Value) -> PackedAttentionAttrs:
    """How q, k and v lie if they are put one behind the other."""
    (rows, q_stride), (keys, k_stride), v_stride = q.shape[1:], k.shape[1:], v.shape[2]
    k_start = q.type.size
    v_start = k_start + k.type.size
    return PackedAttentionAttrs(
        attrs, rows, keys, q_stride // attrs.heads, v_stride // attrs.key_heads,
        Columns(0, q_stride), Columns(k_start, k_stride), Columns(v_start, v_stride),
    )  # fmt: skip


def _gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    """One node for all three, since they share most of the work: it reads them one behind the other."""
    q, k, v, *mask = node.inputs
    (dy,) = gradients
    assert dy is not None and isinstance(node.attrs, AttentionAttrs)
    flat = [backward.emit("reshape", each, attrs=ReshapeAttrs((1, each.type.size))) for each in (q, k, v)]
    qkv = backward.emit("concat", *flat, attrs=ConcatAttrs(1))
    dqkv = backward.emit("packed_attention_gradient", qkv, dy, *mask, attrs=_flat(node.attrs, q, k, v))
    found: list[Value | None] = []
    start = 0
    for each in (q, k, v):
        stop = start + each.type.size
        if backward.needs(each):
            part = backward.emit("slice", dqkv, attrs=SliceAttrs(1, start, stop))
            found.append(backward.emit("reshape", part, attrs=ReshapeAttrs(each.shape)))
        else:
            found.append(None)
        start = stop
    return (*found, *(None for _ in mask))


def _fields(attrs: PackedAttentionAttrs, size: int, mask: Value | None) -> tuple[tuple[str, int | float], ...]:
    heads = attrs.attention
    return (
        ("rows", attrs.rows), ("keys", attrs.keys),
        ("heads", heads.heads), ("sharing", heads.heads // heads.key_heads),
        ("width", attrs.width), ("value_width", attrs.value_width),
        ("q_start", attrs.q.start), ("k_start", attrs.k.start), ("v_start", attrs.v.start),
        ("q_stride", attrs.q.stride), ("k_stride", attrs.k.stride), ("v_stride", attrs.v.stride),
        ("size", size),
        ("mask_stride", attrs.rows * attrs.keys if mask is not None and mask.shape[0] > 1 else 0),
        ("causal", int(heads.causal)), ("scale", float(heads.scale)),
    )  # fmt: skip


def _call(node: Node) -> tuple[KernelCall, ...]:
    q, k, v, *masks = node.inputs
    mask = masks[0] if masks else None
    assert isinstance(node.attrs, AttentionAttrs)
    flat = _flat(node.attrs, q, k, v)
    fields = _fields(flat, flat.v.start + v.type.size, mask)
    return (KernelCall("mg_attention_float32", "mg_attention_params", fields, (q, k, v, mask, node.outputs[0])),)


def _weights(attrs: AttentionAttrs, rows: int, keys: int) -> int:
    """How many probabilities there are."""
    per_head = sum(min(row + 1, keys) for row in range(rows)) if attrs.causal else rows * keys
    return attrs.heads * per_head


def _macs(node: Node) -> int:
    q, k, v, *_ = node.inputs
    assert isinstance(node.attrs, AttentionAttrs)
    flat = _flat(node.attrs, q, k, v)
    return _weights(node.attrs, flat.rows, flat.keys) * (flat.width + flat.value_width)


def _cost(product: float, weight: float, output: float) -> CostRule:
    """Instructions for each product, probability and element of the output."""

    def rule(node: Node, macs: float) -> float:
        if isinstance(node.attrs, PackedAttentionAttrs):
            attrs, rows, keys = node.attrs.attention, node.attrs.rows, node.attrs.keys
        else:
            assert isinstance(node.attrs, AttentionAttrs)
            attrs, rows, keys = node.attrs, node.inputs[0].shape[1], node.inputs[1].shape[1]
        return product * macs + weight * _weights(attrs, rows, keys) + output * node.outputs[0].type.size

    return rule


_CASES = [
    (AttentionAttrs(1, 1, 0.5), 3, 3, 4, 4, 0),
    (AttentionAttrs(3, 3, 0.35), 19, 19, 8, 8, 0),
    (AttentionAttrs(2, 2, 0.6, causal=True), 21, 21, 5, 5, 0),
    (AttentionAttrs(4, 2, 0.5), 6, 35, 4, 3, 1),
    (AttentionAttrs(2, 1, 0.4), 5, 5, 6, 6, 2),
    (AttentionAttrs(1, 1, 1.0, causal=True), 4, 2, 3, 4, 0),
]
"""Attributes, queries, keys, width, width of values, and heads of the mask."""


def _mask(generator: np.random.Generator, heads: int, rows: int, keys: int) -> tuple[Array, ...]:
    """A mask that hides some keys, none where `heads` is 0; the first key stays visible."""
    if not heads:
        return ()
    mask = generator.standard_normal((heads, rows, keys))
    mask[generator.random(mask.shape) < 0.3] = MASKED
    mask[..., 0] = 0.5
    return (mask.astype(np.float32),)


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for attrs, rows, keys, width, value_width, mask in _CASES:
        shapes = (
            (1, rows, attrs.heads * width),
            (1, keys, attrs.key_heads * width),
            (1, keys, attrs.key_heads * value_width),
        )
        arrays = tuple(generator.standard_normal(shape).astype(np.float32) for shape in shapes)
        yield Sample((*arrays, *_mask(generator, mask, rows, keys)), attrs, differentiable=(0, 1, 2))


ATTENTION = Operator(
    name="attention",
    inputs=("q", "k", "v", "mask?"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.FLOAT32: _call},
    gradient=_gradient,
    macs=_macs,
    cost=_cost(2.3, 100, 40),
)


def _infer_packed(attrs: PackedAttentionAttrs, types: Types) -> Types:
    qkv, *mask = types
    _check_heads(attrs.attention)
    _check_mask(attrs.attention, mask, attrs.rows, attrs.keys)
    for columns, rows, width in _parts(attrs):
        last = columns.start + (rows - 1) * columns.stride + width
        require(columns.start >= 0 and last <= qkv.size, f"{qkv.shape} does not hold q, k and v")
    return (TensorType((1, attrs.rows, attrs.attention.heads * attrs.value_width), qkv.dtype),)


def _parts(attrs: PackedAttentionAttrs) -> tuple[tuple[Columns, int, int], ...]:
    """Of q, k and v: where, how many rows, and how wide a row is."""
    heads, key_heads = attrs.attention.heads, attrs.attention.key_heads
    return (
        (attrs.q, attrs.rows, heads * attrs.width),
        (attrs.k, attrs.keys, key_heads * attrs.width),
        (attrs.v, attrs.keys, key_heads * attrs.value_width),
    )


def _indices(columns: Columns, rows: int, width: int) -> Array:
    """Where the elements lie in the tensor that has them all: (1, rows, width)."""
    indices: Array = columns.start + np.arange(rows)[None, :, None] * columns.stride + np.arange(width)
    return indices


def _unpacked(attrs: PackedAttentionAttrs, qkv: Array) -> list[Array]:
    flat = qkv.reshape(-1)
    return [flat[_indices(*part)] for part in _parts(attrs)]


def _packed_gradient(backward: Backward, node: Node, gradients: Gradients) -> Gradients:
    qkv, *mask = node.inputs
    (dy,) = gradients
    assert dy is not None
    dqkv = backward.emit("packed_attention_gradient", qkv, dy, *mask, attrs=node.attrs)
    return (dqkv, *(None for _ in mask))


def _packed_call(node: Node) -> tuple[KernelCall, ...]:
    qkv, *masks = node.inputs
    mask = masks[0] if masks else None
    attrs = node.attrs
    assert isinstance(attrs, PackedAttentionAttrs)
    parts = [Pointer(qkv, each.start) for each in (attrs.q, attrs.k, attrs.v)]
    fields = _fields(attrs, qkv.type.size, mask)
    return (KernelCall("mg_attention_float32", "mg_attention_params", fields, (*parts, mask, node.outputs[0])),)


def _packed_macs(node: Node) -> int:
    attrs = node.attrs
    assert isinstance(attrs, PackedAttentionAttrs)
    return _weights(attrs.attention, attrs.rows, attrs.keys) * (attrs.width + attrs.value_width)


_PACKED: list[tuple[PackedAttentionAttrs, Shape, int]] = [
    (
        PackedAttentionAttrs(AttentionAttrs(2, 2, 0.5), 5, 5, 4, 4, Columns(0, 24), Columns(8, 24), Columns(16, 24)),
        (1, 5, 24), 0,
    ),
    (
        PackedAttentionAttrs(
            AttentionAttrs(2, 1, 0.4, causal=True), 6, 6, 3, 3, Columns(4, 19), Columns(1, 19), Columns(13, 19)
        ),
        (6, 1, 19), 2,
    ),
]  # fmt: skip
"""Attributes, shape of the packed tensor, heads of the mask."""


def _packed_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(2)
    for attrs, shape, mask in _PACKED:
        qkv = generator.standard_normal(shape).astype(np.float32)
        yield Sample((qkv, *_mask(generator, mask, attrs.rows, attrs.keys)), attrs, differentiable=(0,))


PACKED_ATTENTION = Operator(
    name="packed_attention",
    inputs=("qkv", "mask?"),
    infer=_infer_packed,
    evaluate=lambda attrs, arrays: _evaluate(attrs.attention, [*_unpacked(attrs, arrays[0]), *arrays[1:]]),
    samples=_packed_samples,
    kernels={DType.FLOAT32: _packed_call},
    gradient=_packed_gradient,
    macs=_packed_macs,
    cost=_cost(2.6, 94, 20),
)


def _infer_packed_gradient(attrs: PackedAttentionAttrs, types: Types) -> Types:
    qkv, dy, *mask = types
    (y,) = _infer_packed(attrs, (qkv, *mask))
    require(dy == y, "the gradient does not match the output")
    return (qkv,)


def _evaluate_packed_gradient(attrs: PackedAttentionAttrs, arrays: Arrays) -> Arrays:
    qkv, dy, *mask = arrays
    heads, shared = attrs.attention.heads, attrs.attention.key_heads
    q, k, v, p = _attend(attrs.attention, [*_unpacked(attrs, qkv), *mask])
    dy = dy[0].reshape(attrs.rows, heads, -1).swapaxes(0, 1)
    dp = dy @ v.swapaxes(1, 2)
    ds = p * (dp - (p * dp).sum(axis=-1, keepdims=True)) * dp.dtype.type(attrs.attention.scale)
    dk, dv = ds.swapaxes(1, 2) @ q, p.swapaxes(1, 2) @ dy
    summed = [each.reshape(shared, heads // shared, *each.shape[1:]).sum(axis=1) for each in (dk, dv)]
    found = np.zeros(qkv.size, qkv.dtype)
    for part, gradient in zip(_parts(attrs), (ds @ k, *summed), strict=True):
        np.add.at(found, _indices(*part), _joined(gradient))
    return (found.reshape(qkv.shape),)


def _packed_gradient_call(node: Node) -> tuple[KernelCall, ...]:
    qkv, dy, *masks = node.inputs
    mask = masks[0] if masks else None
    assert isinstance(node.attrs, PackedAttentionAttrs)
    pointers = (qkv, dy, mask, node.outputs[0], *_scratch(node))
    fields = _fields(node.attrs, qkv.type.size, mask)
    return (KernelCall("mg_attention_gradient_float32", "mg_attention_params", fields, pointers),)


def _scratch(node: Node) -> tuple[Value, ...]:
    """Of one query: the probabilities, and the gradients of the scores."""
    assert isinstance(node.attrs, PackedAttentionAttrs)
    return (scratch_of(node, 2 * node.attrs.keys),)


def _packed_gradient_macs(node: Node) -> int:
    attrs = node.attrs
    assert isinstance(attrs, PackedAttentionAttrs)
    return _weights(attrs.attention, attrs.rows, attrs.keys) * (3 * attrs.width + 2 * attrs.value_width)


def _packed_gradient_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for sample in _packed_samples():
        (y,) = _infer_packed(sample.attrs, [TensorType(each.shape) for each in sample.inputs])  # type: ignore[arg-type]  # its own samples
        dy = generator.standard_normal(y.shape).astype(np.float32)
        yield Sample((sample.inputs[0], dy, *sample.inputs[1:]), sample.attrs)


PACKED_ATTENTION_GRADIENT = Operator(
    name="packed_attention_gradient",
    inputs=("qkv", "dy", "mask?"),
    infer=_infer_packed_gradient,
    evaluate=_evaluate_packed_gradient,
    samples=_packed_gradient_samples,
    kernels={DType.FLOAT32: _packed_gradient_call},
    macs=_packed_gradient_macs,
    cost=_cost(2.65, 136, 47),
    scratch=_scratch,
)
