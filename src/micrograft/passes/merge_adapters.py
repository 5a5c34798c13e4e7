"""Works adapters into the weights that they stand beside: the network then predicts at its original cost.

LoRA: W + (alpha/r)·B·A. A weight that lies in two places becomes one again. Scales such as IA³'s are folded by
`fold_batch_norm` and `fold_scaled_factors` once nothing is trainable. Beside an int8 weight a detour stays as it is: it
is finer than the weight's codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from micrograft.ir.graph import Graph, Node, Param
from micrograft.ir.types import Array
from micrograft.ops import check
from micrograft.ops.scale import ScaleAttrs
from micrograft.ops.sparse_layer import SparseAttrs, joined
from micrograft.passes.fold_batch_norm import fold_batch_norm
from micrograft.passes.fold_scaled_factors import fold_scaled_factors
from micrograft.passes.prune import prune


def with_values(graph: Graph, values: Mapping[str, Array]) -> Graph:
    """The graph with other contents of its parameters; values: by the user's names, in the user's layout."""

    def changed(param: Param) -> Param:
        return replace(param, data=param.from_user(values[param.source])) if param.source in values else param

    return replace(graph, params=tuple(changed(param) for param in graph.params))


def merge_adapters(graph: Graph) -> Graph:
    """The network that predicts the same, within float rounding, with nothing trainable and no adapter beside a
    weight. An adapter whose layer has another reader stays as it is."""
    params = {param.name: replace(param, trainable=False) for param in graph.params}
    producers, readers = graph.producers, graph.readers
    replaced: dict[int, Node] = {}
    for node in graph.nodes:
        if isinstance(node.attrs, SparseAttrs):
            x, frozen, part, index, *bias = node.inputs
            whole = joined(node.attrs.side, params[frozen.name].data, params[part.name].data, params[index.name].data)
            params[frozen.name] = replace(params[frozen.name], data=whole)
            replaced[id(node)] = replace(node, op=node.attrs.base, inputs=(x, frozen, *bias), attrs=node.attrs.attrs)
        found = _adapter(node, producers) if node.op == "linear_add" else None
        if found is None:
            continue
        base, a, b, factor = found
        weight = params.get(base.inputs[1].name)
        if weight is None or len(readers[weight.name]) > 1 or len(readers[base.outputs[0].name]) > 1:
            continue
        change = factor * (params[b].data @ params[a].data.reshape(len(params[a].data), -1))
        merged = (weight.data + change.reshape(weight.data.shape)).astype(weight.data.dtype)
        params[weight.name] = replace(weight, data=merged)
        replaced[id(node)] = replace(base, outputs=node.outputs)
    nodes = tuple(replaced.get(id(node), node) for node in graph.nodes)
    merged_graph = prune(replace(graph, params=tuple(params.values()), nodes=nodes))
    return check(fold_scaled_factors(fold_batch_norm(merged_graph)), "merge_adapters")


def _adapter(node: Node, producers: Mapping[str, Node]) -> tuple[Node, str, str, float] | None:
    """Of a node y + B·(factor·A·x): the layer that gives y from the same x, the names of A and B, the factor."""
    down, b, before = node.inputs
    base, detour = producers.get(before.name), producers.get(down.name)
    factor = 1.0
    if detour is not None and isinstance(detour.attrs, ScaleAttrs):
        factor = detour.attrs.factor
        detour = producers.get(detour.inputs[0].name)
    if base is None or detour is None or (base.op, base.attrs) != (detour.op, detour.attrs):
        return None
    if base.inputs[0] != detour.inputs[0]:
        return None
    return base, detour.inputs[1].name, b.name, factor
