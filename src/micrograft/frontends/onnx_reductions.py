"""ONNX operators that make one number of an axis, or of several."""

from __future__ import annotations

import math

from micrograft.frontends import layers, reductions
from micrograft.frontends.einsum import einsum
from micrograft.frontends.network import Tensor
from micrograft.frontends.onnx_operators import Call, handles


def _axes(call: Call) -> tuple[int, ...]:
    """The axes that are reduced: all where none is given, unless that means none."""
    axes = call.axes(1)
    if axes or call.integer("noop_with_empty_axes", 0):
        return axes or ()
    return tuple(range(len(call.x.shape)))


def _keeps(call: Call) -> bool:
    return bool(call.integer("keepdims", 1))


def _total(call: Call, x: Tensor) -> Tensor:
    return layers.total(call.network, x, _axes(call), keep=_keeps(call), mean=False, origin=call.origin)


@handles("ReduceSum")
def _sum(call: Call) -> Tensor:
    return _total(call, call.x)


@handles("ReduceSumSquare")
def _sum_square(call: Call) -> Tensor:
    return _total(call, call.network.add("mul", (call.x, call.x), origin=call.origin))


@handles("ReduceLogSum")
def _log_sum(call: Call) -> Tensor:
    return call.network.add("log", (_total(call, call.x),), origin=call.origin)


@handles("ReduceLogSumExp")
def _log_sum_exp(call: Call) -> Tensor:
    axes = _axes(call)
    return reductions.log_sum_exp(call.network, call.x, axes, keep=_keeps(call), origin=call.origin) if axes else call.x


@handles("ReduceL1")
def _l1(call: Call) -> Tensor:
    return reductions.norm(call.network, call.x, 1, _axes(call), keep=_keeps(call), origin=call.origin)


@handles("ReduceL2")
def _l2(call: Call) -> Tensor:
    return reductions.norm(call.network, call.x, 2, _axes(call), keep=_keeps(call), origin=call.origin)


@handles("LpNormalization")
def _lp_normalization(call: Call) -> Tensor:
    axis, order = call.integer("axis", -1), call.integer("p", 2)
    size = reductions.norm(call.network, call.x, order, [axis], keep=True, origin=call.origin)
    size = layers.clip(call.network, size, reductions.LEAST, math.inf, origin=call.origin)  # zeros stay zeros
    return layers.divide(call.network, call.x, size, origin=call.origin)


@handles("CumSum")
def _cumsum(call: Call) -> Tensor:
    axis = call.constant(1)
    if axis is None:
        raise call.refused("its axis is missing")
    return reductions.cumulative(
        call.network, call.x, int(axis.item()), exclusive=bool(call.integer("exclusive", 0)),
        reverse=bool(call.integer("reverse", 0)), origin=call.origin,
    )  # fmt: skip


@handles("Einsum")
def _einsum(call: Call) -> Tensor:
    operands = [call.tensor(index) for index in range(len(call.inputs))]
    return einsum(call.network, call.text("equation", ""), operands, origin=call.origin)
