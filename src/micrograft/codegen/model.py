"""The one file that a person reads: what the network computes, node by node, as C.

Straight-line calls of kernels with named constants and the user's layer names in comments. The same library
gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from micrograft.codegen.artifact import Library
from micrograft.codegen.weights import table_name
from micrograft.codegen.writer import call, comment, literal, struct
from micrograft.ir.graph import Node, Phase
from micrograft.ir.types import Value
from micrograft.ops import operator_of
from micrograft.ops.builder import c_name
from micrograft.ops.operator import Group, KernelCall, Pointer
from micrograft.planning.plan import Plan

INDENT = 4
ACCESSES = {"float": "floats", "int32_t": "ints", "int16_t": "halves", "int8_t": "codes", "uint8_t": "bytes"}
"""C type of the elements to the function that points at some in a block of memory."""


@dataclass(frozen=True)
class ParamsStruct:
    """A constant parameter struct of the generated file."""

    type: str
    name: str
    fields: str


MOST_CALLS = 1000
"""Of kernels in one C function: compilers take much longer for one function of many thousands than for several."""


@dataclass(frozen=True)
class Function:
    """The body of predict, evaluate or train_step: C lines, without the checks before and the copies after.

    parts: one, or where there are very many calls, several that become functions of their own.
    """

    parts: tuple[tuple[str, ...], ...]
    result: str

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(line for part in self.parts for line in part)


@dataclass
class Constants:
    """The parameter structs that the functions need, each written once. Lives while one file is written."""

    structs: dict[tuple[str, str], ParamsStruct] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def name(self, kernel: KernelCall, origin: str) -> str:
        """The name of the struct that this call passes."""
        fields = ", ".join(f".{name} = {literal(value)}" for name, value in kernel.fields)
        key = (kernel.struct, fields)
        if key not in self.structs:
            wish = c_name(f"{origin or 'step'}_{kernel.struct.removeprefix('mg_')}")
            name, count = wish, 1
            while name in self.names:
                count += 1
                name = f"{wish}_{count}"
            self.names.add(name)
            self.structs[key] = ParamsStruct(kernel.struct, name, fields)
        return self.structs[key].name


class Locations:
    """Where each value of one plan lies, as a C expression.

    The sample and views of it are read where the caller has them, which may be its place in the arena; what is
    computed in that place is written there in any case.
    """

    def __init__(self, library: Library, plan: Plan) -> None:
        self._plan = plan
        self._graph = library.step.graph if library.step is not None else library.graph
        self._kept = {slot.value.name: slot for slot in (*library.memory.parameters, *library.memory.states)}
        self._arena = {name: buffer.offset for buffer in plan.buffers for name in buffer.values}
        self._outside = {library.input.value.name: "x"}
        if library.target is not None:
            self._outside[library.target.value.name] = "target"
        for node in plan.schedule:
            if operator_of(node).view and node.inputs[0].name in self._outside:
                self._outside[node.outputs[0].name] = self._outside[node.inputs[0].name]
        self._constants = {param.name: table_name(library, param.value) for param in self._graph.params}

    def of(self, value: Value, offset: int = 0) -> str:
        """A pointer to element `offset` of a value."""
        root = self._plan.aliases.get(value.name, value.name)
        shift = f" + {offset}" if offset else ""
        if value.name in self._outside:
            return f"{self._outside[value.name]}{shift}"
        access = ACCESSES[value.dtype.c]
        if root in self._kept:
            return f"{access}(memory, at_{root}){shift}"
        if root in self._constants:
            return f"{self._constants[root]}{shift}"
        return f"{access}(arena, {self._arena[value.name]}){shift}"


def write_function(library: Library, plan: Plan, result: Value, constants: Constants) -> tuple[Function, set[str]]:
    """The body of one function and the kernels that it calls."""
    locations = Locations(library, plan)
    guarded = library.step is not None and library.step.accumulate > 1
    parts: list[list[str]] = [[]]
    kernels: set[str] = set()
    inside, written = False, 0
    for node in plan.schedule:
        calls = node_calls(node)
        kernels.update(kernel.function for kernel in calls)
        if not calls:
            continue
        if written and written + len(calls) > MOST_CALLS:
            parts[-1] += ["    }"] if inside else []
            parts.append([])
            inside, written = False, 0
        lines = parts[-1]
        written += len(calls)
        if guarded and (node.phase is Phase.UPDATE) != inside:
            inside = not inside
            lines.append("    if (due) {" if inside else "    }")
        indent = 2 * INDENT if inside else INDENT
        lines.append(f"{' ' * indent}{comment(describe(node))}")
        for kernel in calls:
            lines += _call(kernel, constants.name(kernel, node.origin), locations, indent)
    parts[-1] += ["    }"] if inside else []
    return Function(tuple(map(tuple, parts)), locations.of(result)), kernels


def _call(kernel: KernelCall, params: str, locations: Locations, indent: int) -> list[str]:
    """The lines that call one kernel.

    Structs of pointers stand in a block of their own, so that all calls of a function share their place on the stack.
    """
    names = iter("abcde")
    arguments, structs = [f"&{params}"], []
    inner = indent + INDENT if any(isinstance(pointer, Group) for pointer in kernel.pointers) else indent
    for pointer in kernel.pointers:
        if isinstance(pointer, Group):
            name = next(names)
            members = [f".{role} = {_argument(member, locations)}" for role, member in pointer.members]
            structs.append(struct(pointer.struct, name, members, inner))
            arguments.append(f"&{name}")
        else:
            arguments.append(_argument(pointer, locations))
    statement = call(kernel.function, arguments, inner)
    blank = " " * indent
    return [f"{blank}{{", *structs, statement, f"{blank}}}"] if structs else [statement]


def node_calls(node: Node) -> Sequence[KernelCall]:
    """The kernel calls that compute a node; a view has none."""
    operator = operator_of(node)
    if operator.view:
        return ()
    return operator.kernels[node.outputs[0].dtype](node)


def describe(node: Node) -> str:
    """What a node does, for a comment: the layer, the operator and the shapes."""
    shapes = " x ".join(_shape(value) for value in node.inputs[:1])
    layer = f"{node.origin}: " if node.origin else ""
    return f"{layer}{node.op} {shapes} -> {_shape(node.outputs[0])}"


def _shape(value: Value) -> str:
    return "(" + ", ".join(map(str, value.shape)) + ")"


def _argument(pointer: Value | Pointer | None, locations: Locations) -> str:
    if pointer is None:
        return "NULL"
    if isinstance(pointer, Pointer):
        return locations.of(pointer.value, pointer.offset)
    return locations.of(pointer)
