"""One small handler per TFLite operator, found by its name in the schema. Tensors are channels last, as ours are.

What the converter leaves of shape arithmetic is computed here (`FOLDED`), and never reaches the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite

from micrograft.errors import MicrograftError
from micrograft.frontends import channels_first, layers
from micrograft.frontends.channels_first import Padding, same_padding
from micrograft.frontends.network import Constant, Network, Tensor, refused
from micrograft.ir.types import Array, Shape, Value
from micrograft.ops.average_pool import AveragePoolAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.max_pool import PoolAttrs


@dataclass(frozen=True)
class Call:
    """An operation to draw: its kind, its layer's name, its inputs (None where one is left out), its options."""

    network: Network
    kind: str
    origin: str
    inputs: tuple[Tensor | None, ...]
    options: Mapping[str, Any]

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

    def integers(self, index: int) -> tuple[int, ...]:
        """Input `index`, a constant list of integers."""
        found = self.tensor(index)
        if not isinstance(found, Constant):
            raise self.refused(f"its input {index} is computed from the data, and must be constant")
        return tuple(int(each) for each in found.data.reshape(-1))

    def trained(self, index: int) -> Value | None:
        """Input `index` as a value that the layer trains where it is a constant."""
        found = self.optional(index)
        return None if found is None else self.network.value(found, trains=True)

    def integer(self, name: str, default: int = 0) -> int:
        return int(self.options.get(name, default))

    def refused(self, what: str, fix: str = "") -> MicrograftError:
        return refused(what, self.origin, fix)


Handler = Callable[[Call], Tensor | tuple[Tensor, ...]]

HANDLERS: dict[str, Handler] = {}
"""Name of a TFLite operator to its handler."""

Fold = Callable[[Call, tuple[Array, ...]], Array]


def handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def activated(call: Call, y: Tensor) -> Tensor:
    """`y` behind the activation that the operation has fused into it."""
    kinds = tflite.ActivationFunctionType
    kind, network, origin = call.integer("FusedActivationFunction"), call.network, call.origin
    if kind == kinds.NONE:
        return y
    if kind == kinds.RELU_N1_TO_1:
        return layers.clip(network, y, -1.0, 1.0, origin=origin)
    names = {kinds.RELU: "relu", kinds.RELU6: "relu6"}
    if kind not in names:  # LiteRT itself computes no other behind these operators
        raise call.refused("the activation that is fused into it is not supported")
    return network.add(names[kind], (y,), origin=origin)


def _padding(call: Call, kernel: Shape, stride: Shape, dilation: Shape) -> Padding:
    if call.integer("Padding") == tflite.Padding.VALID:
        return ((0, 0),) * len(kernel)
    return same_padding(call.x.shape[1:-1], kernel, stride, dilation)


def stride_of(call: Call) -> Shape:
    stride = call.integer("StrideH", 1), call.integer("StrideW", 1)
    if min(stride) < 1:
        raise call.refused(f"its stride is {stride}")
    return stride


