"""One small handler per ATen operator, found by its name; arguments are those of the operator's own schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.frontends import channels_first, layers
from micrograft.frontends.channels_first import Padding, Windows
from micrograft.frontends.network import Constant, Network, Tensor, refused
from micrograft.ir.types import DType, Shape, Value


@dataclass(frozen=True)
class Call:
    """A node to draw: its layer's name and its arguments by name, tensors resolved.

    used: which of its outputs somebody reads; of the others a handler may return None. before, after: PyTorch's
    types of the tensors that it reads, and of its output, as "float32".
    """

    network: Network
    origin: str
    arguments: Mapping[str, Any]
    used: frozenset[int] = frozenset((0,))
    before: tuple[str, ...] = ()
    after: str = ""

    @property
    def x(self) -> Tensor:
        """The tensor that the operator works on."""
        return self.tensor("input" if "input" in self.arguments else "self")

    def get(self, name: str, default: Any = None) -> Any:
        found = self.arguments.get(name)
        return default if found is None else found

    def tensor(self, name: str) -> Tensor:
        """A tensor argument; a plain number counts as a constant."""
        found = self.optional(name)
        if found is None:
            raise self.refused(f"its argument {name} is missing")
        return found

    def optional(self, name: str) -> Tensor | None:
        found = self.arguments.get(name)
        if found is None or isinstance(found, (Value, Constant)):
            return found
        return Constant(np.asarray(found, dtype=np.float32), f"{self.origin}_{name}_{found}")

    def integers(self, name: str, rank: int) -> tuple[int, ...]:
        """A list of one entry per spatial axis, which PyTorch also writes as one number."""
        found = self.get(name, ())
        entries = tuple(int(each) for each in (found if isinstance(found, (list, tuple)) else [found]))
        return entries * rank if len(entries) == 1 else entries

    def refused(self, what: str, fix: str = "") -> MicrograftError:
        return refused(what, self.origin, fix)


Handler = Callable[[Call], Tensor | tuple[Tensor | None, ...]]

HANDLERS: dict[str, Handler] = {}
"""Name of an ATen operator, without overload, to its handler."""


def handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


@handles("conv1d", "conv2d", "convolution")
def _convolution(call: Call) -> Tensor | tuple[Tensor | None, ...]:
    if call.get("transposed", False):
        return HANDLERS["conv_transpose2d"](call)
    weight = call.tensor("weight")
    kernel = weight.shape[2:]
    rank = len(kernel)
    stride, dilation = call.integers("stride", rank), call.integers("dilation", rank)
    padding: Padding
    if call.get("padding") == "same":
        padding = channels_first.same_padding(call.x.shape[2:], kernel, stride, dilation)
    elif call.get("padding") == "valid":
        padding = ((0, 0),) * rank
    else:
        padding = _symmetric(call.integers("padding", rank))
    windows = Windows(kernel, stride, padding, dilation)
    return channels_first.convolution(
        call.network, call.x, weight, call.optional("bias"), windows, int(call.get("groups", 1)), origin=call.origin
    )


def _symmetric(padding: tuple[int, ...]) -> Padding:
    return tuple((each, each) for each in padding)


def _pool_windows(call: Call) -> Windows:
    rank = len(call.x.shape) - 2
    kernel = call.integers("kernel_size", rank)
    stride = call.integers("stride", rank) or kernel
    dilation = call.integers("dilation", rank) or (1,) * rank
    return Windows(kernel, stride, _symmetric(call.integers("padding", rank)), dilation)


@handles("max_pool1d", "max_pool2d", "max_pool2d_with_indices")
def _max_pool(call: Call) -> Tensor:
    ceil = bool(call.get("ceil_mode", False))
    return channels_first.max_pool(call.network, call.x, _pool_windows(call), ceil=ceil, origin=call.origin)


@handles("avg_pool1d", "avg_pool2d")
def _average_pool(call: Call) -> Tensor:
    if call.get("divisor_override") is not None:
        raise call.refused("average pooling with divisor_override is not supported")
    return channels_first.average_pool(
        call.network, call.x, _pool_windows(call), ceil=bool(call.get("ceil_mode", False)),
        count_padding=bool(call.get("count_include_pad", True)), origin=call.origin,
    )  # fmt: skip


@handles("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def _adaptive_average_pool(call: Call) -> Tensor:
    spatial = call.x.shape[2:]
    wanted = call.integers("output_size", len(spatial))
    if set(wanted) == {1}:
        axes = range(2, len(call.x.shape))
        return channels_first.mean(call.network, call.x, axes, keep=True, origin=call.origin)
    if any(size % parts for size, parts in zip(spatial, wanted, strict=True)):
        raise call.refused(f"adaptive pooling of {spatial} to {wanted} has windows of several sizes")
    kernel = tuple(size // parts for size, parts in zip(spatial, wanted, strict=True))
    windows = Windows(kernel, kernel, ((0, 0),) * len(kernel), (1,) * len(kernel))
    return channels_first.average_pool(
        call.network, call.x, windows, ceil=False, count_padding=False, origin=call.origin
    )


@handles("mean")
def _mean(call: Call) -> Tensor:
    axes = call.get("dim")
    chosen = [axes] if isinstance(axes, int) else axes or range(len(call.x.shape))
    keep = bool(call.get("keepdim", False))
    return channels_first.mean(call.network, call.x, chosen, keep=keep, origin=call.origin)


@handles("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "_native_batch_norm_legit")
def _batch_norm(call: Call) -> Tensor:
    if call.get("training", False):
        raise call.refused("its batch norm is in training mode", "export the model after model.eval()")
    if call.get("running_mean") is None:
        raise call.refused("its batch norm keeps no running statistics", "use track_running_stats=True")
    channels = call.x.shape[1]
    weight = call.optional("weight") or Constant(np.ones(channels, np.float32), f"{call.origin}.weight")
    bias = call.optional("bias") or Constant(np.zeros(channels, np.float32), f"{call.origin}.bias")
    statistics = (call.tensor("running_mean"), call.tensor("running_var"))
    epsilon = float(call.get("eps", 1e-5))
    return channels_first.batch_norm(call.network, call.x, (weight, bias), statistics, epsilon, origin=call.origin)


@handles("linear")
def _linear(call: Call) -> Tensor:
    weight = call.tensor("weight")
    origin = layers.layer_of(call.origin, call.network.source(weight))
    return layers.linear(call.network, call.x, weight, call.optional("bias"), origin=origin)


@handles("addmm")
def _addmm(call: Call) -> Tensor:
    if call.get("alpha", 1) != 1 or call.get("beta", 1) != 1:
        raise call.refused("addmm with alpha or beta is not supported")
    product = layers.matmul(call.network, call.tensor("mat1"), call.tensor("mat2"), origin=call.origin)
    return layers.arithmetic(call.network, "add", product, call.tensor("self"), origin=call.origin)


@handles("t")
def _t(call: Call) -> Tensor:
    rank = len(call.x.shape)
    return call.network.transpose(call.x, (1, 0) if rank == 2 else range(rank), origin=call.origin)


@handles("transpose")
def _transpose(call: Call) -> Tensor:
    order = list(range(len(call.x.shape)))
    a, b = int(call.get("dim0")), int(call.get("dim1"))
    order[a], order[b] = order[b], order[a]
    return call.network.transpose(call.x, order, origin=call.origin)


@handles("permute")
def _permute(call: Call) -> Tensor:
    rank = len(call.x.shape)
    return call.network.transpose(call.x, [axis % rank for axis in call.get("dims")], origin=call.origin)


@handles("add")
def _add(call: Call) -> Tensor:
    if call.after == "bool":
        return call.network.add("maximum", (call.x, call.tensor("other")), origin=call.origin)
    return layers.arithmetic(call.network, "add", call.x, _other(call), origin=call.origin)


@handles("sub")
def _sub(call: Call) -> Tensor:
    return layers.arithmetic(call.network, "sub", call.x, _other(call), origin=call.origin)


@handles("rsub")
def _rsub(call: Call) -> Tensor:
    x = layers.scale(call.network, call.x, float(call.get("alpha", 1)), origin=call.origin)
    return layers.arithmetic(call.network, "sub", call.tensor("other"), x, origin=call.origin)


def _other(call: Call) -> Tensor:
    """`alpha · other`, of the operators that add it or take it away."""
    return layers.scale(call.network, call.tensor("other"), float(call.get("alpha", 1)), origin=call.origin)


@handles("mul")
def _mul(call: Call) -> Tensor:
    return layers.arithmetic(call.network, "mul", call.x, call.tensor("other"), origin=call.origin)


@handles("div")
def _div(call: Call) -> Tensor:
    if call.get("rounding_mode") is not None:
        raise call.refused("a division that rounds is not supported")
    return layers.divide(call.network, call.x, call.tensor("other"), origin=call.origin)


@handles("neg")
def _neg(call: Call) -> Tensor:
    return layers.scale(call.network, call.x, -1.0, origin=call.origin)


@handles("relu")
def _relu(call: Call) -> Tensor:
    return call.network.add("relu", (call.x,), origin=call.origin)


@handles("relu6")
def _relu6(call: Call) -> Tensor:
    return call.network.add("relu6", (call.x,), origin=call.origin)


@handles("sigmoid")
def _sigmoid(call: Call) -> Tensor:
    return call.network.add("sigmoid", (call.x,), origin=call.origin)


@handles("tanh")
def _tanh(call: Call) -> Tensor:
    return call.network.add("tanh", (call.x,), origin=call.origin)


@handles("hardtanh")
def _hardtanh(call: Call) -> Tensor:
    low, high = float(call.get("min_val", -1.0)), float(call.get("max_val", 1.0))
    return layers.clip(call.network, call.x, low, high, ends=False, origin=call.origin)


@handles("clamp", "clamp_min", "clamp_max")
def _clamp(call: Call) -> Tensor:
    low, high = call.get("min", -math.inf), call.get("max", math.inf)
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        raise call.refused("a clamp to tensors is not supported")
    return layers.clip(call.network, call.x, float(low), float(high), origin=call.origin)


@handles("softmax", "_softmax")
def _softmax(call: Call) -> Tensor:
    return channels_first.softmax(call.network, call.x, int(call.get("dim")), origin=call.origin)


@handles("flatten")
def _flatten(call: Call) -> Tensor:
    start, end = int(call.get("start_dim", 0)), int(call.get("end_dim", -1))
    return layers.flatten(call.network, call.x, start, end, origin=call.origin)


@handles("view", "reshape", "_unsafe_view")
def _view(call: Call) -> Tensor:
    sizes = call.get("size") or call.get("shape")
    return layers.view(call.network, call.x, sizes, origin=call.origin)


@handles("unflatten")
def _unflatten(call: Call) -> Tensor:
    shape: Shape = call.x.shape
    axis = int(call.get("dim")) % len(shape)
    sizes = list(call.get("sizes"))
    if -1 in sizes:
        sizes[sizes.index(-1)] = shape[axis] // -math.prod(sizes)
    return call.network.reshape(call.x, (*shape[:axis], *sizes, *shape[axis + 1 :]), origin=call.origin)


@handles("squeeze")
def _squeeze(call: Call) -> Tensor:
    axes = call.get("dim")
    chosen = [axes] if isinstance(axes, int) else axes
    return layers.squeeze(call.network, call.x, chosen, origin=call.origin)


@handles("unsqueeze")
def _unsqueeze(call: Call) -> Tensor:
    return layers.unsqueeze(call.network, call.x, [int(call.get("dim"))], origin=call.origin)


@handles("cat")
def _cat(call: Call) -> Tensor:
    return layers.concat(call.network, call.get("tensors"), int(call.get("dim", 0)), origin=call.origin)


@handles("dropout", "feature_dropout", "native_dropout")
def _dropout(call: Call) -> Tensor:
    if call.get("train", False):
        raise call.refused("its dropout is in training mode", "export the model after model.eval()")
    return call.x


@handles("alias", "clone", "contiguous", "lift_fresh_copy")
def _same(call: Call) -> Tensor:
    return call.x


@handles("detach")
def _detach(call: Call) -> Tensor:
    """Of indices nothing would go back anyway."""
    if isinstance(call.x, Value) and call.x.dtype is DType.INT32:
        return call.x
    return call.network.add("detach", (call.x,), origin=call.origin)


_RANKS = {"bool": 0, "int32": 1, "int64": 1, "float16": 2, "bfloat16": 2, "float32": 3, "float64": 3}
"""What a cast to a type of no smaller rank leaves as it is; ours are float32, whatever PyTorch calls them."""


@handles("_to_copy", "to")
def _cast(call: Call) -> Tensor:
    (before,), after = call.before[:1], call.after
    if before != after and not _RANKS.get(before, 4) <= _RANKS.get(after, -1):
        raise call.refused(f"a cast of {before} to {after} is not supported, as it changes numbers")
    return call.x if after.startswith("int") else layers.as_float(call.x, origin=call.origin)
