"""A short way to write a graph down, and whether two graphs mean the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from micrograft import reference
from micrograft.ir.graph import Attrs, Graph, Param, Port, identity, param_of
from micrograft.ir.types import Array, TensorType, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder


class Drawing:
    """A graph in the making, with random constants."""

    def __init__(self) -> None:
        self._builder = Builder()
        self._inputs: list[Port] = []
        self._params: list[Param] = []
        self._generator = np.random.default_rng(0)

    def input(self, *shape: int) -> Value:
        value = Value(self._builder.unique("x"), TensorType(shape))
        self._inputs.append(Port(value, identity(len(shape)), value.name))
        return value

    def param(self, name: str, *shape: int, trainable: bool = False) -> Value:
        data = self._generator.uniform(0.5, 1.5, shape).astype(np.float32)
        self._params.append(replace(param_of(name, data), trainable=trainable))
        return self._params[-1].value

    def add(self, op: str, *inputs: Value, attrs: Attrs | None = None, origin: str = "") -> Value:
        return self._builder.add(op, inputs, attrs, origin=origin)

    def graph(self, *outputs: Value) -> Graph:
        ports = tuple(Port(value, identity(len(value.shape)), value.name) for value in outputs)
        return check(Graph("test", tuple(self._inputs), ports, tuple(self._params), tuple(self._builder.nodes)))


def results(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The graph's outputs; inputs and outputs in the user's layout."""
    values = reference.run(graph, [port.from_user(x) for port, x in zip(graph.inputs, inputs, strict=True)])
    return [port.to_user(values[port.value.name]) for port in graph.outputs]


def assert_equal(before: Graph, after: Graph) -> None:
    """Both graphs, in the user's layout, give the same for the same inputs."""
    generator = np.random.default_rng(1)
    inputs = [generator.standard_normal(port.user_shape).astype(np.float32) for port in before.inputs]
    for a, b in zip(results(before, inputs), results(after, inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]