@handles("CONV_2D", "DEPTHWISE_CONV_2D")
def _conv(call: Call) -> Tensor:
    """CONV_2D's weight: (O, height, width, C/groups); DEPTHWISE_CONV_2D's: (1, height, width, O)."""
    x, weight, bias = call.x, call.trained(1), call.trained(2)
    if weight is None or len(weight.shape) != 4 or len(x.shape) != 4:
        raise call.refused(f"its input of shape {x.shape} is not (1, height, width, channels)")
    depthwise = "DepthMultiplier" in call.options
    stride, dilation = stride_of(call), (call.integer("DilationHFactor", 1), call.integer("DilationWFactor", 1))
    padding = _padding(call, weight.shape[1:3], stride, dilation)
    groups = 1 if depthwise else max(1, x.shape[-1] // weight.shape[-1])
    inputs = [x, weight] if bias is None else [x, weight, bias]
    attrs = ConvAttrs(stride, padding, dilation, groups)
    op = "depthwise_conv" if depthwise else "conv"
    return activated(call, call.network.add(op, inputs, attrs, origin=call.origin))


@handles("AVERAGE_POOL_2D")
def _average_pool(call: Call) -> Tensor:
    kernel, stride = _pool_kernel(call), stride_of(call)
    attrs = AveragePoolAttrs(kernel, stride, _padding(call, kernel, stride, (1, 1)), False)
    return activated(call, call.network.add("average_pool", (call.x,), attrs, origin=call.origin))


@handles("MAX_POOL_2D")
def _max_pool(call: Call) -> Tensor:
    kernel, stride = _pool_kernel(call), stride_of(call)
    attrs = PoolAttrs(kernel, stride, _padding(call, kernel, stride, (1, 1)), (1, 1))
    return activated(call, call.network.add("max_pool", (call.x,), attrs, origin=call.origin))


def _pool_kernel(call: Call) -> Shape:
    if len(call.x.shape) != 4:
        raise call.refused(f"its input of shape {call.x.shape} is not (1, height, width, channels)")
    return call.integer("FilterHeight", 1), call.integer("FilterWidth", 1)


@handles("FULLY_CONNECTED")
def _fully_connected(call: Call) -> Tensor:
    """Its weight: (outputs, inputs); without KeepNumDims the input becomes rows of so many inputs."""
    x, weight = call.x, call.trained(1)
    if weight is None or call.integer("WeightsFormat") != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise call.refused("its weights are shuffled for one processor", "convert the model again")
    if not call.options.get("KeepNumDims", False):
        x = layers.view(call.network, x, (-1, weight.shape[-1]), origin=call.origin)
    return activated(call, layers.linear(call.network, x, weight, call.trained(2), origin=call.origin))


@handles("ADD")
def _add(call: Call) -> Tensor:
    return activated(call, layers.arithmetic(call.network, "add", call.x, call.tensor(1), origin=call.origin))


@handles("SUB")
def _sub(call: Call) -> Tensor:
    return activated(call, layers.arithmetic(call.network, "sub", call.x, call.tensor(1), origin=call.origin))


@handles("MUL")
def _mul(call: Call) -> Tensor:
    return activated(call, layers.arithmetic(call.network, "mul", call.x, call.tensor(1), origin=call.origin))


@handles("DIV")
def _div(call: Call) -> Tensor:
    return activated(call, layers.divide(call.network, call.x, call.tensor(1), origin=call.origin))


@handles("NEG")
def _neg(call: Call) -> Tensor:
    return layers.scale(call.network, call.x, -1.0, origin=call.origin)


@handles("RELU")
def _relu(call: Call) -> Tensor:
    return call.network.add("relu", (call.x,), origin=call.origin)


@handles("RELU6")
def _relu6(call: Call) -> Tensor:
    return call.network.add("relu6", (call.x,), origin=call.origin)


@handles("RELU_N1_TO_1")
def _relu_n1_to_1(call: Call) -> Tensor:
    return layers.clip(call.network, call.x, -1.0, 1.0, origin=call.origin)


@handles("LOGISTIC")
def _logistic(call: Call) -> Tensor:
    return call.network.add("sigmoid", (call.x,), origin=call.origin)


@handles("TANH")
def _tanh(call: Call) -> Tensor:
    return call.network.add("tanh", (call.x,), origin=call.origin)


@handles("SOFTMAX")
def _softmax(call: Call) -> Tensor:
    x = layers.scale(call.network, call.x, float(call.options.get("Beta", 1.0)), origin=call.origin)
    return call.network.add("softmax", (x,), origin=call.origin)


@handles("MEAN")
def _mean(call: Call) -> Tensor:
    keep = bool(call.options.get("KeepDims", False))
    return channels_first.mean(call.network, call.x, call.integers(1), keep=keep, origin=call.origin)


@handles("RESHAPE")
def _reshape(call: Call) -> Tensor:
    shape = call.integers(1) if call.optional(1) is not None else call.options.get("NewShape", ())
    return layers.view(call.network, call.x, shape, origin=call.origin)


@handles("SQUEEZE")
def _squeeze(call: Call) -> Tensor:
    return layers.squeeze(call.network, call.x, call.options.get("SqueezeDims") or None, origin=call.origin)


@handles("EXPAND_DIMS")
def _expand_dims(call: Call) -> Tensor:
    return layers.unsqueeze(call.network, call.x, call.integers(1), origin=call.origin)


@handles("TRANSPOSE")
def _transpose(call: Call) -> Tensor:
    rank = len(call.x.shape)
    return call.network.transpose(call.x, [axis % rank for axis in call.integers(1)], origin=call.origin)


@handles("CONCATENATION")
def _concatenation(call: Call) -> Tensor:
    parts = [call.tensor(index) for index in range(len(call.inputs))]
    return activated(call, layers.concat(call.network, parts, call.integer("Axis"), origin=call.origin))


@handles("SHAPE")
def _shape(call: Call) -> Tensor:
    return Constant(np.asarray(call.x.shape, np.int32), f"{call.origin}_shape")


@handles("RANK")
def _rank(call: Call) -> Tensor:
    return Constant(np.asarray(len(call.x.shape), np.int32), f"{call.origin}_rank")


def picked(
    call: Call, shape: Shape, begin: Sequence[int], end: Sequence[int], stride: Sequence[int]
) -> list[slice | int]:
    """What a strided slice takes of each axis, by the schema's bit masks: a slice, or an index, and the axis is gone.

    With an offset, ends are counted from where the slices begin.
    """
    if call.integer("EllipsisMask") or call.integer("NewAxisMask"):
        raise call.refused("a slice with an ellipsis or a new axis is not supported")
    picks: list[slice | int] = []
    for axis, (start, stop, step) in enumerate(zip(begin, end, stride, strict=True)):
        bit = 1 << axis
        opened = slice(None if call.integer("BeginMask") & bit else start, None, step)
        first = opened.indices(shape[axis])[0]
        if call.integer("ShrinkAxisMask") & bit:
            picks.append(first)
        elif call.integer("EndMask") & bit:
            picks.append(opened)
        else:
            picks.append(slice(opened.start, stop + first if call.options.get("Offset", False) else stop, step))
    return picks


def _strided_slice(call: Call, arrays: tuple[Array, ...]) -> Array:
    x, *numbers = arrays
    return np.asarray(x[tuple(picked(call, x.shape, *(each.tolist() for each in numbers)))])


_CASTS = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.INT32: np.int32, tflite.TensorType.INT64: np.int64}


def _cast(call: Call, arrays: tuple[Array, ...]) -> Array:
    kind = call.integer("OutDataType")
    if kind not in _CASTS:
        raise call.refused("a cast of constants to anything but float32, int32 and int64 is not supported")
    return arrays[0].astype(_CASTS[kind])


FOLDED: dict[str, Fold] = {
    "ADD": lambda call, arrays: np.add(*arrays),
    "SUB": lambda call, arrays: np.subtract(*arrays),
    "MUL": lambda call, arrays: np.multiply(*arrays),
    "CAST": _cast,
    "CONCATENATION": lambda call, arrays: np.concatenate(arrays, call.integer("Axis")),
    "GATHER": lambda call, arrays: np.take(arrays[0], arrays[1], call.integer("Axis")),
    "PACK": lambda call, arrays: np.stack(arrays, call.integer("Axis")),
    "REDUCE_PROD": lambda call, arrays: np.asarray(
        arrays[0].prod(axis=tuple(arrays[1].reshape(-1)), keepdims=bool(call.options.get("KeepDims", False)))
    ),
    "STRIDED_SLICE": _strided_slice,
}
"""Name of an operator to its value, where all its inputs are constant numbers (not weights)."""
