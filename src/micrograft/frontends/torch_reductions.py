"""ATen operators that make one number of an axis, or of several."""

from __future__ import annotations

from micrograft.frontends import layers, reductions, zoo
from micrograft.frontends.einsum import einsum
from micrograft.frontends.network import Tensor
from micrograft.frontends.torch_operators import Call, handles


def _axes(call: Call) -> list[int]:
    """The axes that are reduced; all where none is given."""
    given = call.get("dim")
    if given is None or given == []:
        return list(range(len(call.x.shape)))
    return [given] if isinstance(given, int) else list(given)


def _keeps(call: Call) -> bool:
    return bool(call.get("keepdim", False))


@handles("sum")
def _sum(call: Call) -> Tensor:
    return layers.total(call.network, call.x, _axes(call), keep=_keeps(call), mean=False, origin=call.origin)


def _largest(call: Call) -> Tensor:
    return zoo.maximum(call.network, call.x, _axes(call), keep=_keeps(call), origin=call.origin)


def _smallest(call: Call) -> Tensor:
    negated = layers.scale(call.network, call.x, -1.0, origin=call.origin)
    y = zoo.maximum(call.network, negated, _axes(call), keep=_keeps(call), origin=call.origin)
    return layers.scale(call.network, y, -1.0, origin=call.origin)


@handles("amax")
def _amax(call: Call) -> Tensor:
    return _largest(call)


@handles("amin")
def _amin(call: Call) -> Tensor:
    return _smallest(call)


@handles("max")
def _max(call: Call) -> Tensor | tuple[Tensor | None, ...]:
    """Of all elements; of two tensors; of an axis, with indices, which nobody may read."""
    if "other" in call.arguments:
        return zoo.choose(call.network, "maximum", (call.x, call.tensor("other")), origin=call.origin)
    return (_largest(call), None) if "dim" in call.arguments else _largest(call)


@handles("min")
def _min(call: Call) -> Tensor | tuple[Tensor | None, ...]:
    if "other" in call.arguments:
        return zoo.choose(call.network, "minimum", (call.x, call.tensor("other")), origin=call.origin)
    return (_smallest(call), None) if "dim" in call.arguments else _smallest(call)


def _variance(call: Call) -> Tensor:
    correction = float(call.get("correction", 1)) if call.get("unbiased", True) else 0.0
    return reductions.variance(
        call.network, call.x, _axes(call), correction=correction, keep=_keeps(call), origin=call.origin
    )


@handles("var")
def _var(call: Call) -> Tensor:
    return _variance(call)


def _deviation(call: Call) -> Tensor:
    return call.network.add("sqrt", (_variance(call),), origin=call.origin)


@handles("std")
def _std(call: Call) -> Tensor:
    return _deviation(call)


def _with_mean(call: Call, spread: Tensor) -> tuple[Tensor, ...]:
    mean = layers.total(call.network, call.x, _axes(call), keep=_keeps(call), mean=True, origin=call.origin)
    return spread, mean


@handles("var_mean")
def _var_mean(call: Call) -> tuple[Tensor, ...]:
    return _with_mean(call, _variance(call))


@handles("std_mean")
def _std_mean(call: Call) -> tuple[Tensor, ...]:
    return _with_mean(call, _deviation(call))


@handles("linalg_vector_norm", "norm")
def _norm(call: Call) -> Tensor:
    order = call.get("ord", call.get("p", 2))
    return reductions.norm(call.network, call.x, float(order), _axes(call), keep=_keeps(call), origin=call.origin)


@handles("logsumexp")
def _log_sum_exp(call: Call) -> Tensor:
    return reductions.log_sum_exp(call.network, call.x, _axes(call), keep=_keeps(call), origin=call.origin)


@handles("cumsum")
def _cumsum(call: Call) -> Tensor:
    return reductions.cumulative(call.network, call.x, int(call.get("dim")), origin=call.origin)


@handles("einsum")
def _einsum(call: Call) -> Tensor:
    return einsum(call.network, str(call.get("equation")), call.get("tensors"), origin=call.origin)


@handles("_weight_norm", "_weight_norm_interface")
def _weight_norm(call: Call) -> Tensor:
    """g · v / |v|, the norm over all axes but one."""
    v, axis = call.tensor("v"), int(call.get("dim", 0))
    axes = [each for each in range(len(v.shape)) if each != axis % len(v.shape)]
    size = reductions.norm(call.network, v, 2, axes, keep=True, origin=call.origin)
    factor = layers.divide(call.network, call.tensor("g"), size, origin=call.origin)
    return layers.arithmetic(call.network, "mul", v, factor, origin=call.origin)
