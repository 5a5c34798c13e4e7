"""What an operator is: one record that holds its whole truth.

An operator's file defines one or more `Operator`s (its forward form and the nodes of its gradient); they are
found by looking through this package, so adding a file is all that it takes. The contract test in
`tests/ops/test_contract.py` then checks each one against its own samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from micrograft.ir.graph import Attrs, Block, Node
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops.cost import PLAIN, CostRule

Types = Sequence[TensorType]
Arrays = Sequence[Array]
Gradients = Sequence[Value | None]


class ShapeError(Exception):
    """An operator's shape rule refuses its inputs; the caller adds the layer's name."""


@dataclass(frozen=True)
class Pointer:
    """An argument of a kernel: a value's buffer, from an element on."""

    value: Value
    offset: int = 0


@dataclass(frozen=True)
class Group:
    """Pointers that a kernel takes as one struct, made where it is called: type and members in the C order.

    None passes a null pointer.
    """

    struct: str
    members: tuple[tuple[str, Value | None], ...]


Content = int | float | tuple["Content", ...]
"""Of a member of a parameter struct; a tuple fills an array or a struct, in the order of the C declaration."""

Field = tuple[str, Content]


@dataclass(frozen=True)
class KernelCall:
    """One call of a C kernel: `function(&params, pointers...)`.

    function: also the name of its file in `runtime/kernels`. struct, fields: type and contents of the constant
    parameters, in the order of the C declaration. pointers: inputs and outputs in the C order; None passes a null
    pointer.
    """

    function: str
    struct: str
    fields: tuple[Field, ...]
    pointers: tuple[Value | Pointer | Group | None, ...]


KernelRule = Callable[[Node], Sequence[KernelCall]]


class Backward(Protocol):
    """What a gradient rule may ask of the pass that differentiates."""

    def needs(self, value: Value) -> bool:
        """Whether somebody wants the gradient of `value`."""

    def keep(self, node: Node, output: str) -> Value:
        """An optional output of the forward node (a mask, an index), kept for the backward pass."""

    def emit(self, op: str, *inputs: Value, attrs: Attrs | None = None) -> Value:
        """Append a backward node; its first output."""

    def emit_all(self, op: str, *inputs: Value, attrs: Attrs | None = None, outputs: int) -> tuple[Value, ...]:
        """Append a backward node; its first outputs, so many."""

    def constant(self, data: Array, name: str) -> Value:
        """A table that backward nodes read; equal ones are one."""


GradientRule = Callable[[Backward, Node, Gradients], Gradients]


class Blocks(Protocol):
    """What an operator's integer rule may ask of the pass that quantizes gradients."""

    def known(self, gradient: Value) -> Block | None:
        """The gradient as a block where it is one already."""

    def of(self, gradient: Value) -> Block:
        """The gradient as a block, quantized here where it is float32."""

    def emit(self, op: str, *inputs: Value, attrs: Attrs | None = None) -> Value:
        """Append a node whose first output has the scale of a block that there is."""

    def new(self, op: str, *inputs: Value, unit: float, attrs: Attrs | None = None) -> Block:
        """Append a node with a scale of its own, which becomes its last input and second output."""


BlockRule = Callable[[Blocks, Node], Block | None]
"""How a gradient's node is computed in integers; None where it is not, and float32 stays."""


@dataclass(frozen=True)
class Sample:
    """One case for the contract test: inputs and attributes. `differentiable` lists the inputs to check."""

    inputs: tuple[Array, ...]
    attrs: Attrs = field(default_factory=Attrs)
    differentiable: tuple[int, ...] | None = None


def no_macs(node: Node) -> int:
    """For operators that multiply nothing worth counting."""
    return 0


def no_scratch(node: Node) -> tuple[Value, ...]:
    """For operators whose kernels need no memory of their own."""
    return ()


def scratch_of(node: Node, elements: int) -> Value:
    """So many float32 of scratch memory. No other value can have its name, which is none in C."""
    return Value(f"{node.outputs[0].name}.scratch", TensorType((elements,)))


@dataclass(frozen=True)
class Operator:
    """The whole truth about one operator.

    name: as it stands in `Node.op`.
    inputs: the role of each input; a trailing `?` marks it optional, a `*` says that there are any number.
    outputs: the role of each output. Only the first is always there; a gradient rule asks for the others.
    infer: shape rule, types of the inputs to types of all outputs. Raises ShapeError.
    evaluate: NumPy meaning, inputs to all outputs; computes in the precision of its inputs.
    samples: cases for the contract test.
    kernels: per element type of the first output, the C calls that compute a node.
    gradient: given the gradients of the outputs, the gradient of each input (None where there is none).
    in_blocks: how a node that computes a gradient does it in integers (None where it cannot).
    inplace: pairs (output, input) that may share a buffer when the input is not read afterwards.
    mutates: pairs (output, input) that do share one: the node updates a parameter or a state where it lies.
    view: the output is the input under another shape and costs nothing.
    elementwise: an output element depends on the input elements at its own place alone, so that axes may be
        permuted before or after; inputs are broadcast as NumPy does.
    macs: multiply-accumulates of a node.
    cost: estimated instructions of a node, from its multiply-accumulates and elements (see `cost.py`).
    scratch: memory that the kernels of a node need while they run, beside inputs and outputs; their calls name it.
    """

    name: str
    inputs: tuple[str, ...]
    infer: Callable[[Any, Types], Types]
    evaluate: Callable[[Any, Arrays], Arrays]
    samples: Callable[[], Iterable[Sample]]
    kernels: Mapping[DType, KernelRule]
    outputs: tuple[str, ...] = ("y",)
    gradient: GradientRule | None = None
    in_blocks: BlockRule | None = None
    inplace: tuple[tuple[int, int], ...] = ()
    mutates: tuple[tuple[int, int], ...] = ()
    view: bool = False
    elementwise: bool = False
    macs: Callable[[Node], int] = no_macs
    cost: CostRule = PLAIN
    scratch: Callable[[Node], tuple[Value, ...]] = no_scratch

    def role(self, index: int) -> str:
        """The role of input `index`, without its mark."""
        return self.inputs[min(index, len(self.inputs) - 1)].rstrip("?*")

    def work(self, node: Node) -> int:
        """Estimated instructions of `node`; a view costs none."""
        return 0 if self.view else round(self.cost(node, self.macs(node)))

    def types(self, node: Node) -> Types:
        """Types of all possible outputs of `node`. Raises ShapeError."""
        return self.infer(node.attrs, [value.type for value in node.inputs])


def require(condition: bool, message: str) -> None:
    """Raise ShapeError(message) unless `condition` holds."""
    if not condition:
        raise ShapeError(message)
