"""Which activations of a float network become int8 codes, and which of them share a range.

What layers read and write becomes codes, and what int8 operators make of that. A function of one value, however many
nodes spell it out, is a table of 256 codes: inside it are real numbers. What a concatenation joins has one range with
what it gives, and so has whatever only moves values: then they copy codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from micrograft.couplings import Coupling, find_couplings
from micrograft.functions import source_of
from micrograft.ir.graph import Graph, Node, Param
from micrograft.ir.types import DType, Value
from micrograft.ops.average_pool import AveragePoolAttrs
from micrograft.ops.pad import PadAttrs, PadMode
from micrograft.ops.quantized_resize import fits
from micrograft.ops.resize import ResizeAttrs
from micrograft.quantization.observers import Range, Ranges

LAYERS: Mapping[str, int] = {"conv": 0, "depthwise_conv": -1, "linear": 0}
"""Operators with an int8 weight, and where its outputs stand."""

CLAMPS = ("relu", "relu6", "clip")
"""Activations that become the clamp of the operator in front of them."""

PAIRS = ("add", "sub", "mul", "maximum", "minimum")
"""Operators of two tensors, either of which may be constant."""

_CLAMPED = (*LAYERS, *PAIRS, "global_average_pool")
"""Operators that take an activation behind them as their clamp."""

_MOVES = ("average_pool", "concat", "expand", "max_pool", "pad", "reshape", "resize", "slice", "transpose")
"""Operators that can give the codes of what they read."""

MEANS = ("average_pool", "resize")
"""Of them those that may give what lies between codes, and round it."""

ROOM = 1.25
"""How much farther the codes of a stream reach than what calibration saw of it."""


@dataclass(frozen=True)
class Scheme:
    """Which activations become codes. order: their names. same: name to the value whose range it shares.

    joined: name of a value with a range of its own to those whose values that range holds, itself among them, and to
    the constants that it holds. wrapping: names of the sums and differences of additive couplings, which are exactly
    undone where their three codes mean the same. streams: names of what is moved by them and of what moves it, in
    groups that are to have one range.
    """

    order: tuple[str, ...]
    same: Mapping[str, str]
    joined: Mapping[str, tuple[tuple[str, ...], tuple[Param, ...]]]
    wrapping: frozenset[str]
    streams: tuple[tuple[str, ...], ...]

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of those that have a range of their own."""
        return tuple(name for name in self.order if name not in self.same)

    @property
    def observed(self) -> tuple[str, ...]:
        """The names of those whose values decide about ranges."""
        return tuple(name for own in self.measured for name in self.joined[own][0])

    def ranges(self, observed: Ranges) -> Ranges:
        """The ranges of `measured`, from those of `observed`."""
        found: dict[str, Range] = {}
        for own in self.measured:
            names, constants = self.joined[own]
            ends = [observed[name] for name in names]
            ends += [(float(each.data.min()), float(each.data.max())) for each in constants]
            found[own] = min(low for low, _ in ends), max(high for _, high in ends)
        return found


def scheme(graph: Graph) -> Scheme:
    """What of `graph` becomes int8."""
    couplings = _couplings(graph) if any(is_layer(node, graph) for node in graph.nodes) else []
    wrapping = frozenset(coupling.y.name for coupling in couplings)
    moved = {value.name for coupling in couplings for value in _moved(coupling)}
    coded = _Spread(graph, moved, wrapping).run()
    values = [port.value.name for port in graph.inputs] + [node.outputs[0].name for node in graph.nodes]
    order = tuple(name for name in values if name in coded)
    joints = _Joints(graph, coded)
    same: dict[str, str] = {}
    joined: dict[str, tuple[tuple[str, ...], tuple[Param, ...]]] = {name: ((name,), ()) for name in order}
    for group in _groups(joints.links):
        own, *others = (name for name in order if name in group)
        same |= dict.fromkeys(others, own)
        constants = tuple(param for name in group for param in joints.constants.get(name, ()))
        joined[own] = tuple(name for name in (own, *others) if name not in joints.results), constants
    links = ({same.get(value.name, value.name) for value in _moved(coupling)} for coupling in couplings)
    return Scheme(order, same, joined, wrapping, _groups(links))


