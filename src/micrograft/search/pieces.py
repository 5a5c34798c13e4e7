"""What could be trained in each layer, piece by piece, and what a set of pieces is as methods.

A layer's weight is trained in one way at most: a share of its channels where it lies, or through LoRA.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Value
from micrograft.ops import LAYERS, operator_of
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method, adaptable, exactly
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse

Kind = Literal["bias", "weight", "lora", "lora_b"]

RATIOS = (0.125, 0.25, 0.5, 1.0)
"""Shares of a weight's channels that are tried."""

RANKS = (4,)
"""Of LoRA, with A trained (`lora`) and frozen (`lora_b`)."""

_SHARED = tuple(f"{codes}{base}" for codes in ("", "quantized_") for base in LAYERS)
"""Operators of whose weight a share can be trained."""

_ADAPTED = tuple(f"{codes}{base}" for codes in ("", "quantized_") for base in ("linear", "conv"))
"""Operators that LoRA adapts, but for grouped ones."""


@dataclass(frozen=True, order=True)
class Piece:
    """One way of training something in one layer. amount: share of the weight's channels, or LoRA's rank, or 1.

    >>> str(Piece("conv1", "weight", 0.25)), str(Piece("conv1", "bias")), str(Piece("conv1", "lora_b", 4))
    ('conv1 weight 25 %', 'conv1 bias', 'conv1 LoRA 4, B alone')
    """

    layer: str
    kind: Kind
    amount: float = 1.0

    @property
    def slot(self) -> tuple[str, bool]:
        """Two pieces of the same slot exclude each other."""
        return self.layer, self.kind == "bias"

    def __str__(self) -> str:
        text = {"bias": "bias", "weight": f"weight {100 * self.amount:g} %"}
        return f"{self.layer} {text.get(self.kind, f'LoRA {self.amount:g}')}" + (
            ", B alone" if self.kind == "lora_b" else ""
        )


def pieces(network: Graph, ratios: Sequence[float] = RATIOS, ranks: Sequence[int] = RANKS) -> tuple[Piece, ...]:
    """Everything that could be trained, layer by layer."""
    learnable = {param.name for param in network.params if param.learnable}
    found: dict[Piece, None] = {}
    for node in network.nodes:
        for index, value in enumerate(node.inputs):
            if value.name in learnable and "|" not in node.origin:
                found |= dict.fromkeys(_of_tensor(node, value, operator_of(node).role(index), ratios))
    for layer in _lora_layers(network):
        for rank in ranks:
            found |= {Piece(layer, "lora", rank): None, Piece(layer, "lora_b", rank): None}
    order = {layer: place for place, layer in enumerate(dict.fromkeys(piece.layer for piece in found))}
    return tuple(sorted(found, key=lambda piece: (order[piece.layer], piece)))


def compose(chosen: Iterable[Piece]) -> tuple[Method, ...]:
    """The methods that train these pieces and nothing else.

    >>> [method.name for method in compose([Piece("a", "bias"), Piece("a", "lora", 4), Piece("b", "weight", 0.5)])]
    ['sparse', 'lora']
    """
    wanted = sorted(chosen)
    layers = dict.fromkeys(piece.layer for piece in wanted if piece.kind in ("bias", "weight"))
    lines = []
    for layer in layers:
        own = {piece.kind: piece.amount for piece in wanted if piece.layer == layer}
        lines.append(LayerScheme(layer, bias="bias" in own, weight=own.get("weight", 0.0)))
    methods: list[Method] = [Sparse(Scheme(tuple(lines)))] if lines else []
    kinds = dict.fromkeys((piece.kind, piece.amount) for piece in wanted if piece.kind in ("lora", "lora_b"))
    for kind, rank in kinds:
        targets = "|".join(exactly(piece.layer) for piece in wanted if (piece.kind, piece.amount) == (kind, rank))
        methods.append(LoRA(rank=int(rank), targets=targets, freeze_a=kind == "lora_b"))
    return tuple(methods)


def head_pieces(network: Graph) -> frozenset[Piece]:
    """Weight and bias of the last layer that has a weight."""
    every = pieces(network, (1.0,), ())
    last = next((piece.layer for piece in reversed(every) if piece.kind == "weight"), None)
    return frozenset(piece for piece in every if piece.layer == last and _whole(piece))


def _whole(piece: Piece) -> bool:
    return piece.kind == "bias" or (piece.kind == "weight" and piece.amount == 1)


def _of_tensor(node: Node, value: Value, role: str | None, ratios: Sequence[float]) -> Iterator[Piece]:
    """A bias, or shares of a weight's input channels; of shares that are as many channels the largest one."""
    if role == "bias":
        yield Piece(node.origin, "bias")
    if role == "weight":
        shares = {max(1, int(ratio * value.shape[-1] + 0.5)): ratio for ratio in sorted(ratios)}
        for ratio in shares.values() if node.op in _SHARED else (1.0,):
            yield Piece(node.origin, "weight", ratio)


def _lora_layers(network: Graph) -> Iterator[str]:
    for node in adaptable(network, _ADAPTED):
        conv = getattr(node.attrs, "conv", node.attrs)
        if getattr(conv, "groups", 1) == 1 and "|" not in node.origin:
            yield node.origin
