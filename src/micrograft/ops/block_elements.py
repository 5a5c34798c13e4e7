"""Gradients in integers, element by element (`block`): to and from float32, masks, factors per channel, sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, TensorType
from micrograft.ops.block import (
    EXPONENT,
    SCALE,
    BlockAddAttrs,
    bit_length,
    check_block,
    check_scale,
    dtype_of,
    group,
    limit,
    narrowed,
    scanned,
    shifted,
    short_factor,
)
from micrograft.ops.cost import Cost, by_dtype
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require
from micrograft.ops.requantization import MULTIPLIER, SHIFT, check_factors, sample_channels


@dataclass(frozen=True)
class BlockQuantizeAttrs(Attrs):
    """dtype: of the codes, int16 or int8."""

    dtype: DType


@dataclass(frozen=True)
class BlockDequantizeAttrs(Attrs):
    """unit: what a code of exponent 0 stands for."""

    unit: float


def _both(dtype_call: Callable[[Node], KernelCall]) -> dict[DType, Callable[[Node], tuple[KernelCall, ...]]]:
    """The kernels of an operator on blocks."""

    def call(node: Node) -> tuple[KernelCall, ...]:
        return (dtype_call(node),)

    return {DType.INT16: call, DType.INT8: call}


def _result(node: Node) -> Block:
    """The block that a node with a scale of its own writes."""
    return Block(node.outputs[0], node.inputs[-1], 1.0)


def _draw(generator: np.random.Generator, *shape: int) -> Iterator[tuple[Array, Array]]:
    """Blocks of int16 and of int8 codes."""
    codes = (generator.standard_normal(shape) * 9000).clip(-32767, 32767).astype(np.int16)
    for each in (codes, (codes >> 8).astype(np.int8)):
        yield each, generator.integers(-9, 9, 2).astype(np.int32)


_START = np.array([3, 99], np.int32)


def _infer_quantize(attrs: BlockQuantizeAttrs, types: Types) -> Types:
    x, scale = types
    require(x.dtype is DType.FLOAT32, f"the gradient is {x.dtype.value}, not float32")
    check_scale(scale)
    return TensorType(x.shape, attrs.dtype), SCALE


def _evaluate_quantize(attrs: BlockQuantizeAttrs, arrays: Arrays) -> Arrays:
    bits = arrays[0].astype(np.float32).view(np.uint32).astype(np.int64)
    exponents = bits >> 23 & 255
    largest, spare = int(exponents.max(initial=0)), 24 - (attrs.dtype.bits - 1)
    significands = np.where(exponents > 0, (bits & 0x7FFFFF) | 0x800000, 0)
    codes = np.minimum(shifted(significands, np.minimum(spare + largest - exponents, 32)), limit(attrs.dtype))
    signed = np.where(bits >> 31, -codes, codes).astype(attrs.dtype.numpy)
    return signed, np.array([0, largest - 150 + spare], np.int32)


def _quantize_call(node: Node) -> KernelCall:
    x, _ = node.inputs
    function = f"mg_block_quantize_{node.outputs[0].dtype.value}"
    return KernelCall(function, "mg_elements_params", (("size", x.type.size),), (x, group(_result(node))))


def _quantize_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for size in (1e-3, 1.0, 1e20):
        x = (generator.standard_normal((1, 3, 7)) * size).astype(np.float32)
        x[0, 0, :2] = 0.0, 1e-42
        for dtype in (DType.INT16, DType.INT8):
            yield Sample((x, _START), BlockQuantizeAttrs(dtype), differentiable=())
    zeros = np.array([0.0, -0.0], np.float32)
    yield Sample((zeros, _START), BlockQuantizeAttrs(DType.INT16), differentiable=())


BLOCK_QUANTIZE = Operator(
    name="block_quantize",
    inputs=("x", "y_scale"),
    outputs=("y", "scale"),
    infer=_infer_quantize,
    evaluate=_evaluate_quantize,
    samples=_quantize_samples,
    kernels=_both(_quantize_call),
    mutates=((1, 1),),
    cost=by_dtype({DType.INT16: Cost(output=32), DType.INT8: Cost(output=35)}),
)


def _infer_dequantize(attrs: BlockDequantizeAttrs, types: Types) -> Types:
    check_block(*types)
    return (TensorType(types[0].shape),)


def _evaluate_dequantize(attrs: BlockDequantizeAttrs, arrays: Arrays) -> Arrays:
    codes, scale = arrays
    power = np.float32(np.ldexp(1.0, min(max(int(scale[EXPONENT]), -126), 127)))
    return (codes.astype(np.float32) * (np.float32(attrs.unit) * power),)


def _dequantize_call(node: Node) -> tuple[KernelCall, ...]:
    codes, scale = node.inputs
    assert isinstance(node.attrs, BlockDequantizeAttrs)
    fields = (("size", codes.type.size), ("unit", float(node.attrs.unit)))
    pointers = (group(Block(codes, scale, 1.0)), node.outputs[0])
    return (KernelCall(f"mg_block_dequantize_{codes.dtype.value}", "mg_block_real_params", fields, pointers),)


def _dequantize_samples() -> Iterator[Sample]:
    for unit in (1.0, -0.3):
        for block in _draw(np.random.default_rng(2), 3, 5):
            yield Sample(block, BlockDequantizeAttrs(unit))


BLOCK_DEQUANTIZE = Operator(
    name="block_dequantize",
    inputs=("x", "scale"),
    infer=_infer_dequantize,
    evaluate=_evaluate_dequantize,
    samples=_dequantize_samples,
    kernels={DType.FLOAT32: _dequantize_call},
    cost=Cost(output=9),
)


def _infer_mask(attrs: Attrs, types: Types) -> Types:
    dy, mask = types
    require(dy.size == mask.size, "the mask does not match the gradient")
    return (dy,)


def _mask_call(node: Node) -> KernelCall:
    dy, mask = node.inputs
    function = f"mg_block_mask_gradient_{dy.dtype.value}"
    return KernelCall(function, "mg_elements_params", (("size", dy.type.size),), (dy, mask, node.outputs[0]))


def _mask_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(3)
    for codes, _ in _draw(generator, 2, 3, 11):
        yield Sample((codes, generator.random(codes.shape) < 0.5))


BLOCK_MASK_GRADIENT = Operator(
    name="block_mask_gradient",
    inputs=("dy", "mask"),
    infer=_infer_mask,
    evaluate=lambda attrs, arrays: (np.where(arrays[1], arrays[0], 0).astype(arrays[0].dtype),),
    samples=_mask_samples,
    kernels=_both(_mask_call),
    inplace=((0, 0),),
    cost=Cost(output=10.5),
)


def _infer_rescale(attrs: Attrs, types: Types) -> Types:
    dy, scale, factors, own = types
    check_block(dy, scale)
    check_scale(own)
    check_factors(factors, dy.shape[-1])
    return dy, SCALE


def _evaluate_rescale(attrs: Attrs, arrays: Arrays) -> Arrays:
    dy, scale, factors, _ = arrays
    dtype = dtype_of(dy)
    shifts = factors[factors[:, MULTIPLIER] != 0, SHIFT].astype(np.int64)
    most = int(shifts.max(initial=-31))
    products = dy.astype(np.int64) * ((factors[:, MULTIPLIER].astype(np.int64) + 0x8000) >> 16)
    places = np.clip(most - factors[:, SHIFT].astype(np.int64), 0, 31)
    shift = max(bit_length(products >> places) - (dtype.bits - 1), 0)
    exponent = int(scale[EXPONENT]) + most - 15 + shift
    return narrowed(products, places + shift, dtype), np.array([shift, exponent], np.int32)


def _rescale_call(node: Node) -> KernelCall:
    dy, scale, factors, _ = node.inputs
    columns = dy.shape[-1]
    fields = (("rows", dy.type.size // columns), ("columns", columns))
    pointers = (group(Block(dy, scale, 1.0)), factors, group(_result(node)))
    return KernelCall(f"mg_block_rescale_gradient_{dy.dtype.value}", "mg_rescale_params", fields, pointers)


def _rescale_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(4)
    for shape in [(1, 7), (1, 3, 4, 5)]:
        _, factors = sample_channels(generator, shape[-1], 9)
        factors[:3] = (1 << 30, 3), ((1 << 31) - 1, -29), (0, 0)  # far apart, and none
        for dy, scale in _draw(generator, *shape):
            yield Sample((dy, scale, factors, _START))
            yield Sample((dy, scale, factors[::-1].copy(), _START))
        negative = factors.copy()  # as IA³'s scales may make them
        negative[::2, MULTIPLIER] *= -1
        yield Sample((dy, scale, negative, _START))
    yield Sample((np.zeros((1, 7), np.int16), _START, sample_channels(generator, 7, 9)[1], _START))


BLOCK_RESCALE_GRADIENT = Operator(
    name="block_rescale_gradient",
    inputs=("dy", "scale", "factors", "dx_scale"),
    outputs=("dx", "scale"),
    infer=_infer_rescale,
    evaluate=_evaluate_rescale,
    samples=_rescale_samples,
    kernels=_both(_rescale_call),
    inplace=((0, 0),),
    mutates=((1, 3),),
    cost=Cost(output=25),
)


def _infer_add(attrs: BlockAddAttrs, types: Types) -> Types:
    a, a_scale, b, b_scale, own = types
    check_block(a, a_scale)
    check_block(b, b_scale)
    check_scale(own)
    require(a == b, f"{a} and {b} differ")
    return a, SCALE


def sum_of_blocks(*parts: tuple[Array, int, tuple[int, int]]) -> tuple[Array, int]:
    """int64 sums and the exponent that they count in, of (codes, exponent, factor) each; zeros have no say in it."""
    exponents = [exponent + shift - 15 for _, exponent, (_, shift) in parts]
    heard = [exponent for exponent, (codes, _, _) in zip(exponents, parts, strict=True) if codes.any()]
    most = max(heard, default=exponents[0])
    sums = np.zeros(parts[0][0].shape, np.int64)
    for (codes, _, (multiplier, _)), exponent in zip(parts, exponents, strict=True):
        sums += shifted(codes.astype(np.int64) * multiplier, min(max(most - exponent, 0), 32))
    return sums, most


def _evaluate_add(attrs: BlockAddAttrs, arrays: Arrays) -> Arrays:
    a, a_scale, b, b_scale, _ = arrays
    parts = (a, int(a_scale[EXPONENT]), attrs.a), (b, int(b_scale[EXPONENT]), attrs.b)
    return scanned(*sum_of_blocks(*parts), dtype_of(a))


def _add_call(node: Node) -> KernelCall:
    a, a_scale, b, b_scale, _ = node.inputs
    assert isinstance(node.attrs, BlockAddAttrs)
    fields = (("size", a.type.size), ("a", node.attrs.a), ("b", node.attrs.b))
    pointers = (group(Block(a, a_scale, 1.0)), group(Block(b, b_scale, 1.0)), group(_result(node)))
    return KernelCall(f"mg_block_add_{a.dtype.value}", "mg_block_add_params", fields, pointers)


def _add_samples() -> Iterator[Sample]:
    generator = np.random.default_rng(5)
    attrs = BlockAddAttrs(short_factor(1.0), short_factor(0.37))
    for (a, a_scale), (b, b_scale) in zip(_draw(generator, 2, 9), _draw(generator, 2, 9), strict=True):
        far = np.array([0, 70], np.int32)
        for left, right in [((a, a_scale), (b, b_scale)), ((0 * a, far), (b, b_scale)), ((a, a_scale), (0 * b, far))]:
            yield Sample((*left, *right, _START), attrs)
        yield Sample((a, far, b, b_scale, _START), BlockAddAttrs(short_factor(1.0), short_factor(-3.0)))
        yield Sample((0 * a, far, 0 * b, b_scale, _START), attrs)


BLOCK_ADD = Operator(
    name="block_add",
    inputs=("a", "a_scale", "b", "b_scale", "y_scale"),
    outputs=("y", "scale"),
    infer=_infer_add,
    evaluate=_evaluate_add,
    samples=_add_samples,
    kernels=_both(_add_call),
    inplace=((0, 0), (0, 2)),
    mutates=((1, 4),),
    cost=Cost(output=60),
)
