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
from micrograft.peft.method import Method, adaptable, exactly
from micrograft.recipe import Recipe
from micrograft.search.pieces import Piece, compose, head_pieces, pieces

RANKS = (2, 4, 8)
"""Of LoRA."""

RATIOS = (0.5, 1.0)
"""Of the channels of a weight, in a sparse update."""

BACK = (0.25, 0.5)
"""How many of the layers, counted from the output, are adapted where not all are."""


RANK = 4
"""Of LoRA, where one rank stands for all."""

DEPTHS = (0.25, 0.5, 0.75, 1.0)
"""Of the layers, from the output back, which are trained in one way."""

WAYS: tuple[tuple[str, ...], ...] = ((), ("bias",), ("bias", "lora_b"), ("bias", "lora"), ("bias", "weight"))
"""How the layers of a network may be trained, each needing more RAM than those before it."""


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
    for methods in (*plain, (Full(),)):
        yield replace(recipe, methods=methods)


def as_pieces(methods: Sequence[Method], network: Graph) -> frozenset[Piece]:
    """The pieces that methods of `uniform` train."""
    every, found = pieces(network, (1.0,), RANKS), set[Piece]()
    if Head() in methods:
        found |= head_pieces(network)
    if Full() in methods:
        found |= {piece for piece in every if piece.kind in ("bias", "weight")}
    if Bias() in methods:
        found |= {piece for piece in every if piece.kind == "bias"}
    whole = {piece.slot for piece in found}
    for lora in (method for method in methods if isinstance(method, LoRA)):
        kind = ("lora_b" if lora.freeze_a else "lora", lora.rank)
        found |= {piece for piece in every if (piece.kind, piece.amount) == kind and piece.slot not in whole}
    return frozenset(found)


def layered(network: Graph) -> Iterator[frozenset[Piece]]:
    """The last layers trained in one way, those before them in a cheaper one or not at all; the head as a whole.

    The way back from a layer runs through all layers behind it, so what RAM buys is ordered by depth.
    """
    head, every = head_pieces(network), pieces(network, (1.0,), (RANK,))
    taken = {piece.slot for piece in head}
    body = [piece for piece in every if piece.slot not in taken]
    layers = list(dict.fromkeys(piece.layer for piece in body))
    for share in DEPTHS:
        last = set(layers[len(layers) - max(1, round(share * len(layers))) :])
        for behind in range(1, len(WAYS)):
            for before in range(behind if len(last) < len(layers) else 1):
                chosen = {piece for piece in body if piece.kind in WAYS[behind if piece.layer in last else before]}
                yield frozenset(head | chosen)


def _last(network: Graph, share: float) -> str:
    """The pattern of the last layers that LoRA adapts beside the head; "" where that is none or all of them."""
    nodes = adaptable(network, ("linear", "conv", "quantized_conv"))
    layers = list(dict.fromkeys(node.origin for node in nodes if "|" not in node.origin))[:-1]
    count = round(share * len(layers))
    return pattern(layers[-count:]) if 0 < count < len(layers) else ""


def pattern(layers: Sequence[str]) -> str:
    """What these layers' names alone fit."""
    return "|".join(map(exactly, layers))
