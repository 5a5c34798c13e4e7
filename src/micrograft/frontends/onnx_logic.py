"""Handlers of ONNX's comparisons and of what is done with their truths, which are float32 here, 1 or 0."""

from __future__ import annotations

from micrograft.frontends import layers, zoo
from micrograft.frontends.network import Tensor
from micrograft.frontends.onnx_operators import Call, Handler, handles

_COMPARISONS = {
    "Greater": ("greater", False),
    "Less": ("greater", True),
    "GreaterOrEqual": ("greater_equal", False),
    "LessOrEqual": ("greater_equal", True),
    "Equal": ("equal", False),
}
"""ONNX comparison to ours, and whether its operands change places."""


def _comparison(op: str, swapped: bool) -> Handler:
    def draw(call: Call) -> Tensor:
        a, b = call.x, call.tensor(1)
        return call.network.add(op, (b, a) if swapped else (a, b), origin=call.origin)

    return draw


for _name, (_op, _swapped) in _COMPARISONS.items():
    handles(_name)(_comparison(_op, _swapped))


@handles("Not")
def _not(call: Call) -> Tensor:
    return zoo.negation(call.network, call.x, origin=call.origin)


@handles("And")
def _and(call: Call) -> Tensor:
    return call.network.add("mul", (call.x, call.tensor(1)), origin=call.origin)


@handles("Or")
def _or(call: Call) -> Tensor:
    return call.network.add("maximum", (call.x, call.tensor(1)), origin=call.origin)


@handles("Where")
def _where(call: Call) -> Tensor:
    return call.network.add("where", (call.x, call.tensor(1), call.tensor(2)), origin=call.origin)


@handles("ReduceMax")
def _reduce_max(call: Call) -> Tensor:
    return _reduced(call, call.x)


@handles("ReduceMin")
def _reduce_min(call: Call) -> Tensor:
    negated = layers.scale(call.network, call.x, -1.0, origin=call.origin)
    return layers.scale(call.network, _reduced(call, negated), -1.0, origin=call.origin)


def _reduced(call: Call, x: Tensor) -> Tensor:
    axes = call.axes(1)
    if not axes and call.integer("noop_with_empty_axes", 0):
        return x
    every = axes or range(len(x.shape))
    return zoo.maximum(call.network, x, every, keep=bool(call.integer("keepdims", 1)), origin=call.origin)
