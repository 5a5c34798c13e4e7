"""The one graph that every pass reads and returns.

A graph is a list of nodes in an order that defines each value before it is read, the parameters they use
and the ports to the outside. All of it is frozen: a pass returns a new graph.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.types import Array, DType, Quantization, Shape, TensorType, Value


@dataclass(frozen=True)
class Attrs:
    """Base of an operator's attributes; an operator without any uses this class itself."""


class Phase(enum.Enum):
    """Which part of a training step a node belongs to."""

    FORWARD = "forward"
    BACKWARD = "backward"
    UPDATE = "update"


@dataclass(frozen=True)
class Node:
    """One operation. `origin` is the user's own layer name, carried into comments, errors and reports."""

    op: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    attrs: Attrs = field(default_factory=Attrs)
    origin: str = ""
    phase: Phase = Phase.FORWARD


@dataclass(frozen=True, eq=False)
class Param:
    """A tensor that comes with the network.

    data: in our layout. source: the user's own name of it. permutation: takes our axes to the user's, so
    that `data.transpose(permutation)` has the shape that the user knows, or has the elements of `user_shape`
    in order. axes: our axes split finer, where `permutation` moves parts of them (the columns of a linear
    layer behind a flatten). learnable: whether it is one that training moves (a weight, not a running mean).
    frozen: whether the user's framework was told to leave it. trainable: whether this step trains it. grid: the
    quantization that `data`, in real numbers, came from; its axis is one of the user's.
    """

    value: Value
    data: Array
    source: str
    permutation: tuple[int, ...]
    learnable: bool = True
    trainable: bool = False
    user_shape: Shape | None = None
    axes: Shape | None = None
    grid: Quantization | None = None
    frozen: bool = False

    @property
    def name(self) -> str:
        return self.value.name

    def to_user(self, data: Array) -> Array:
        """`data` (in our layout) as the user's framework holds it."""
        permuted = data.reshape(self.axes or data.shape).transpose(self.permutation)
        return np.asarray(permuted if self.user_shape is None else permuted.reshape(self.user_shape), order="C")

    def from_user(self, data: Array) -> Array:
        """`data` (as the user's framework holds it) in our layout."""
        axes = self.axes or self.value.shape
        permuted = data.reshape([axes[axis] for axis in self.permutation])
        return np.ascontiguousarray(permuted.transpose(np.argsort(self.permutation)).reshape(self.value.shape))

    def stored(self, given: Array) -> Array:
        """`given` (as the user's framework holds it; of codes the codes) in our layout and element type.

        Raises MicrograftError where it is of codes and holds anything else.
        """
        dtype = self.value.dtype.numpy
        data = self.from_user(given.astype(dtype))
        if dtype.kind == "i" and not np.array_equal(self.from_user(given), data):
            raise MicrograftError(f"{self.source!r} holds codes, which are whole numbers of {dtype.name}")
        return data


@dataclass(frozen=True)
class Port:
    """An input or output. `permutation` takes our axes to the user's (NHWC to NCHW, say)."""

    value: Value
    permutation: tuple[int, ...]
    label: str = ""

    @property
    def user_shape(self) -> Shape:
        return tuple(self.value.shape[axis] for axis in self.permutation)

    def to_user(self, data: Array) -> Array:
        return np.ascontiguousarray(data.transpose(self.permutation)).reshape(self.user_shape)

    def from_user(self, data: Array) -> Array:
        return np.ascontiguousarray(data.transpose(np.argsort(self.permutation)))


@dataclass(frozen=True, eq=False)
class Graph:
    """A network, or a whole training step."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    params: tuple[Param, ...]
    nodes: tuple[Node, ...]

    def param(self, name: str) -> Param | None:
        """The parameter whose value has this name, if there is one."""
        return self._params_by_name.get(name)

    @cached_property
    def _params_by_name(self) -> Mapping[str, Param]:
        return {param.name: param for param in self.params}

    @property
    def sample(self) -> Value | None:
        """What the network takes; of a training step not the target."""
        return self.inputs[0].value if self.inputs else None

    @property
    def trainable(self) -> tuple[Param, ...]:
        return tuple(param for param in self.params if param.trainable)

    @property
    def values(self) -> Iterator[Value]:
        """Every value, in the order of definition."""
        yield from (port.value for port in self.inputs)
        yield from (param.value for param in self.params)
        for node in self.nodes:
            yield from node.outputs

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """Name of a value to the node that defines it."""
        return {value.name: node for node in self.nodes for value in node.outputs}

    @cached_property
    def readers(self) -> Mapping[str, tuple[Node, ...]]:
        """Name of a value to the nodes that read it, each named once."""
        found: dict[str, dict[int, Node]] = {}
        for position, node in enumerate(self.nodes):
            for value in node.inputs:
                found.setdefault(value.name, {})[position] = node
        return {name: tuple(nodes.values()) for name, nodes in found.items()}


@dataclass(frozen=True, eq=False)
class State:
    """A tensor that lives in RAM from step to step beside the parameters: a momentum, a learning rate.

    initial: what it starts from. owner: name of the parameter that it serves, "" for the whole step.
    """

    value: Value
    initial: Array
    owner: str = ""

    @property
    def name(self) -> str:
        return self.value.name


@dataclass(frozen=True)
class Block:
    """A gradient in integers, int16 or int8 (`ops.block`). scale: (2,) int32; real = unit · 2^scale[1] · code."""

    codes: Value
    scale: Value
    unit: float


@dataclass(frozen=True, eq=False)
class TrainStep:
    """One training step on one sample: forward, loss, backward and updates, as one graph.

    The graph's inputs are the network's inputs and then the target; it has no outputs beside `loss`.
    gradients: name of a trainable parameter to the gradient of the loss with respect to it. blocks: the same where it
    is in integers.
    accumulate: the update nodes run at every `accumulate`-th step only.
    """

    graph: Graph
    loss: Value
    gradients: Mapping[str, Value] = field(default_factory=dict)
    blocks: Mapping[str, Block] = field(default_factory=dict)
    states: tuple[State, ...] = ()
    accumulate: int = 1


def identity(rank: int) -> tuple[int, ...]:
    """The permutation that leaves `rank` axes alone."""
    return tuple(range(rank))


def param_of(name: str, data: Array, *, learnable: bool = True) -> Param:
    """A parameter whose layout is the user's own, but that ours always has an axis."""
    array = np.ascontiguousarray(data)
    value = Value(name, TensorType(tuple(int(n) for n in array.shape), _dtype_of(array)))
    return Param(value, array, name, identity(array.ndim), learnable, user_shape=None if data.ndim else ())


def _dtype_of(array: Array) -> DType:
    return DType.BIT if array.dtype == np.bool_ else DType(array.dtype.name)
