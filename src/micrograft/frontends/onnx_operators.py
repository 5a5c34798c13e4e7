"""One small handler per ONNX operator, found by its name. https://onnx.ai/onnx/operators/ is the reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.frontends import channels_first, layers, pools
from micrograft.frontends.channels_first import Padding, Windows
from micrograft.frontends.network import Constant, Network, Tensor, refused
from micrograft.ir.types import Array, Shape


@dataclass(frozen=True)
class Call:
    """A node to draw: its layer's name, its inputs (None where an optional one is left out), its attributes.

    used: which of its outputs somebody reads; of the others a handler may return None. outputs: how many there are.
    """

    network: Network
    origin: str
    inputs: tuple[Tensor | None, ...]
    attributes: Mapping[str, Any]
    used: frozenset[int] = frozenset((0,))
    outputs: int = 1

    @property
    def x(self) -> Tensor:
        return self.tensor(0)

    def tensor(self, index: int) -> Tensor:
        """Input `index`, which must be there."""
        found = self.optional(index)
        if found is None:
            raise self.refused(f"its input {index} is missing")
        return found

    def optional(self, index: int) -> Tensor | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int) -> Array | None:
        """Input `index`, which must be constant where it is given."""
        found = self.optional(index)
        if found is None:
            return None
        if not isinstance(found, Constant):
            raise self.refused(f"its input {index} is computed from the data, and must be constant")
        return found.data

    def integer(self, name: str, default: int) -> int:
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        found = self.attributes.get(name)
        return default if found is None else tuple(int(each) for each in found)

    def axes(self, index: int) -> tuple[int, ...] | None:
        """Axes given as input `index` or, in older opsets, as the attribute `axes`."""
        found = self.constant(index)
        return self.integers("axes") if found is None else tuple(int(each) for each in np.atleast_1d(found))

    def refused(self, what: str, fix: str = "") -> MicrograftError:
        return refused(what, self.origin, fix)


Handler = Callable[[Call], Tensor | tuple[Tensor | None, ...]]

HANDLERS: dict[str, Handler] = {}
"""Name of an ONNX operator to its handler."""


def handles(name: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS[name] = handler
        return handler

    return register


def _windows(call: Call, kernel: Shape) -> Windows:
    rank = len(kernel)
    ones = (1,) * rank
    stride = call.integers("strides", ones) or ones
    dilation = call.integers("dilations", ones) or ones
    pads = call.integers("pads", (0,) * (2 * rank)) or ()
    padding: Padding = tuple(zip(pads[:rank], pads[rank:], strict=True))
    auto = call.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        spatial = call.x.shape[2:]
        padding = channels_first.same_padding(spatial, kernel, stride, dilation, upper=auto == "SAME_UPPER")
    elif auto == "VALID":
        padding = ((0, 0),) * rank
    return Windows(kernel, stride, padding, dilation)


@handles("Conv")
def _conv(call: Call) -> Tensor:
    weight = call.tensor(1)
    windows = _windows(call, weight.shape[2:])
    groups = call.integer("group", 1)
    return channels_first.convolution(
        call.network, call.x, weight, call.optional(2), windows, groups, origin=call.origin
    )


def _kernel(call: Call) -> Shape:
    kernel = call.integers("kernel_shape")
    if kernel is None:
        raise call.refused("its kernel_shape is missing")
    return kernel


@handles("MaxPool")
def _max_pool(call: Call) -> Tensor:
    ceil = bool(call.integer("ceil_mode", 0))
    return pools.max_pool(call.network, call.x, _windows(call, _kernel(call)), ceil=ceil, origin=call.origin)


@handles("AveragePool")
def _average_pool(call: Call) -> Tensor:
    return pools.average_pool(
        call.network, call.x, _windows(call, _kernel(call)), ceil=bool(call.integer("ceil_mode", 0)),
        count_padding=bool(call.integer("count_include_pad", 0)), origin=call.origin,
    )  # fmt: skip


@handles("GlobalAveragePool")
def _global_average_pool(call: Call) -> Tensor:
    axes = range(2, len(call.x.shape))
    return channels_first.mean(call.network, call.x, axes, keep=True, origin=call.origin)


@handles("ReduceMean")
def _reduce_mean(call: Call) -> Tensor:
    axes, rank = call.axes(1), len(call.x.shape)
    if not axes and call.integer("noop_with_empty_axes", 0):
        return call.x
    keep, axes = bool(call.integer("keepdims", 1)), axes or tuple(range(rank))
    return channels_first.mean(call.network, call.x, axes, keep=keep, origin=call.origin)


@handles("BatchNormalization")
def _batch_norm(call: Call) -> Tensor:
    if call.integer("training_mode", 0):
        raise call.refused("it is in training mode", "export the model in evaluation mode")
    affine, statistics = (call.tensor(1), call.tensor(2)), (call.tensor(3), call.tensor(4))
    epsilon = call.number("epsilon", 1e-5)
    return channels_first.batch_norm(call.network, call.x, affine, statistics, epsilon, origin=call.origin)


@handles("Gemm")
def _gemm(call: Call) -> Tensor:
    network, origin = call.network, call.origin
    x, weight, bias = call.x, call.tensor(1), call.optional(2)
    if call.integer("transA", 0):
        x = network.transpose(x, (1, 0), origin=origin)
    if not network.source(weight):
        raise call.refused("its weight is computed from the data, and must be constant")
    if not call.integer("transB", 0):
        weight = network.transpose(network.value(weight, trains=True), (1, 0), origin=origin)
    x = layers.scale(network, x, call.number("alpha", 1.0), origin=origin)
    if bias is None:
        return layers.linear(network, x, weight, None, origin=origin)
    if math.prod(bias.shape) == math.prod(bias.shape[-1:]) == weight.shape[0]:
        bias = network.reshape(network.value(bias, trains=True), weight.shape[:1], origin=origin)
        bias = layers.scale(network, bias, call.number("beta", 1.0), origin=origin)
        return layers.linear(network, x, weight, bias, origin=origin)
    product = layers.linear(network, x, weight, None, origin=origin)
    bias = layers.scale(network, bias, call.number("beta", 1.0), origin=origin)
    return layers.arithmetic(network, "add", product, bias, origin=origin)


@handles("Add")
def _add(call: Call) -> Tensor:
    return layers.arithmetic(call.network, "add", call.x, call.tensor(1), origin=call.origin)


@handles("Sub")
def _sub(call: Call) -> Tensor:
    return layers.arithmetic(call.network, "sub", call.x, call.tensor(1), origin=call.origin)


@handles("Mul")
def _mul(call: Call) -> Tensor:
    return layers.arithmetic(call.network, "mul", call.x, call.tensor(1), origin=call.origin)


@handles("Div")
def _div(call: Call) -> Tensor:
    return layers.divide(call.network, call.x, call.tensor(1), origin=call.origin)


@handles("Neg")
def _neg(call: Call) -> Tensor:
    return layers.scale(call.network, call.x, -1.0, origin=call.origin)


@handles("Relu")
def _relu(call: Call) -> Tensor:
    return call.network.add("relu", (call.x,), origin=call.origin)


@handles("Sigmoid")
def _sigmoid(call: Call) -> Tensor:
    return call.network.add("sigmoid", (call.x,), origin=call.origin)


@handles("Tanh")
def _tanh(call: Call) -> Tensor:
    return call.network.add("tanh", (call.x,), origin=call.origin)


@handles("Clip")
def _clip(call: Call) -> Tensor:
    low, high = call.constant(1), call.constant(2)
    return layers.clip(
        call.network, call.x, -math.inf if low is None else float(low.item()),
        math.inf if high is None else float(high.item()), origin=call.origin,
    )  # fmt: skip


@handles("Softmax")
def _softmax(call: Call) -> Tensor:
    return channels_first.softmax(call.network, call.x, call.integer("axis", -1), origin=call.origin)


@handles("Flatten")
def _flatten(call: Call) -> Tensor:
    shape = call.x.shape
    axis = call.integer("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return call.network.reshape(call.x, (math.prod(shape[:axis]), math.prod(shape[axis:])), origin=call.origin)


@handles("Reshape")
def _reshape(call: Call) -> Tensor:
    wanted = call.constant(1)
    if wanted is None:
        raise call.refused("its shape is missing")
    sizes = [int(size) for size in wanted]
    if not call.integer("allowzero", 0):
        sizes = [call.x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return layers.view(call.network, call.x, sizes, origin=call.origin)


@handles("Squeeze")
def _squeeze(call: Call) -> Tensor:
    return layers.squeeze(call.network, call.x, call.axes(1), origin=call.origin)


@handles("Unsqueeze")
def _unsqueeze(call: Call) -> Tensor:
    return layers.unsqueeze(call.network, call.x, call.axes(1) or (), origin=call.origin)


@handles("Transpose")
def _transpose(call: Call) -> Tensor:
    rank = len(call.x.shape)
    permutation = call.integers("perm") or tuple(reversed(range(rank)))
    return call.network.transpose(call.x, permutation, origin=call.origin)


@handles("Concat")
def _concat(call: Call) -> Tensor:
    parts = [call.tensor(index) for index in range(len(call.inputs))]
    return layers.concat(call.network, parts, call.integer("axis", 0), origin=call.origin)


@handles("Identity")
def _identity(call: Call) -> Tensor:
    return call.x


@handles("Dropout")
def _dropout(call: Call) -> Tensor:
    mode, ratio = call.constant(2), call.constant(1)
    if mode is not None and mode.item() and not (ratio is not None and ratio.item() == 0.0):
        raise call.refused("it is in training mode", "export the model in evaluation mode")
    return call.x


@handles("Cast")
def _cast(call: Call) -> Tensor:
    if call.integer("to", 1) != 1:  # TensorProto.FLOAT
        raise call.refused("a cast of data to anything but float32 is not supported")
    return layers.as_float(call.x, origin=call.origin)


@handles("Shape")
def _shape(call: Call) -> Tensor:
    rank = len(call.x.shape)
    end = call.integer("end", rank)
    return Constant(np.asarray(call.x.shape[call.integer("start", 0) : end], dtype=np.int64), f"{call.origin}_shape")


@handles("Size")
def _size(call: Call) -> Tensor:
    return Constant(np.asarray(math.prod(call.x.shape), dtype=np.int64), f"{call.origin}_size")
