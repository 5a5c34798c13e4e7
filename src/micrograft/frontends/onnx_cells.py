"""Which cell an ONNX recurrent layer runs, where it is not the usual one: activations by name, clipping, options."""

from __future__ import annotations

from collections.abc import Iterator

from micrograft.frontends import zoo
from micrograft.frontends.network import Network, Tensor
from micrograft.frontends.onnx_operators import Call
from micrograft.frontends.unrolled import Activation, Cell
from micrograft.ops.hard_sigmoid import HardSigmoidAttrs

_USUAL = {"lstm": ("sigmoid", "tanh", "tanh"), "gru": ("sigmoid", "tanh"), "rnn": ("tanh",)}
_PLAIN = ("sigmoid", "tanh", "relu", "softplus")
_DEFAULTS = {"leakyrelu": (0.01, 0.0), "elu": (1.0, 0.0), "hardsigmoid": (0.2, 0.5)}
"""Activations with settings: alpha and beta."""


def activations(call: Call, kind: str, directions: int) -> tuple[str, ...]:
    """The names of a layer's activations, in small letters, those of one direction behind those of the other."""
    given = tuple(each.decode().lower() for each in call.attributes.get("activations", ()))
    return given or _USUAL[kind] * directions


def is_usual(call: Call, kind: str, directions: int) -> bool:
    """Whether our operators over whole sequences compute it."""
    names, usual = activations(call, kind, directions), _USUAL[kind] * directions
    plain_relu = kind == "rnn" and set(names) == {"relu"}
    unusual = "clip" in call.attributes or call.integer("input_forget", 0) or call.optional(7) is not None
    reset_first = kind == "gru" and not call.integer("linear_before_reset", 0)
    return (names == usual or plain_relu) and not unusual and not reset_first


def cells(call: Call, kind: str, directions: int) -> list[Cell]:
    """The cell of each direction. Raises MicrograftError for an activation that is not known."""
    alphas = iter(call.attributes.get("activation_alpha", ()))
    betas = iter(call.attributes.get("activation_beta", ()))
    every = [_activation(call, name, alphas, betas) for name in activations(call, kind, directions)]
    count = len(_USUAL[kind])
    return [
        Cell(
            kind,
            tuple(every[direction * count : (direction + 1) * count]),
            call.number("clip", 0.0),
            bool(call.integer("input_forget", 0)),
            not call.integer("linear_before_reset", 0),
        )
        for direction in range(directions)
    ]


def _activation(call: Call, name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    """The function of a name; settings are taken in the order in which the functions that have some are named."""
    if name in _PLAIN:
        return lambda network, x, origin: network.add(name, (x,), origin=origin)
    if name == "softsign":
        return lambda network, x, origin: zoo.softsign(network, x, origin=origin)
    if name not in _DEFAULTS:
        raise call.refused(f"a recurrent layer with the activation {name} is not supported")
    alpha, beta = _DEFAULTS[name]
    alpha = next(alphas, alpha)
    beta = next(betas, beta) if name == "hardsigmoid" else beta

    def function(network: Network, x: Tensor, origin: str) -> Tensor:
        if name == "leakyrelu":
            return zoo.leaky_relu(network, x, alpha, origin=origin)
        if name == "elu":
            return zoo.elu(network, x, alpha, origin=origin)
        return network.add("hard_sigmoid", (x,), HardSigmoidAttrs(alpha, beta), origin=origin)

    return function
