"""Calls C kernels from Python: each value in a buffer of its own, between guard bytes that must not change."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from micrograft.codegen.writer import literal
from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops import operators
from micrograft.ops.operator import Content, Group, KernelCall, Pointer

GUARD = 64  # bytes on either side of a buffer
GUARD_BYTE = 0xA5
UNWRITTEN = 0xFF  # what an output holds before the call: NaN as float32

Pairs = Sequence[tuple[int, int]]


class Kernels:
    """The shared library of every kernel."""

    def __init__(self, library: Path) -> None:
        self._functions = ctypes.CDLL(str(library))

    def call(self, call: KernelCall, buffers: Mapping[str, Buffer]) -> None:
        """Call one kernel on the buffers of its values."""
        function = getattr(self._functions, call.function)
        function.restype = None
        params = pack(call)
        addresses = [_address(pointer, buffers) for pointer in call.pointers]
        groups = [(ctypes.c_void_p * len(each))(*each) if isinstance(each, list) else each for each in addresses]
        function(ctypes.c_char_p(params), *groups)

    def run(self, node: Node, arrays: Sequence[Array], shared: Pairs = ()) -> tuple[list[Array], list[Array]]:
        """Compute a node by its kernels: its outputs, and its inputs as they lie there afterwards.

        shared: pairs (output, input) that lie in one buffer; an output that the node does not name is skipped.
        Raises AssertionError where a kernel writes outside its buffers.
        """
        buffers = {value.name: Buffer.of(value, array) for value, array in zip(node.inputs, arrays, strict=True)}
        own = {output: node.inputs[index].name for output, index in shared}
        for index, value in enumerate(node.outputs):
            buffers[value.name] = buffers[own[index]] if index in own else Buffer(value.type)
        scratch = operators()[node.op].scratch(node)
        buffers |= {value.name: Buffer(value.type) for value in scratch}
        for call in operators()[node.op].kernels[node.outputs[0].dtype](node):
            self.call(call, buffers)
            for value in (*node.inputs, *node.outputs, *scratch):
                buffers[value.name].check(f"{call.function} wrote outside the buffer of {value}")
        return [buffers[value.name].read() for value in node.outputs], [buffers[v.name].read() for v in node.inputs]

    def compute(self, op: str, attrs: Attrs, *arrays: Array) -> list[Array]:
        """Run an operator's kernel on arrays, by its mutations where it has any: its outputs."""
        operator = operators()[op]
        node = node_of(op, attrs, arrays)
        return self.run(node, arrays, operator.mutates)[0]


class Buffer:
    """Memory of one value, guarded on both sides."""

    def __init__(self, type_: TensorType) -> None:
        self._type = type_
        self._memory = np.full(type_.bytes + 2 * GUARD, GUARD_BYTE, np.uint8)
        self._memory[GUARD : GUARD + type_.bytes] = UNWRITTEN

    @classmethod
    def of(cls, value: Value, array: Array) -> Buffer:
        """A buffer that holds `array`."""
        buffer = cls(value.type)
        if value.dtype is DType.BIT:
            content = np.packbits(array.reshape(-1), bitorder="little")
        else:
            content = np.frombuffer(np.ascontiguousarray(array, value.dtype.numpy).tobytes(), np.uint8)
        buffer._memory[GUARD : GUARD + value.type.bytes] = content
        return buffer

    def address(self, element: int = 0) -> int:
        """Where element `element` lies."""
        return self._memory.ctypes.data + GUARD + element * self._type.dtype.bits // 8

    def read(self) -> Array:
        """The content, copied."""
        content = self._memory[GUARD : GUARD + self._type.bytes].copy()
        if self._type.dtype is DType.BIT:
            bits = np.unpackbits(content, count=self._type.size, bitorder="little")
            return bits.astype(np.bool_).reshape(self._type.shape)
        return content.view(self._type.dtype.numpy).reshape(self._type.shape)

    def check(self, message: str) -> None:
        """Raise AssertionError(message) unless both guards are as they were."""
        guards = np.concatenate([self._memory[:GUARD], self._memory[GUARD + self._type.bytes :]])
        assert np.all(guards == GUARD_BYTE), message


def node_of(op: str, attrs: Attrs, arrays: Sequence[Array], outputs: int | None = None) -> Node:
    """A node of `op` on `arrays`, with its first `outputs` outputs (None: all)."""
    inputs = tuple(Value(f"x{index}", type_of(array)) for index, array in enumerate(arrays))
    types = operators()[op].infer(attrs, [value.type for value in inputs])
    values = tuple(Value(f"y{index}", type_) for index, type_ in enumerate(types[:outputs]))
    return Node(op, inputs, values, attrs)


def type_of(array: Array) -> TensorType:
    """The type of the value that `array` is the content of."""
    dtype = DType.BIT if array.dtype == np.bool_ else DType(array.dtype.name)
    return TensorType(tuple(array.shape), dtype)


def pack(call: KernelCall) -> bytes:
    """The params struct as it lies in memory."""
    return b"".join(_packed(content) for _, content in call.fields)


def _packed(content: Content) -> bytes:
    if isinstance(content, tuple):
        return b"".join(map(_packed, content))
    return np.asarray(content, np.float32 if isinstance(content, float) else np.int32).tobytes()


def c_call(call: KernelCall, name: str) -> str:
    """The call as C, as the compiler of models writes it: a function `name`."""
    fields = ", ".join(f".{field} = {literal(content)}" for field, content in call.fields)
    arguments = [f"&{name}_params"]
    for position, pointer in enumerate(call.pointers):
        if isinstance(pointer, Group):
            members = (f".{member} = {_c_pointer(each, position)}" for member, each in pointer.members)
            arguments.append(f"&(const {pointer.struct}){{{', '.join(members)}}}")
        else:
            arguments.append(_c_pointer(pointer, position))
    return (
        f"static const {call.struct} {name}_params = {{{fields}}};\n"
        f"void {name}(void *const *buffers);\n"
        f"void {name}(void *const *buffers) {{ (void)buffers; {call.function}({', '.join(arguments)}); }}\n"
    )


def _c_pointer(pointer: Value | Pointer | None, position: int) -> str:
    value = pointer.value if isinstance(pointer, Pointer) else pointer
    return "0" if value is None else f"({value.dtype.c} *)buffers[{position}]"


def _address(
    pointer: Value | Pointer | Group | None, buffers: Mapping[str, Buffer]
) -> ctypes.c_void_p | list[ctypes.c_void_p]:
    """Where a pointer points; of a group, where its members do."""
    if pointer is None:
        return ctypes.c_void_p(None)
    if isinstance(pointer, Group):
        return [ctypes.c_void_p(member and buffers[member.name].address()) for _, member in pointer.members]
    if isinstance(pointer, Pointer):
        return ctypes.c_void_p(buffers[pointer.value.name].address(pointer.offset))
    return ctypes.c_void_p(buffers[pointer.name].address())
