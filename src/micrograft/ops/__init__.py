"""Every operator, one file each. The table is found, not written: a new file is all that a new operator needs."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Value
from micrograft.ir.verify import verify
from micrograft.ops.operator import Operator, Types

LAYERS = ("linear", "conv", "depthwise_conv")
"""Operators in float32 that weigh their input and may add a bias: what `quantized_` operators of the same name do in
codes."""


@functools.cache
def operators() -> Mapping[str, Operator]:
    """Name to operator, for all of them.

    >>> "linear" in operators()
    True
    """
    found: dict[str, Operator] = {}
    for module in pkgutil.iter_modules(__path__):
        for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, Operator) and found.setdefault(value.name, value) is not value:
                raise TypeError(f"two operators are named {value.name}")
    return MappingProxyType(dict(sorted(found.items())))


def operator_of(node: Node) -> Operator:
    """The operator of a node."""
    return operators()[node.op]


def infer(node: Node) -> Types:
    """Types of all possible outputs of a node."""
    return operator_of(node).types(node)


def check(graph: Graph, after: str = "", states: Sequence[Value] = ()) -> Graph:
    """Verify a graph against the operators' own shape rules. Raises BrokenGraphError."""
    return verify(graph, infer, after, states)
