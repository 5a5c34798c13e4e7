"""Which channels of a weight contribute most, measured on data: `choose = "contribution"` of a sparse scheme.

A step along the gradient of one channel lowers the mean loss by that gradient's squared norm, to first order. So much
is measured in one pass over a few samples, in NumPy, and the scheme then names the channels like one that a person
wrote: whatever reads it later needs no data.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from micrograft import api
from micrograft.api import Progress
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.ops.codes_update import Layout
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse, with_channels
from micrograft.recipe import Recipe
from micrograft.reference import run
from micrograft.samples import Samples, check_inputs, check_targets
from micrograft.search.holdout import spread

SAMPLES = 64
"""Of those given so many are looked at, spread evenly."""


def choose_channels(network: Graph, recipe: Recipe, samples: Samples, progress: Progress | None = None) -> Recipe:
    """The recipe with lists of channels wherever a sparse scheme chooses them by contribution.

    samples: to learn from, with their targets, in the network's own layout. Raises MicrograftError.
    """
    lines = [line for method in _undecided(recipe) for line in method.scheme.open]
    if not lines:
        return recipe
    graph = api.prepared(network, recipe)
    gradients = _gradients(graph, recipe, lines, samples, progress)

    def decided(method: Sparse) -> Sparse:
        return Sparse(with_channels(method.scheme, graph, gradients))

    methods = (decided(each) if isinstance(each, Sparse) else each for each in recipe.methods)
    return replace(recipe, methods=tuple(methods))


def require_channels(recipe: Recipe) -> None:
    """Raise MicrograftError where data have yet to tell which channels are trained."""
    for method in _undecided(recipe):
        fix = 'train, which measures it, or set choose = "magnitude"'
        raise method.scheme.open[0].mistake("which channels contribute most has not been measured", fix)


def _undecided(recipe: Recipe) -> list[Sparse]:
    return [each for each in recipe.methods if isinstance(each, Sparse) and each.scheme.open]


def _gradients(
    graph: Graph, recipe: Recipe, lines: list[LayerScheme], samples: Samples, progress: Progress | None
) -> dict[str, Array]:
    """Name of each weight in these layers to the gradient of the mean loss: that of the real numbers it stands for."""
    layers = dict.fromkeys(line.layer for line in lines)
    whole = Sparse(Scheme(tuple(LayerScheme(layer, weight=1.0) for layer in layers)))
    _, step = api.differentiated(graph, replace(recipe, methods=(whole,), additions="float32"))
    sample, target = step.graph.inputs
    logits = step.graph.producers[step.loss.name].inputs[0]
    few = spread(samples, SAMPLES)
    assert few.y is not None, "there is nothing to learn without targets"
    x = check_inputs(few.x, sample)
    y = check_targets(few.y, target, logits.shape[-1], len(x))
    sums: dict[str, Array] = {}
    for index, (one, wanted) in enumerate(zip(x, y, strict=True)):
        values = run(step.graph, [sample.from_user(one), target.from_user(wanted.reshape(target.user_shape))])
        for name, gradient in step.gradients.items():
            sums[name] = sums.get(name, np.float64(0)) + values[gradient.name].astype(np.float64)
        if progress is not None:
            progress("measuring channels", index + 1, len(x), float(values[step.loss.name]))
    return {name: _of_reals(total / len(x), name, step.graph) for name, total in sums.items()}


def _of_reals(gradient: Array, name: str, graph: Graph) -> Array:
    """The gradient of the real numbers that a weight's codes stand for."""
    param = graph.param(name)
    assert param is not None, "what is trained is a parameter"
    quant = param.value.type.quant
    if quant is None:
        return gradient
    return gradient / Layout(quant.axis).spread(np.asarray(quant.scales), gradient.shape)
