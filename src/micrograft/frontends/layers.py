"""Layers that PyTorch and ONNX share and that know no channels: clips, matrix products, scalar arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from micrograft.frontends.network import WHOLE, Constant, Network, Tensor, refused
from micrograft.ir.types import DType, Shape, Value
from micrograft.ops.arithmetic import SumToAttrs
from micrograft.ops.clip import ClipAttrs
from micrograft.ops.concat import ConcatAttrs
from micrograft.ops.scale import ScaleAttrs


def arithmetic(network: Network, op: str, a: Tensor, b: Tensor, *, origin: str) -> Tensor:
    """`add`, `sub` or `mul` with broadcast. It trains constants that have axes, a bias of one element too."""
    if op == "mul":
        for x, factor in ((a, b), (b, a)):
            if isinstance(factor, Constant) and _is_number(factor) and len(factor.shape) <= len(x.shape):
                return scale(network, x, float(factor.data.reshape(())), origin=origin)
    return network.add(op, [_operand(network, each) for each in (a, b)], origin=origin)


def _operand(network: Network, tensor: Tensor) -> Value:
    if isinstance(tensor, Constant):
        return network.value(tensor, trains=not _is_number(tensor))
    return tensor


def _is_number(constant: Constant) -> bool:
    """Whether a constant is one number, which nobody would train: an initializer of one element has an axis."""
    return constant.data.size == 1 and not (constant.learnable and constant.shape)


def divide(network: Network, a: Tensor, b: Tensor, *, origin: str) -> Tensor:
    """a / b; by a constant it is a product."""
    if not isinstance(b, Constant):
        return network.add("div", (_operand(network, a), b), origin=origin)
    if not np.all(b.data):
        raise refused("it divides by zero", origin)
    reciprocal = Constant(np.asarray(1.0 / b.data.astype(np.float64)), f"{b.source}_reciprocal")
    return arithmetic(network, "mul", a, reciprocal, origin=origin)


def scale(network: Network, x: Tensor, factor: float, *, origin: str) -> Tensor:
    """factor · x."""
    return x if factor == 1.0 else network.add("scale", (x,), ScaleAttrs(factor), origin=origin)


def as_float(x: Tensor, *, origin: str) -> Tensor:
    """`x` cast to float32, which truths and constants are already."""
    if isinstance(x, Value) and x.dtype is DType.INT32:
        raise refused("a cast of indices to float32 is not supported", origin, WHOLE)
    return x


def clip(network: Network, x: Tensor, low: float, high: float, *, ends: bool = True, origin: str) -> Value:
    """x between low and high. ends: whether a gradient passes at these themselves."""
    largest = float(np.finfo(np.float32).max)
    if low == 0.0 and high == 6.0:
        return network.add("relu6", (x,), origin=origin)
    if low == 0.0 and high >= largest:
        return network.add("relu", (x,), origin=origin)
    if low <= -largest and high >= largest:
        return network.value(x)
    return network.add("clip", (x,), ClipAttrs(min(low, high), high, ends), origin=origin)


def layer_of(module: str, weight: str) -> str:
    """The name of a layer that a module computes itself, with a weight of its own or of one of its parts.

    >>> layer_of("attn", "attn.in_proj_weight"), layer_of("attn", "attn.out.weight"), layer_of("fc", "fc.weight")
    ('attn.in_proj', 'attn.out', 'fc')
    """
    if not weight.startswith(f"{module}."):
        return module
    return weight.removesuffix("weight").rstrip("._")


def named_by(weight: str) -> str:
    """The layer that a weight's name names, "" where it names none.

    >>> named_by("fc.weight"), named_by("attn.in_proj_weight"), named_by("onnx::MatMul_12")
    ('fc', 'attn.in_proj', '')
    """
    stem = weight.removesuffix("weight")
    return stem.rstrip("._") if stem != weight and stem.endswith((".", "_")) else ""


def linear(network: Network, x: Tensor, weight: Tensor, bias: Tensor | None, *, origin: str) -> Value:
    """x·Wᵀ + b; weight: (outputs, inputs); bias: (outputs,)."""
    inputs: list[Tensor] = [x, network.value(weight, trains=True)]
    if bias is not None:
        inputs.append(network.value(bias, trains=True))
    return network.add("linear", inputs, origin=origin)


def matmul(network: Network, x: Tensor, weight: Tensor, *, origin: str) -> Value:
    """x·W for a constant W: (inputs, outputs)."""
    if len(weight.shape) != 2 or len(x.shape) < 2 or not network.source(weight):
        raise refused(
            f"a matrix product of {x.shape} and {weight.shape} is not supported", origin,
            "micrograft multiplies by a constant matrix on the right",
        )  # fmt: skip
    transposed = network.transpose(network.value(weight, trains=True), (1, 0), origin=origin)
    return linear(network, x, transposed, None, origin=origin)


def flatten(network: Network, x: Tensor, start: int, end: int, *, origin: str) -> Value:
    """The axes from `start` to `end`, both included, as one."""
    rank = len(x.shape)
    first, last = start % max(rank, 1), end % max(rank, 1)
    shape = (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    return network.reshape(x, shape, origin=origin)


def view(network: Network, x: Tensor, shape: Sequence[int], *, origin: str) -> Value:
    """`x` as `shape`, of which one entry may be -1: whatever is left."""
    sizes = list(shape)
    if sizes.count(-1) == 1:
        rest = -math.prod(sizes)
        sizes[sizes.index(-1)] = math.prod(x.shape) // rest if rest else 0
    return network.reshape(x, tuple(sizes), origin=origin)


def squeeze(network: Network, x: Tensor, axes: Sequence[int] | None, *, origin: str) -> Value:
    """Without its axes of length one: those of `axes` that are, or all."""
    rank = len(x.shape)
    chosen = set(range(rank)) if axes is None else {axis % rank for axis in axes}
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in chosen or size != 1)
    return network.reshape(x, shape, origin=origin)


def unsqueeze(network: Network, x: Tensor, axes: Sequence[int], *, origin: str) -> Value:
    """With axes of length one put in, so that they stand at `axes` of the result."""
    rank = len(x.shape) + len(axes)
    ones = {axis % rank for axis in axes}
    rest = iter(x.shape)
    shape: Shape = tuple(1 if axis in ones else next(rest) for axis in range(rank))
    return network.reshape(x, shape, origin=origin)


def concat(network: Network, parts: Sequence[Tensor], axis: int, *, origin: str) -> Value:
    """The parts one behind the other along `axis`. It trains constants of several elements: a class token.

    Parts without elements, such as a cache that is still empty, are left out.
    """
    filled = [each for each in parts if math.prod(each.shape)]
    values = [_operand(network, each) for each in filled or parts]
    return network.add("concat", values, ConcatAttrs(axis % len(values[0].shape)), origin=origin)


def total(network: Network, x: Tensor, axes: Sequence[int], *, keep: bool, mean: bool, origin: str) -> Tensor:
    """The sum or mean over some axes."""
    rank = len(x.shape)
    reduced = {axis % rank for axis in axes} if rank else set()
    shape = tuple(1 if axis in reduced else size for axis, size in enumerate(x.shape))
    y: Tensor = network.add("sum_to", (x,), SumToAttrs(shape), origin=origin) if shape != x.shape else x
    if mean:
        y = scale(network, y, math.prod(shape) / math.prod(x.shape), origin=origin)
    kept = tuple(size for axis, size in enumerate(shape) if axis not in reduced)
    return y if keep else network.reshape(y, kept, origin=origin)
