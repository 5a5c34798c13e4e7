"""The plans that a sensible person would try for a network, whatever the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from micrograft.ir.graph import Graph
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method, exactly, layers_to_adapt
from micrograft.recipe import Recipe
from micrograft.search.pieces import compose, head_pieces, pieces

RANKS = (2, 4, 8)
"""Of LoRA."""

RATIOS = (0.5, 1.0)
"""Of the channels of a weight, in a sparse update."""

BACK = (0.25, 0.5)
"""How many of the layers, counted from the output, are adapted where not all are."""


def candidates(network: Graph, recipe: Recipe) -> Iterator[Recipe]:
    """What is tried, cheap ones first: `recipe` with other methods. Whether a network admits one shows in planning."""
    for methods in _methods(network):
        yield replace(recipe, methods=methods)


def _methods(network: Graph) -> Iterator[tuple[Method, ...]]:
    yield (Head(),)
    yield (Bias(), Head())
    yield (IA3(), Head())
    for share in BACK:
        last = _last(network, share)
        if last:
            yield (LoRA(targets=last, freeze_a=True), Head())
            yield (LoRA(targets=last), Head())
    for freeze_a in (True, False):
        for rank in RANKS:
            yield (LoRA(rank=rank, freeze_a=freeze_a),)
        yield (LoRA(freeze_a=freeze_a), Head())
    yield (LoRA(), Bias(), Head())
    for share in BACK:
        for ratio in RATIOS:
            last_layers = _last_weights(network, share, ratio)
            if last_layers:
                yield (*last_layers, Head())
    yield (Full(),)


def _last_weights(network: Graph, share: float, ratio: float) -> tuple[Method, ...]:
    """A sparse update of the last layers but the head: biases, and a share of the channels of each weight."""
    head = {piece.layer for piece in head_pieces(network)}
    every = [piece for piece in pieces(network, (ratio,), ()) if piece.layer not in head]
    layers = list(dict.fromkeys(piece.layer for piece in every if piece.kind == "weight"))
    chosen = layers[len(layers) - round(share * len(layers)) :]
    return compose(piece for piece in every if piece.layer in chosen) if len(chosen) < len(layers) else ()


def uniform(network: Graph, recipe: Recipe) -> Iterator[Recipe]:
    """Methods that treat all layers alike, to compare with."""
    plain: list[tuple[Method, ...]] = [(Head(),), (Bias(),), (Bias(), Head())]
    for freeze_a in (True, False):
        for rank in RANKS:
            lora = LoRA(rank=rank, freeze_a=freeze_a)
            plain += [(lora,), (lora, Head())]
    for methods in plain:
        yield replace(recipe, methods=methods)


def _last(network: Graph, share: float) -> str:
    """The pattern of the last layers that LoRA adapts beside the head; "" where that is none or all of them."""
    nodes = layers_to_adapt(network, ("linear", "conv", "quantized_conv"), "")
    layers = list(dict.fromkeys(node.origin for node in nodes if "|" not in node.origin))[:-1]
    count = round(share * len(layers))
    return pattern(layers[-count:]) if 0 < count < len(layers) else ""


def pattern(layers: Sequence[str]) -> str:
    """What these layers' names alone fit."""
    return "|".join(map(exactly, layers))
