"""The graph interpreter in NumPy: what the generated C must compute.

`run` computes a graph; `run_step` computes a training step and gives back what lives on to the next one. Both
run in float64 too, for the comparison with float32. Nodes run in the order of the graph, and whoever reads a
tensor after it was updated where it lies is refused, since the C code would read the new content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node, Phase, TrainStep
from micrograft.ir.types import Array, DType, Value
from micrograft.ir.verify import BrokenGraphError
from micrograft.ops import operator_of

Inputs = Mapping[str, npt.ArrayLike] | Sequence[npt.ArrayLike]
Content = Mapping[str, Array]
NOTHING: Content = MappingProxyType({})


def run(
    graph: Graph, inputs: Inputs, overrides: Content = NOTHING, *, dtype: npt.DTypeLike = np.float32
) -> dict[str, Array]:
    """Every value of `graph` by name, for one sample.

    inputs: arrays of the ports' shapes in our layout, by the name of the value or in the order of the ports.
    overrides: contents of parameters that replace their own, and of states.
    dtype: the precision of what is float32 in the graph.
    Raises MicrograftError where an input is missing or has another shape.

    >>> from micrograft.ir.graph import Port
    >>> from micrograft.ir.types import TensorType
    >>> x, y = Value("x", TensorType((1, 3))), Value("y", TensorType((1, 3)))
    >>> ports = (Port(x, (0, 1)),), (Port(y, (0, 1)),)
    >>> graph = Graph("small", *ports, params=(), nodes=(Node("relu", (x,), (y,)),))
    >>> run(graph, [[[-1, 0, 2]]])["y"]
    array([[0., 0., 2.]], dtype=float32)
    """
    machine = _Machine(graph, inputs, overrides, np.dtype(dtype))
    for node in graph.nodes:
        machine.compute(node)
    return machine.values


@dataclass(frozen=True, eq=False)
class Memory:
    """What lives from step to step: contents of trainable parameters and states, and the steps taken so far."""

    params: Content
    states: Content
    steps: int = 0

    @classmethod
    def initial(cls, step: TrainStep) -> Memory:
        """The memory before the first step."""
        return cls(
            {param.name: param.data for param in step.graph.trainable},
            {state.name: state.initial for state in step.states},
        )


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one training step computes. values: every value by name, as it was when its node ran."""

    loss: float
    values: Content
    memory: Memory


def run_step(
    step: TrainStep, inputs: Inputs, memory: Memory | None = None, *, dtype: npt.DTypeLike = np.float32
) -> StepResult:
    """One training step on one sample, from `memory` (None: the initial one).

    inputs: the network's inputs and the target, as in `run`. The nodes of the update phase run at every
    `step.accumulate`-th step only. Raises MicrograftError as `run` does.
    """
    memory = memory or Memory.initial(step)
    machine = _Machine(step.graph, inputs, {**memory.params, **memory.states}, np.dtype(dtype))
    updates = (memory.steps + 1) % step.accumulate == 0
    for node in step.graph.nodes:
        if updates or node.phase is not Phase.UPDATE:
            machine.compute(node)
    after = Memory(
        {name: machine.content[name] for name in memory.params},
        {name: machine.content[name] for name in memory.states},
        memory.steps + 1,
    )
    return StepResult(float(machine.values[step.loss.name]), machine.values, after)


class _Machine:
    """Values by name, and the present content of what nodes update where it lies."""

    def __init__(self, graph: Graph, inputs: Inputs, overrides: Content, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        given = {param.name: param.data for param in graph.params} | dict(overrides)
        self.values = {name: self._converted(np.asarray(array)) for name, array in given.items()}
        for value, array in zip((port.value for port in graph.inputs), _in_order(graph, inputs), strict=True):
            self.values[value.name] = self._input(value, array)
        self.content = dict(self.values)
        self._home: dict[str, str] = {}  # name of an updated tensor's new version to that of its home
        self._version: dict[str, str | None] = {}  # home to its present version

    def compute(self, node: Node) -> None:
        """Run one node."""
        operator = operator_of(node)
        for value in node.inputs:
            self._check_current(node, value)
        with np.errstate(over="ignore"):
            outputs = operator.evaluate(node.attrs, [self.values[value.name] for value in node.inputs])
        for value, array in zip(node.outputs, outputs, strict=False):
            self.values[value.name] = self._converted(np.asarray(array))
        for output, index in operator.mutates:
            name = node.inputs[index].name
            home = self._home.get(name, name)
            self.content[home] = self._converted(np.asarray(outputs[output]))
            self._version[home] = node.outputs[output].name if output < len(node.outputs) else None
            if output < len(node.outputs):
                self._home[node.outputs[output].name] = home

    def _check_current(self, node: Node, value: Value) -> None:
        home = self._home.get(value.name, value.name)
        if self._version.get(home, value.name) != value.name:
            raise BrokenGraphError(f"{node.op} ({node.origin}) reads {value} after it was updated")

    def _converted(self, array: Array) -> Array:
        return array.astype(self._dtype, copy=False) if array.dtype.kind == "f" else array

    def _input(self, value: Value, given: npt.ArrayLike) -> Array:
        array = np.asarray(given)
        if array.shape != value.shape:
            raise MicrograftError(
                f"the array has shape {array.shape}, not {value.shape}", where=f"input '{value.name}'"
            )
        return array.astype(self._dtype if value.dtype is DType.FLOAT32 else value.dtype.numpy)


def _in_order(graph: Graph, inputs: Inputs) -> list[npt.ArrayLike]:
    """The inputs in the order of the ports."""
    names = [port.value.name for port in graph.inputs]
    if isinstance(inputs, Mapping):
        if set(inputs) != set(names):
            raise MicrograftError(f"the inputs are {sorted(inputs)}, not {sorted(names)}", where=graph.name)
        return [inputs[name] for name in names]
    if len(inputs) != len(names):
        raise MicrograftError(f"there are {len(inputs)} inputs, not {len(names)}: {names}", where=graph.name)
    return list(inputs)
