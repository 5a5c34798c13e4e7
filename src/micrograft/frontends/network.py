"""What both frontends draw a network with: constants, parameters under the user's names, and nodes.

A tensor of the user's file is a `Value` of our graph or a `Constant` that nothing of the graph has read yet. A
constant becomes one parameter, in the user's own layout, when the first node reads it, however many read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Attrs, Graph, Param, Port, identity, param_of
from micrograft.ir.types import Array, DType, Quantization, Shape, TensorType, Value
from micrograft.ops.builder import Builder
from micrograft.ops.operator import ShapeError
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.transpose import TransposeAttrs


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor known at import. learnable: a layer may train it, as it is neither a buffer nor computed.

    grid: the quantization that `data`, in real numbers, came from. frozen: whether the framework was told to leave it.
    """

    data: Array
    source: str
    learnable: bool = False
    grid: Quantization | None = None
    frozen: bool = False

    @property
    def shape(self) -> Shape:
        return tuple(int(size) for size in self.data.shape)


Tensor = Value | Constant

WHOLE = "give the network these numbers as float32"
"""What to do where indices would be computed with."""


class Network:
    """Appends to a graph. Not frozen, and therefore never outlives the frontend that uses it.

    unsigned: names of values whose codes the file has as uint8; ours are int8, 128 less.
    """

    def __init__(self) -> None:
        self.unsigned: set[str] = set()
        self._builder = Builder()
        self._inputs: list[Port] = []
        self._params: dict[str, Param] = {}

    def input(self, label: str, shape: Shape, quant: Quantization | None = None) -> Value:
        """A new input of the network in the user's layout: float32, or int8 codes with a meaning."""
        return self._input(label, TensorType(shape) if quant is None else TensorType(shape, DType.INT8, quant))

    def tokens(self, label: str, shape: Shape) -> Value:
        """A new input of the network in the user's layout: indices, int32."""
        return self._input(label, TensorType(shape, DType.INT32))

    def _input(self, label: str, type_: TensorType) -> Value:
        value = Value(self._builder.unique(label), type_)
        self._inputs.append(Port(value, identity(len(type_.shape)), label))
        return value

    def value(self, tensor: Tensor, *, trains: bool = False) -> Value:
        """`tensor` as a value; a learnable constant becomes a learnable parameter if any reader trains such inputs."""
        if isinstance(tensor, Value):
            return tensor
        known = self._params.get(tensor.source)
        if known is None:
            known = param_of(self._builder.unique(tensor.source), tensor.data.astype(np.float32))
            known = replace(known, source=tensor.source, learnable=False, grid=tensor.grid, frozen=tensor.frozen)
        learnable = known.learnable or (trains and tensor.learnable)
        self._params[tensor.source] = replace(known, learnable=learnable)
        return known.value

    def indices(self, data: Array, source: str) -> Value:
        """Constant whole numbers, int32, that nothing trains."""
        param = param_of(self._builder.unique(source), data.astype(np.int32), learnable=False)
        self._params[param.name] = replace(param, source=source)
        return param.value

    def add(
        self, op: str, inputs: Sequence[Tensor], attrs: Attrs | None = None, *, origin: str, name: str = ""
    ) -> Value:
        """Append a node. Raises MicrograftError, naming the layer, where its shape rule refuses the inputs.

        Indices, int32, are looked up in tables and nothing else.
        """
        values, where = [self.value(each) for each in inputs], f"layer {origin!r} ({op})"
        if op not in ("embedding", "reshape") and any(each.dtype is DType.INT32 for each in values):
            raise MicrograftError("it computes with indices, which only a table takes", where=where, fix=WHOLE)
        try:
            y = self._builder.add(op, values, attrs, origin=origin, name=name)
        except ShapeError as error:
            raise MicrograftError(str(error), where=where) from error
        for each in (*values, y):
            if each.type.size == 0:
                raise MicrograftError(f"a tensor of shape {each.shape} has no elements", where=where)
        return y

    def reshape(self, x: Tensor, shape: Shape, *, origin: str) -> Value:
        """`x` under another shape; nothing where it has it already."""
        if x.shape == shape:
            return self.value(x)
        return self.add("reshape", (x,), ReshapeAttrs(shape), origin=origin)

    def transpose(self, x: Tensor, permutation: Sequence[int], *, origin: str) -> Value:
        """`x` with its axes permuted; nothing where they stay."""
        if tuple(permutation) == identity(len(x.shape)):
            return self.value(x)
        value = self.value(x)
        long = [axis for axis in permutation if x.shape[axis] != 1]
        if value.dtype is DType.INT32 and long == sorted(long):
            return self.reshape(value, tuple(x.shape[axis] for axis in permutation), origin=origin)
        attrs = TransposeAttrs(tuple(permutation))
        return self.add("transpose", (value,), attrs, origin=origin, name=f"{value.name}_transposed")

    def source(self, tensor: Tensor) -> str:
        """The user's name of the constant that `tensor` is, under whatever layout; "" where it is none."""
        if isinstance(tensor, Constant):
            return tensor.source
        layouts = {node.outputs[0].name: node for node in self._builder.nodes if node.op in ("reshape", "transpose")}
        name = tensor.name
        while name in layouts:
            name = layouts[name].inputs[0].name
        return next((param.source for param in self._params.values() if param.name == name), "")

    def graph(self, name: str, outputs: Sequence[tuple[str, Tensor]]) -> Graph:
        """The finished graph; outputs: the user's label and the tensor of each. Raises MicrograftError."""
        ports = []
        for label, tensor in outputs:
            if isinstance(tensor, Constant):
                raise MicrograftError("it does not depend on the input", where=f"output {label!r}")
            value = tensor
            ports.append(Port(value, identity(len(value.shape)), label))
        return Graph(name, tuple(self._inputs), tuple(ports), tuple(self._params.values()), tuple(self._builder.nodes))


def unsupported(kind: str, origin: str, known: Sequence[str]) -> MicrograftError:
    """The refusal of an operator that we do not have; known: the frontend's own names of those we have."""
    public = (name for name in known if not name.startswith("_"))
    return MicrograftError(
        f"the operator {kind} is not supported",
        where=f"layer {origin!r}",
        fix=f"micrograft has {', '.join(sorted(public, key=str.lower))}",
    )


def refused(what: str, origin: str, fix: str = "") -> MicrograftError:
    """A layer of a kind that we have, but not in this form."""
    return MicrograftError(what, where=f"layer {origin!r}", fix=fix)
