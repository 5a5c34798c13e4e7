"""sparse: train chosen layers, of them chosen tensors, and of a weight chosen channels (arXiv:2206.15472).

What is trained is written down in a scheme (`scheme`). Of a weight only the chosen channels become a parameter that
lies in RAM; the rest stays in flash, and the layer reads both (`ops/sparse_layer`). Gradients, optimizer state and
what the backward pass keeps shrink with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node, Param, identity
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops import operator_of
from micrograft.ops.builder import Builder
from micrograft.ops.sparse_layer import BASES, SparseAttrs
from micrograft.ops.sparse_quantized_layer import QUANTIZED_BASES
from micrograft.peft.method import Method, Start
from micrograft.peft.scheme import LayerScheme, Scheme

_NOTHING = Scheme()
_INDEX, _CHOSEN, _CHANNELS = ".index", ".chosen", ".channels"
"""Behind the name of a weight: where the trained channels stand in our layout, those channels, and their numbers."""


@dataclass(frozen=True)
class Sparse(Method):
    """Train what a scheme names.

    scheme: what is trained. file: a TOML file to read the scheme from instead; it is read at once.
    """

    name: ClassVar[str] = "sparse"
    first: ClassVar[str] = "file"
    scheme: Scheme = _NOTHING
    file: str = ""

    def __post_init__(self) -> None:
        if self.file and not self.scheme.layers:
            object.__setattr__(self, "scheme", Scheme.read(self.file))

    def apply(self, graph: Graph, start: Start) -> Graph:
        if not self.scheme.layers:
            raise MicrograftError("the sparse scheme names no layer", fix="write sparse:FILE.toml")
        layers = _layers(graph)
        for each in self.scheme.layers:
            if each.layer not in layers:
                close = difflib.get_close_matches(each.layer, list(layers), n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                raise each.mistake("the network has no such layer", f"{hint}its layers are {', '.join(layers)}")
            if each.bias:
                graph = _marked(graph, [param.name for param in _tensors(graph, each, layers[each.layer], "bias")])
            if each.weight or each.channels:
                for weight in _tensors(graph, each, layers[each.layer], "weight"):
                    graph = _trained_weight(graph, each, weight)
        return graph


def with_channels(scheme: Scheme, graph: Graph, gradients: Mapping[str, Array]) -> Scheme:
    """The scheme with lists of channels in the lines that leave it to data which ones.

    gradients: name of a weight to the gradient of the mean loss with respect to it, of its shape. A step along a
    channel's gradient alone lowers the loss by its squared norm, to first order, so those of the largest norm are
    taken; where a layer has several weights the same channels of each. Raises MicrograftError.
    """
    layers = _layers(graph)

    def decided(line: LayerScheme) -> LayerScheme:
        weights = _tensors(graph, line, layers[line.layer], "weight")
        gains = [_squares(gradients[each.name], each, _channels_axis(each, graph, line)) for each in weights]
        if len({len(each) for each in gains}) > 1:
            raise line.mistake("its weights differ in their channels", 'list them, or set choose = "magnitude"')
        count = line.count(len(gains[0]))
        if count == len(gains[0]):
            return replace(line, weight=1.0, choose="magnitude")
        best = np.sort(_largest(np.sum(gains, axis=0), count))
        return replace(line, weight=0.0, choose="magnitude", channels=tuple(map(int, best)))

    return Scheme(tuple(decided(each) if each.open else each for each in scheme.layers))


def chosen_channels(adapted: Graph, network: Graph) -> dict[str, Array]:
    """Which channels of `network`'s weights the parts trained in `adapted` are, in the user's numbering: (k,) int32."""
    sources = {param.source: param for param in network.params}
    found = {}
    for node in adapted.nodes:
        if not isinstance(node.attrs, SparseAttrs):
            continue
        index = adapted.param(node.inputs[3].name)
        assert index is not None, "a sparse layer's index is a parameter"
        name = index.source.removesuffix(_INDEX)
        numbers = np.argsort(_order(sources[name], _axis(sources[name], node.attrs.side)))
        found[name + _CHANNELS] = numbers[index.data].astype(np.int32)
    return found


def _layers(graph: Graph) -> dict[str, list[Node]]:
    """Layers with something that could be trained, by the user's name, and their nodes."""
    learnable = {param.name for param in graph.params if param.learnable}
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if any(value.name in learnable for value in node.inputs):
            found.setdefault(node.origin, []).append(node)
    return found


def _tensors(graph: Graph, scheme: LayerScheme, nodes: Sequence[Node], role: str) -> list[Param]:
    """The parameters that play this role in a layer. Raises MicrograftError where there is none."""
    found: dict[str, Param] = {}
    for node in nodes:
        for index, value in enumerate(node.inputs):
            param = graph.param(value.name)
            if operator_of(node).role(index) == role and param is not None and param.learnable:
                found[param.name] = param
    if not found:
        raise scheme.mistake(f"it has no {role}")
    return list(found.values())


def _marked(graph: Graph, names: Sequence[str]) -> Graph:
    params = (replace(param, trainable=True) if param.name in names else param for param in graph.params)
    return replace(graph, params=tuple(params))


def _trained_weight(graph: Graph, scheme: LayerScheme, weight: Param) -> Graph:
    """The graph with a weight, or the channels of it that the scheme names, marked as trainable."""
    if weight.trainable:  # as a whole, by another method
        return graph
    if scheme.whole:
        return _marked(graph, [weight.name])
    readers, axis = graph.readers[weight.name], _channels_axis(weight, graph, scheme)
    if scheme.count(weight.value.shape[axis]) == weight.value.shape[axis]:
        return _marked(graph, [weight.name])
    index = _choice(scheme, weight, axis)
    builder = Builder(value.name for value in graph.values)
    part, place = _part(weight, axis, index, builder)
    rest = weight.data.copy()
    rest[index if axis == 0 else (..., index)] = 0
    nodes = {id(node): _reading(node, part, place, "output" if axis == 0 else "input") for node in readers}
    params = (replace(param, data=rest) if param is weight else param for param in graph.params)
    return replace(
        graph,
        params=(*params, part, place),
        nodes=tuple(nodes.get(id(node), node) for node in graph.nodes),
    )


