"""What every adaptation method is: a frozen configuration with a transform, Graph to Graph.

A transform marks parameters as trainable or adds new ones. It keeps what the network computes: identity at
start is a promise that the contract test holds every method to.
"""

from __future__ import annotations

import fnmatch
import re
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node, Param
from micrograft.ops import check


@dataclass(frozen=True)
class Start:
    """What new parameters are drawn from.

    seed: of the generator. mean_square: name of a value to the mean of its squared elements over a few samples;
    a value that is missing counts as 1.
    """

    seed: int = 0
    mean_square: Mapping[str, float] = field(default_factory=dict)

    def generator(self, layer: str) -> np.random.Generator:
        """A generator of the layer's own, so that one layer's draw does not depend on the others."""
        return np.random.default_rng([self.seed, zlib.crc32(layer.encode())])


@dataclass(frozen=True)
class Method(ABC):
    """Base of all methods. `adds` tells those that put something beside frozen weights; they are applied last.

    first: the setting that may be given without its name, as in `sparse:scheme.toml`; "" for none.
    """

    name: ClassVar[str]
    adds: ClassVar[bool] = False
    first: ClassVar[str] = ""

    @abstractmethod
    def apply(self, graph: Graph, start: Start) -> Graph:
        """The graph with what this method trains marked as trainable. Raises MicrograftError on no match."""


def apply_methods(graph: Graph, methods: Sequence[Method], start: Start) -> Graph:
    """Apply several methods to one network; the order in which they are given does not matter.

    Raises MicrograftError where one of them finds nothing to train, or adds a tensor of a name that there is.
    """
    for method in sorted(methods, key=lambda method: (method.adds, method.name)):
        graph = check(method.apply(graph, start), f"method {method.name}")
    names = Counter(param.source for param in graph.params if param.learnable)
    if twice := [name for name, count in names.items() if count > 1]:
        what = f"there would be two tensors {twice[0]!r}, which an adapter cannot tell apart"
        raise MicrograftError(what, fix="leave that layer out of the method's targets, or rename it")
    return graph


def mark(graph: Graph, wanted: Callable[[Param], bool], why_none: str) -> Graph:
    """Mark the learnable parameters that `wanted` picks: real numbers, int8 weights and int32 biases.

    Raises MicrograftError(why_none) where it picks none.
    """
    chosen = {param.name for param in graph.params if param.learnable and wanted(param)}
    if not chosen:
        raise MicrograftError(why_none)
    params = [replace(param, trainable=True) if param.name in chosen else param for param in graph.params]
    return replace(graph, params=tuple(params))


def matches(layer: str, pattern: str) -> bool:
    """Whether a layer's name, or its end behind a dot, fits one of the globs in `pattern` (`|` separates them).

    A glob behind a `^` must fit the whole name. What fits a glob behind a `!` is left out.

    >>> matches("blocks.0.attn.q", "q|v"), matches("head", "conv*"), matches("conv1", "")
    (True, False, True)
    >>> matches("conv1", "^conv1"), matches("blocks.conv1", "^conv1")
    (True, False)
    >>> matches("conv1", "!head"), matches("head", "!head"), matches("conv1", "conv*|!conv1")
    (True, False, False)
    """
    globs = pattern.split("|") if pattern else []
    wanted = [glob for glob in globs if not glob.startswith("!")]
    unwanted = [glob.removeprefix("!") for glob in globs if glob.startswith("!")]
    fits = any(_fits(layer, glob) for glob in wanted) or not wanted
    return fits and not any(_fits(layer, glob) for glob in unwanted)


def _fits(layer: str, glob: str) -> bool:
    """
    >>> _fits("blocks.conv1", "conv*"), _fits("blocks.conv1", "^conv1")
    (True, False)
    """
    if glob.startswith("^"):
        return fnmatch.fnmatchcase(layer, glob.removeprefix("^"))
    return any(fnmatch.fnmatchcase(layer, each) for each in (glob, f"*.{glob}"))


def exactly(layer: str) -> str:
    """The pattern that this layer's name alone fits.

    >>> exactly("blocks[0]")
    '^blocks[[]0]'
    """
    return "^" + re.sub(r"([*?[])", r"[\1]", layer)


def adaptable(graph: Graph, ops: Sequence[str]) -> list[Node]:
    """The nodes of these operators with a frozen weight of the network's own."""
    frozen = {param.name for param in graph.params if not param.trainable}
    return [node for node in graph.nodes if node.op in ops and node.inputs[1].name in frozen]


def layers_to_adapt(graph: Graph, ops: Sequence[str], pattern: str) -> list[Node]:
    """Those of `adaptable` whose layer fits `pattern`.

    Raises MicrograftError naming the layers that there are, where none fits.
    """
    layers = adaptable(graph, ops)
    chosen = [node for node in layers if matches(node.origin, pattern)]
    if not layers:
        raise MicrograftError(_none_to_adapt(graph, ops))
    if not chosen:
        names = ", ".join(dict.fromkeys(node.origin for node in layers))
        raise MicrograftError(f"No layer fits targets={pattern!r}; the layers that can be adapted are {names}.")
    return chosen


def _none_to_adapt(graph: Graph, ops: Sequence[str]) -> str:
    """Why no layer can be adapted."""
    trained = {param.name for param in graph.trainable}
    whole = any(node.op in ops and node.inputs[1].name in trained for node in graph.nodes)
    if whole or any(node.op.startswith("sparse_") for node in graph.nodes):
        what = "No layer is left to adapt: other methods train the weights of all"
        return f"{what}; leave some out of it, or train this method alone"
    kinds = " or ".join(op for op in ops if not op.startswith("quantized_"))
    return f"No layer can be adapted: the network has no {kinds} with a frozen weight of its own."
