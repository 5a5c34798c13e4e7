"""What could be done instead to lower a plan's memory, read off what the plan holds at its peak.

Nothing is claimed here: each variation is a recipe, and whoever asked plans it and sees what it saves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from micrograft.ir.graph import Graph, Phase
from micrograft.ir.types import DType
from micrograft.passes.attach_optimizer import SGD, Adam
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method, exactly, matches
from micrograft.peft.scheme import Scheme
from micrograft.peft.sparse import Sparse
from micrograft.planning.plan import Plan, Purpose
from micrograft.recipe import GRADIENTS, Recipe

_LAYERS = 3
"""Layers that are looked at one by one: those that keep most at the peak."""


@dataclass(frozen=True)
class Variation:
    """Another recipe for the same network. what: how it differs, in words."""

    what: str
    recipe: Recipe


def variations(recipe: Recipe, graph: Graph, plan: Plan) -> Iterator[Variation]:
    """Recipes that may need less than `recipe`, whose adapted network is `graph` and whose step is `plan`."""
    yield from _settings(recipe)
    if any(value.dtype is DType.INT8 for value in graph.values):
        yield from _narrower(recipe)
    for index, method in enumerate(recipe.methods):
        for what, others in _instead_of(method, graph, plan):
            methods = (*recipe.methods[:index], *others, *recipe.methods[index + 1 :])
            if methods:
                yield Variation(what, replace(recipe, methods=methods))
    if recipe.methods != (Head(),):
        yield Variation("train the head alone instead", replace(recipe, methods=(Head(),)))


def keepers(plan: Plan) -> tuple[str, ...]:
    """The layers whose backward pass reads what is kept at the peak, those that keep most first."""
    live = [buffer for buffer in plan.live(plan.peak_position) if buffer.purpose is Purpose.ACTIVATION]
    kept = {plan.aliases.get(name, name): buffer.size for buffer in live for name in buffer.values}
    held: dict[str, int] = {}
    for node in plan.schedule[plan.peak_position :]:
        if node.phase is Phase.BACKWARD:
            for name in {plan.aliases.get(value.name, value.name) for value in node.inputs}:
                held[node.origin] = held.get(node.origin, 0) + kept.get(name, 0)
    return tuple(sorted((layer for layer in held if held[layer]), key=lambda layer: (-held[layer], layer)))


def _settings(recipe: Recipe) -> Iterator[Variation]:
    """The same methods with other settings around them."""
    clip, optimizer = recipe.clip, recipe.optimizer
    if clip is not None and clip.scope == "global":
        what = "update at once: clip each tensor by its own norm instead of all together"
        yield Variation(what, replace(recipe, clip=replace(clip, scope="tensor")))
    if recipe.accumulate > 1:
        yield Variation("update after each sample instead of accumulating", replace(recipe, accumulate=1))
    if isinstance(optimizer, Adam):
        plain = SGD(lr=optimizer.lr)
        yield Variation("plain SGD, which holds no state; it wants another learning rate", _with(recipe, plain))
    elif optimizer.momentum:
        yield Variation("SGD without momentum, which holds no state", _with(recipe, replace(optimizer, momentum=0.0)))


def _narrower(recipe: Recipe) -> Iterator[Variation]:
    """The same training of an int8 network in integers of fewer bits."""
    for dtype in GRADIENTS[GRADIENTS.index(recipe.gradients) + 1 :]:
        what = f"compute gradients in {dtype} and hold adapters and head in it"
        yield Variation(what, replace(recipe, gradients=dtype, additions=dtype))


def _with(recipe: Recipe, optimizer: SGD) -> Recipe:
    return replace(recipe, optimizer=optimizer)


def _instead_of(method: Method, graph: Graph, plan: Plan) -> Iterator[tuple[str, tuple[Method, ...]]]:
    """What may stand in a method's place, with words for it."""
    if isinstance(method, LoRA):
        yield from _instead_of_lora(method, _adapted(method, graph), keepers(plan))
    if isinstance(method, Sparse):
        yield from _instead_of_sparse(method, keepers(plan))
    if isinstance(method, IA3):
        scaled = [layer for layer in keepers(plan) if matches(layer, method.targets)]
        for layer in scaled[:_LAYERS]:
            yield f"leave layer {layer} alone", (replace(method, targets=_without(method.targets, layer)),)
    if isinstance(method, Full):
        yield "train LoRA and the head instead", (LoRA(), Head())
        yield "train biases and the head instead", (Bias(), Head())


def _instead_of_lora(
    method: LoRA, adapted: tuple[str, ...], keeping: tuple[str, ...]
) -> Iterator[tuple[str, tuple[Method, ...]]]:
    whole = not method.freeze_a
    if whole:
        yield "freeze A of every layer, train B alone", (replace(method, freeze_a=True),)
    if method.rank > 1:
        yield f"rank {method.rank // 2} instead of {method.rank}", (replace(method, rank=method.rank // 2),)
    every = dict.fromkeys((*keeping, *adapted))
    for layer in [layer for layer in every if layer in adapted and "|" not in layer][:_LAYERS]:
        others = replace(method, targets=_without(method.targets, layer)) if len(adapted) > 1 else None
        rest = () if others is None else (others,)
        if whole and others is not None:
            alone = replace(method, targets=exactly(layer), freeze_a=True)
            yield f"freeze A of layer {layer}, train its B alone", (others, alone)
        yield f"leave layer {layer} alone", rest


def _instead_of_sparse(method: Sparse, keeping: tuple[str, ...]) -> Iterator[tuple[str, tuple[Method, ...]]]:
    layers = method.scheme.layers
    named = {each.layer: each for each in layers}
    for layer in [named[name] for name in dict.fromkeys((*keeping, *named)) if name in named][:_LAYERS]:
        rest = tuple(each for each in layers if each != layer)
        yield f"leave layer {layer.layer} alone", (Sparse(Scheme(rest)),) if rest else ()
        if layer.weight:
            half = replace(layer, weight=layer.weight / 2)
            what = f"train {50 * layer.weight:g} % of the channels of layer {layer.layer} instead of"
            others = tuple(half if each == layer else each for each in layers)
            yield f"{what} {100 * layer.weight:g} %", (Sparse(Scheme(others)),)


def _adapted(method: LoRA, graph: Graph) -> tuple[str, ...]:
    """The layers that a LoRA adapts."""
    ending = ".lora_B.weight"
    layers = (param.source.removesuffix(ending) for param in graph.params if param.source.endswith(ending))
    return tuple(layer for layer in layers if matches(layer, method.targets))


def _without(targets: str, layer: str) -> str:
    """The pattern that leaves one layer out as well."""
    return f"{targets}|!{exactly(layer)}" if targets else f"!{exactly(layer)}"