def _channels_axis(weight: Param, graph: Graph, scheme: LayerScheme) -> int:
    """Where the channels that a scheme counts stand in our layout. Raises MicrograftError where none can be chosen."""
    readers = graph.readers[weight.name]
    _check(scheme, readers)
    return -1 if readers[0].op.endswith("depthwise_conv") else _axis(weight, scheme.side)


def _check(scheme: LayerScheme, readers: Sequence[Node]) -> None:
    """Raise MicrograftError unless all that reads a weight are layers of which channels can be trained."""
    for node in readers:
        op, conv = node.op.removeprefix("quantized_"), getattr(node.attrs, "conv", node.attrs)
        depthwise = op == "depthwise_conv" and node.outputs[0].shape[-1] == node.inputs[0].shape[-1]
        if op == "linear" or (op == "conv" and getattr(conv, "groups", 1) == 1) or depthwise:
            continue
        where = "" if node.origin == scheme.layer else f" (its weight is that of {node.origin!r} too)"
        what = f"channels cannot be chosen of an operator {op}{where}" if op not in BASES else "it has groups"
        raise scheme.mistake(what, "set weight = 1 to train the whole tensor")


def _reading(node: Node, part: Param, index: Param, side: str) -> Node:
    """The layer, reading its weight in two places."""
    x, weight, *others = node.inputs
    attrs = SparseAttrs(node.op, node.attrs, "output" if side == "output" else "input")
    op = "sparse_quantized_layer" if node.op in QUANTIZED_BASES else "sparse_layer"
    return replace(node, op=op, inputs=(x, weight, part.value, index.value, *others), attrs=attrs)


def _axis(weight: Param, side: str) -> int:
    """Where the channels of a side stand in our layout."""
    return 0 if side == "output" and weight.value.shape[0] > 1 else -1


def _order(weight: Param, axis: int) -> list[int]:
    """For each channel in the user's numbering, where it stands in ours."""
    return list(dict.fromkeys(weight.to_user(_places(weight.value.shape, axis)).ravel().tolist()))


def _places(shape: Shape, axis: int) -> Array:
    """Each element's place along an axis."""
    along = [1] * len(shape)
    along[axis] = -1
    return np.broadcast_to(np.arange(shape[axis]).reshape(along), shape)


def _cut(places: Array, count: int) -> tuple[Shape, list[int]]:
    """The shape of a tensor of which so many channels are taken, and the axes that count the channels."""
    along = [axis for axis in range(places.ndim) if np.any(np.diff(places, axis=axis))]
    return tuple(count if axis in along else size for axis, size in enumerate(places.shape)), along


def _choice(scheme: LayerScheme, weight: Param, axis: int) -> Array:
    """Where the chosen channels stand in our layout, ascending.

    Where data have yet to tell them, as many by magnitude: they cost the same.
    """
    order = np.array(_order(weight, axis))
    count = scheme.count(len(order))
    if scheme.channels is not None:
        numbers = np.array(scheme.channels)
    elif scheme.choose == "first":
        numbers = np.arange(count)
    else:
        quant = weight.value.type.quant
        real = weight.data if quant is None else quant.real(weight.data)
        numbers = _largest(_squares(real, weight, axis), count)
    return np.sort(order[numbers])


def _squares(data: Array, weight: Param, axis: int) -> Array:
    """The sum of squares of each channel of something of a weight's shape, in the user's numbering."""
    channels = np.moveaxis(data, axis, 0).astype(np.float64)
    squares: Array = np.square(channels).reshape(len(channels), -1).sum(axis=1)
    return squares[_order(weight, axis)]


def _largest(sizes: Array, count: int) -> Array:
    """The places of the largest numbers; of equal ones the first."""
    return np.argsort(-sizes, kind="stable")[:count]


def _part(weight: Param, axis: int, index: Array, builder: Builder) -> tuple[Param, Param]:
    """The trained channels as a parameter, and where they stand as another."""
    data = np.ascontiguousarray(weight.data[index] if axis == 0 else weight.data[..., index])
    quant = weight.value.type.quant
    if quant is not None and quant.axis == axis % weight.data.ndim:
        quant = replace(
            quant,
            scales=tuple(quant.scales[place] for place in index),
            zero_points=tuple(quant.zero_points[place] for place in index),
        )
    value = Value(builder.unique(f"{weight.name}_chosen"), replace(weight.value.type, shape=data.shape, quant=quant))
    places = _places(weight.value.shape, axis)
    user_shape, (moving,) = _cut(weight.to_user(places), len(index))
    permutation, axes = weight.permutation, weight.axes
    if axes is not None:
        axes, along = _cut(places.reshape(axes), len(index))
        if len(along) > 1:  # columns behind a flatten, which the user's framework holds in another order
            permutation, axes = ((0, 1) if moving == 1 else (1, 0)), None
    part = Param(value, data, weight.source + _CHOSEN, permutation, trainable=True, user_shape=user_shape, axes=axes)
    place = Value(builder.unique(f"{weight.name}_index"), TensorType((len(index),), DType.INT32))
    return part, Param(place, index.astype(np.int32), weight.source + _INDEX, identity(1), learnable=False)
