"""Checks a whole graph between passes, so that a broken pass is caught where it broke.

Structure is checked here; the shape rules are the operators' and are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import TensorType, Value

InferTypes = Callable[[Node], Sequence[TensorType]]


class BrokenGraphError(AssertionError):
    """A pass returned a graph that breaks an invariant: a fault of micrograft, never of the user."""


def verify(graph: Graph, infer: InferTypes, after: str = "", states: Sequence[Value] = ()) -> Graph:
    """Return `graph` if each value is defined once, before it is read, with the type its operator says.

    infer: the operators' shape rules. after: name of the pass that made the graph, for the message.
    states: values that live beside the graph. Raises BrokenGraphError.
    """
    where = f" after {after}" if after else ""
    defined: dict[str, TensorType] = {}
    for value in (*(port.value for port in graph.inputs), *(param.value for param in graph.params), *states):
        if value.name in defined:
            raise BrokenGraphError(f"{value.name} is defined twice{where}")
        defined[value.name] = value.type
    for param in graph.params:
        if param.data.shape != param.value.shape:
            raise BrokenGraphError(f"{param.name} has data of {param.data.shape}, not {param.value.shape}{where}")
    for node in graph.nodes:
        for value in node.inputs:
            if defined.get(value.name) != value.type:
                found = defined.get(value.name, "nothing")
                raise BrokenGraphError(f"{node.op} ({node.origin}) reads {value}, but finds {found}{where}")
        expected = infer(node)
        for value, type_ in zip(node.outputs, expected, strict=False):
            if value.type != type_:
                raise BrokenGraphError(f"{node.op} ({node.origin}) gives {type_}, not {value}{where}")
            if value.name in defined:
                raise BrokenGraphError(f"{value.name} is defined twice{where}")
            defined[value.name] = value.type
    for port in graph.outputs:
        if defined.get(port.value.name) != port.value.type:
            raise BrokenGraphError(f"output {port.value} is not defined{where}")
    return graph