def with_room(plan: Scheme, ranges: Ranges) -> Ranges:
    """One range for each stream: all that was seen of it, and room beside, for a sum that leaves it wraps.

    ranges: of all values in `plan.streams`, with nothing cut off.
    """
    found: dict[str, Range] = {}
    for stream in plan.streams:
        low, high = min(ranges[name][0] for name in stream), max(ranges[name][1] for name in stream)
        found |= dict.fromkeys(stream, (ROOM * low, ROOM * high))
    return found


class _Spread:
    """What becomes codes: from the layers on, until nothing more does."""

    def __init__(self, graph: Graph, moved: set[str], wrapping: frozenset[str]) -> None:
        self._graph = graph
        self._moved = moved
        self._wrapping = wrapping
        self._outputs = {port.value.name for port in graph.outputs}
        self._in_codes: set[str] = set()  # what is computed from codes
        self._functions: set[str] = set()  # of them, the results of functions
        self._coded = moved | {node.inputs[0].name for node in graph.nodes if is_layer(node, graph)}

    def run(self) -> set[str]:
        """The names of what becomes codes."""
        before = 0
        while len(self._coded) > before:
            before = len(self._coded)
            for node in reversed(self._graph.nodes):
                if node.outputs[0].name in self._coded and moves(node):
                    self._coded |= {value.name for value in node.inputs if self._are_moved(value)}
            self._walk()
        self._leave_to_floats()
        return self._coded

    def _are_moved(self, value: Value) -> bool:
        """Whether codes are all that is read of an activation, as soon as it becomes some."""
        if self._graph.param(value.name) is not None or value.name in self._outputs:
            return False
        readers = self._graph.readers[value.name]
        return all(
            is_layer(node, self._graph) or (moves(node) and node.outputs[0].name in self._coded) for node in readers
        )

    def _walk(self) -> None:
        """What int8 operators write, of what there is, and the results of functions that others read."""
        graph = self._graph
        sources = {port.value.name: port.value.name for port in graph.inputs if port.value.name in self._coded}
        clamped = set()
        self._in_codes = set()
        for node in graph.nodes:
            y = node.outputs[0].name
            if self._writes_codes(node, sources):
                self._in_codes.add(y)
                clamp = _private_clamp(node, graph, self._outputs) if y not in self._wrapping else None
                self._coded.add(y if clamp is None else clamp.outputs[0].name)
                if clamp is not None:
                    clamped.add(y)
                    self._in_codes.add(clamp.outputs[0].name)
                    continue
            function = source_of(node, graph, sources)
            if y in self._coded or function is not None:
                sources[y] = y if y in self._coded else str(function)
            if function is not None:
                self._in_codes.add(y)
                self._functions.add(y)
        for name, source in sources.items():
            readers = graph.readers.get(name, ())
            if any(sources.get(node.outputs[0].name) != source for node in readers) and name not in clamped:
                self._coded.add(name)

    def _leave_to_floats(self) -> None:
        """Take back what only float32 operators read in the end, as a transformer's stream: codes would cost noise.

        What layers give, and what is but moved from there, are codes anyway.
        """
        needed = self._outputs | self._moved
        for node in reversed(self._graph.nodes):
            y = node.outputs[0].name
            passes_on = node.op in PAIRS or moves(node) or y in self._functions
            if y in self._in_codes and (y in needed or not passes_on):
                needed |= {value.name for value in node.inputs}
        for node in self._graph.nodes:
            y = node.outputs[0].name
            parts = [value.name for value in node.inputs if self._graph.param(value.name) is None]
            fed = all(name in self._coded for name in parts)
            spare = node.op in PAIRS or y in self._functions or (moves(node) and not fed)
            if spare and y in self._coded - needed:
                self._coded.discard(y)

    def _writes_codes(self, node: Node, sources: Mapping[str, str]) -> bool:
        """Whether a node has an int8 operator for the codes it reads. sources: as `functions.find` them."""
        graph = self._graph
        if is_layer(node, graph):
            return True
        parts = [value.name for value in node.inputs if graph.param(value.name) is None]
        constants = [value for value in node.inputs if graph.param(value.name) is not None]
        if not parts or not all(name in sources for name in parts):
            return False
        if node.op in PAIRS or node.op == "concat":
            return all(value.dtype is DType.FLOAT32 for value in constants) and not source_of(node, graph, sources)
        return not constants and (moves(node) or node.op in ("average_pool", "global_average_pool", "softmax"))


