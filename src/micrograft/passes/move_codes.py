"""Lets codes be moved, not real numbers: what only moves values sinks under a quantize and rises over a dequantize.

An importer draws some operators as several nodes, a slice of three axes say, between one dequantize and one quantize.
Behind this pass each of them stands between codes, or what computes does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Attrs, Graph, Node
from micrograft.ir.types import Quantization, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.concat import ConcatAttrs
from micrograft.ops.pad import PadAttrs, PadMode
from micrograft.ops.quantize import DequantizeAttrs, QuantizeAttrs
from micrograft.ops.resize import ResizeAttrs
from micrograft.passes.prune import prune
from micrograft.passes.rebuild import rebuild

_MOVES = ("expand", "max_pool", "pad", "reshape", "resize", "slice", "transpose")
_SINK = ("reshape", "slice", "transpose")
_CLAMPS = ("clip", "relu", "relu6")


def move_codes(graph: Graph) -> Graph:
    """`graph`, between whose codes no real numbers are moved that codes could be."""
    return check(prune(_risen(prune(_sunk(graph)))), "move_codes")


def in_codes(attrs: Attrs, quant: Quantization) -> Attrs:
    """The attributes of a move for codes: a constant that is put around them is one too."""
    if isinstance(attrs, PadAttrs):
        return replace(attrs, value=float(quant.codes(np.asarray(attrs.value))))
    return attrs


def _moves(node: Node, quant: Quantization) -> bool:
    """Whether a node gives codes of the same meaning for codes."""
    attrs = node.attrs
    if isinstance(attrs, PadAttrs) and attrs.mode is PadMode.CONSTANT:
        code = quant.codes(np.asarray(attrs.value))
        return abs(float(quant.real(code)) - attrs.value) <= quant.scale / 2
    if isinstance(attrs, ResizeAttrs):
        return not attrs.linear
    return node.op in _MOVES


def _risen(graph: Graph) -> Graph:
    """A dequantize stands behind what moves."""
    builder = Builder(value.name for value in graph.values)
    codes: dict[str, tuple[Value, Quantization]] = {}  # name of a value of real numbers to those that it comes from
    for node in graph.nodes:
        y = node.outputs[0]
        known = [codes.get(value.name) for value in node.inputs]
        found = [each for each in known if each is not None]
        if isinstance(node.attrs, DequantizeAttrs):
            codes[y.name] = node.inputs[0], node.attrs.x
        elif found and _can_rise(node, known):
            (_, quant), inputs = found[0], tuple(value for value, _ in found)
            attrs = in_codes(node.attrs, quant)
            moved = builder.add(node.op, inputs, attrs, origin=node.origin, name=f"{y.name}_codes")
            codes[y.name] = moved, quant
            node = Node("dequantize", (moved,), node.outputs[:1], DequantizeAttrs(quant), node.origin)
        builder.nodes.append(node)
    return replace(graph, nodes=tuple(builder.nodes))


def _can_rise(node: Node, known: list[tuple[Value, Quantization] | None]) -> bool:
    """Whether all that a node reads are codes of one meaning, and it only moves them."""
    meanings = {None if each is None else each[1] for each in known}
    (quant, *others) = meanings
    if others or quant is None:
        return False
    return isinstance(node.attrs, ConcatAttrs) or (len(known) == 1 and _moves(node, quant))


def _sunk(graph: Graph) -> Graph:
    """A quantize stands in front of what moves, right behind what computes."""
    builder = Builder(value.name for value in graph.values)
    for node in graph.nodes:
        chain = _chain(node, graph) if isinstance(node.attrs, QuantizeAttrs) else ()
        if chain:
            _sink(node, chain, builder, graph.producers)
        else:
            builder.nodes.append(node)
    return replace(graph, nodes=tuple(builder.nodes))


def _chain(quantize: Node, graph: Graph) -> tuple[Node, ...]:
    """The nodes in front of a quantize that move or clamp and that it alone reads, up to the first that moves."""
    found: list[Node] = []
    outputs = {port.value.name for port in graph.outputs}
    value = quantize.inputs[0]
    while (node := graph.producers.get(value.name)) is not None and node.op in (*_SINK, *_CLAMPS):
        if len(graph.readers[value.name]) > 1 or value.name in outputs:
            break
        found.insert(0, node)
        value = node.inputs[0]
    while found and found[0].op in _CLAMPS:  # those in front are where they belong
        del found[0]
    source = graph.producers.get(found[0].inputs[0].name) if found else None
    return tuple(found) if source is not None and source.op != "dequantize" else ()


def _sink(quantize: Node, chain: tuple[Node, ...], builder: Builder, producers: Mapping[str, Node]) -> None:
    """Clamps, quantize, moves."""
    x = chain[0].inputs[0]
    for node in (each for each in chain if each.op in _CLAMPS):
        x = builder.add(node.op, (x,), node.attrs, origin=node.origin, name=f"{node.outputs[0].name}_clamped")
    assert isinstance(quantize.attrs, QuantizeAttrs)
    origin = producers[chain[0].inputs[0].name].origin
    x = builder.add("quantize", (x,), quantize.attrs, origin=origin, name=f"{quantize.outputs[0].name}_unmoved")
    moves = [each for each in chain if each.op not in _CLAMPS]
    for node in moves[:-1]:
        x = builder.add(node.op, (x,), node.attrs, origin=node.origin, name=f"{node.outputs[0].name}_codes")
    builder.nodes.append(rebuild(replace(moves[-1], outputs=quantize.outputs), (x,)))
