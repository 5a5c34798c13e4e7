"""Eliminates transpositions: each sinks through the nodes behind it until it meets its inverse or the output.

While the nodes are walked in order, a value is known as a `_View`: another value, seen with its axes permuted.
A transpose node only changes the view. An elementwise node or a concat works on what lies behind the views of its
inputs, and its result is seen in the same way. Any other node needs its inputs as they were, and there a
transposition is made after all; a reshape suffices where only axes of length one move. An input of the network
that is transposed first is taken in that layout from the start, and an output is given in the one it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from micrograft.ir.graph import Graph, Node, Port, identity
from micrograft.ir.types import Shape, Value
from micrograft.ops import check, operator_of
from micrograft.ops.arithmetic import SumToAttrs
from micrograft.ops.builder import Builder
from micrograft.ops.concat import ConcatAttrs, SliceAttrs
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.transpose import TransposeAttrs
from micrograft.passes.lying_order import lying_order
from micrograft.passes.rebuild import rebuild

Permutation = tuple[int, ...]


def eliminate_transposes(graph: Graph) -> Graph:
    """`graph` without the transpositions that need not run, and without reshapes of reshapes."""
    return check(_Elimination(graph).run(), "eliminate_transposes")


@dataclass(frozen=True)
class _View:
    """`value.transpose(permutation)`."""

    value: Value
    permutation: Permutation

    @property
    def shape(self) -> Shape:
        return _permuted(self.value.shape, self.permutation)

    def transposed(self, permutation: Sequence[int]) -> _View:
        return _View(self.value, _permuted(self.permutation, permutation))

    @property
    def moves_elements(self) -> bool:
        """Whether the elements would stand in another order."""
        order = [axis for axis in self.permutation if self.value.shape[axis] != 1]
        return order != sorted(order)


def _permuted(entries: tuple[int, ...], permutation: Sequence[int]) -> tuple[int, ...]:
    return tuple(entries[axis] for axis in permutation)


def _inverse(permutation: Sequence[int]) -> Permutation:
    return tuple(sorted(identity(len(permutation)), key=permutation.__getitem__))


class _Elimination:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._builder = Builder(value.name for value in graph.values)
        self._views: dict[str, _View] = {}
        self._made: dict[tuple[str, Permutation], Value] = {}
        self._before_reshape: dict[str, Value] = {}  # a reshape's output to its input

    def run(self) -> Graph:
        inputs = tuple(self._input(port) for port in self._graph.inputs)
        for param in self._graph.params:
            self._views[param.name] = _View(param.value, identity(len(param.value.shape)))
        for node in self._graph.nodes:
            self._visit(node)
        outputs = []
        for port in self._graph.outputs:
            view = self._views[port.value.name].transposed(port.permutation)
            outputs.append(replace(port, value=view.value, permutation=view.permutation))
        return replace(self._graph, inputs=inputs, outputs=tuple(outputs), nodes=tuple(self._builder.nodes))

    def _input(self, port: Port) -> Port:
        """The input in the layout that its first reader wants."""
        wanted = self._wanted(port.value.name, identity(len(port.permutation)))
        type_ = replace(port.value.type, shape=_permuted(port.value.shape, wanted))
        value = Value(port.value.name, type_)
        view = _View(value, _inverse(wanted))
        self._views[value.name] = view
        return replace(port, value=value, permutation=view.transposed(port.permutation).permutation)

    def _wanted(self, name: str, so_far: Permutation) -> Permutation:
        """How the first node that does not let transpositions through reads a value."""
        for node in self._graph.nodes:
            if name not in (value.name for value in node.inputs):
                continue
            output = node.outputs[0]
            if isinstance(node.attrs, TransposeAttrs):
                return self._wanted(output.name, _permuted(so_far, node.attrs.permutation))
            if _is_transparent(node) and len(output.shape) == len(so_far):
                return self._wanted(output.name, so_far)
            return so_far
        return identity(len(so_far))

    def _visit(self, node: Node) -> None:
        views = [self._views[value.name] for value in node.inputs]
        if isinstance(node.attrs, TransposeAttrs):
            self._views[node.outputs[0].name] = views[0].transposed(node.attrs.permutation)
        elif isinstance(node.attrs, ReshapeAttrs):
            self._views[node.outputs[0].name] = self._reshape(node, views[0], node.attrs.shape)
        elif _is_transparent(node):
            self._sink(node, views)
        else:
            self._append(rebuild(node, [self._make(view) for view in views]))

    def _append(self, node: Node, permutation: Permutation | None = None) -> None:
        """Append a node, whose first output is to be seen permuted."""
        self._builder.nodes.append(node)
        for value in node.outputs:
            self._views[value.name] = _View(value, permutation or identity(len(value.shape)))

    def _make(self, view: _View) -> Value:
        """The value that a view shows."""
        if view.permutation == identity(len(view.permutation)):
            return view.value
        key = (view.value.name, view.permutation)
        if key not in self._made:
            if view.moves_elements:
                name = f"{view.value.name}_transposed"
                origin = self._origin(view.value)
                attrs = TransposeAttrs(view.permutation)
                self._made[key] = self._builder.add("transpose", (view.value,), attrs, origin=origin, name=name)
            else:
                self._made[key] = self._reshaped(
                    view.value, view.shape, self._builder.unique(f"{view.value.name}_reshaped")
                )
        return self._made[key]

    def _origin(self, value: Value) -> str:
        """The layer that `value` comes from, or its own name where it is a parameter or an input."""
        return next((node.origin for node in reversed(self._builder.nodes) if value in node.outputs), value.name)

    def _reshaped(self, value: Value, shape: Shape, name: str, origin: str = "") -> Value:
        """`value` under another shape and this name, without a reshape of a reshape."""
        value = self._before_reshape.get(value.name, value)
        if value.shape == shape:
            return value
        result = Value(name, replace(value.type, shape=shape))
        origin = origin or self._origin(value)
        self._builder.define(result, "reshape", (value,), ReshapeAttrs(shape), origin=origin)
        self._before_reshape[name] = value
        return result

    def _reshape(self, node: Node, view: _View, shape: Shape) -> _View:
        """What a reshape gives; it slips under a view where each of its axes lies in one piece."""
        name = node.outputs[0].name
        if not view.moves_elements:
            value = self._reshaped(view.value, shape, name, node.origin)
            return _View(value, identity(len(shape)))
        order = lying_order(view.shape, view.permutation, shape)
        if order is None:
            value = self._reshaped(self._make(view), shape, name, node.origin)
            return _View(value, identity(len(shape)))
        value = self._reshaped(view.value, _permuted(shape, order), name)
        return _View(value, _inverse(order))

    def _sink(self, node: Node, views: Sequence[_View]) -> None:
        """Append a node that works in any layout: in that of its largest input."""
        rank = len(node.outputs[0].shape)
        full = [view for view in views if len(view.permutation) == rank]
        if not full:
            self._append(rebuild(node, [self._make(view) for view in views]))
            return
        lead = max(full, key=lambda view: (view.value.type.size, view.moves_elements)).permutation
        inputs = [self._aligned(view, lead) for view in views]
        attrs = node.attrs
        if isinstance(attrs, ConcatAttrs):
            attrs = ConcatAttrs(lead[attrs.axis])
        elif isinstance(attrs, SliceAttrs):
            attrs = replace(attrs, axis=lead[attrs.axis])
        elif isinstance(attrs, SumToAttrs):
            attrs = SumToAttrs(_permuted(attrs.shape, _inverse(lead)))
        self._append(rebuild(node, inputs, attrs), lead)

    def _aligned(self, view: _View, permutation: Permutation) -> Value:
        """What `view` must be for `view.transpose(permutation)` to be it, broadcast to the same rank."""
        rank = len(permutation)
        if permutation == identity(rank) or view.value.type.size == 1:
            return self._make(view)
        if len(view.permutation) < rank:
            shape = (*(1 for _ in range(rank - len(view.permutation))), *view.shape)
            widened = self._reshaped(self._make(view), shape, self._builder.unique(f"{view.value.name}_widened"))
            view = _View(widened, identity(rank))
        return self._make(view.transposed(_inverse(permutation)))


def _is_transparent(node: Node) -> bool:
    if isinstance(node.attrs, SumToAttrs):
        return node.op == "sum_to" and len(node.attrs.shape) == len(node.inputs[0].shape)
    return node.op == "detach" or operator_of(node).elementwise or isinstance(node.attrs, (ConcatAttrs, SliceAttrs))