class _Joints:
    """What shares its range with what. links: pairs and groups of names.

    results: names of what an operator has from its inputs, whose values decide about no range. constants: name of a
    concatenation to those in it.
    """

    def __init__(self, graph: Graph, coded: set[str]) -> None:
        self.links: list[set[str]] = []
        self.results: set[str] = set()
        self.constants: dict[str, tuple[Param, ...]] = {}
        fixed = {node.outputs[0].name for node in graph.nodes if node.op == "softmax"}
        for node in graph.nodes:
            y = node.outputs[0].name
            parts = [value.name for value in node.inputs if graph.param(value.name) is None]
            if y not in coded or not moves(node) or not all(name in coded for name in parts):
                continue
            own = {name for name in parts if name not in fixed}
            if node.op != "concat" and not own:
                fixed.add(y)
            if node.op != "concat" or own:
                self.links.append({y, *(own or parts)})
                self.results.add(y)
                self.constants[y] = tuple(
                    param for value in node.inputs if (param := graph.param(value.name)) is not None
                )


def moves(node: Node) -> bool:
    """Whether the output of a node can have the codes of its inputs."""
    attrs = node.attrs
    if isinstance(attrs, AveragePoolAttrs):
        return not (attrs.count_include_pad and any(pads != (0, 0) for pads in attrs.padding))
    if isinstance(attrs, PadAttrs):
        return attrs.mode is not PadMode.CONSTANT or attrs.value == 0.0
    if isinstance(attrs, ResizeAttrs):
        return not attrs.linear or fits(attrs)
    return node.op in _MOVES


def is_layer(node: Node, graph: Graph) -> bool:
    """Whether a node multiplies an activation with a weight of its own."""
    if node.op not in LAYERS or graph.param(node.inputs[0].name) is not None:
        return False
    params = [graph.param(value.name) for value in node.inputs[1:]]
    return all(param is not None and param.value.dtype is DType.FLOAT32 for param in params)


def _private_clamp(node: Node, graph: Graph, outputs: set[str]) -> Node | None:
    """The activation that alone reads what a node writes, and can be its clamp."""
    y = node.outputs[0].name
    found = graph.readers.get(y, ())
    if node.op not in _CLAMPED or len(found) != 1 or y in outputs or found[0].op not in CLAMPS:
        return None
    return found[0]


def _couplings(graph: Graph) -> list[Coupling]:
    """The additive couplings of computed values, in chains with a layer: what else looks like one is worth no codes."""
    params = {param.name for param in graph.params}
    found = find_couplings(graph.nodes, params)
    found = [coupling for coupling in found if params.isdisjoint(value.name for value in _moved(coupling))]
    links = []
    layers: set[str] = set()
    for coupling in found:
        branch = [graph.nodes[position] for position in coupling.branch]
        layers |= {node.outputs[0].name for node in branch if is_layer(node, graph)}
        reads = {value.name for node in branch for value in (*node.inputs, *node.outputs)} - params
        links.append(reads.union(value.name for value in _moved(coupling)))
    worth = set().union(*(chain for chain in _groups(links) if not layers.isdisjoint(chain)))
    return [coupling for coupling in found if coupling.y.name in worth]


def _moved(coupling: Coupling) -> tuple[Value, Value, Value]:
    return coupling.x, coupling.f, coupling.y


def _groups(links: Iterable[set[str]]) -> tuple[tuple[str, ...], ...]:
    """Names in groups: two of one link are in one group."""
    groups: list[set[str]] = []
    for link in links:
        joined = link.union(*(group for group in groups if group & link))
        groups = [group for group in groups if not group & link] + [joined]
    return tuple(tuple(sorted(group)) for group in groups)
