"""Brings an imported graph to the one form that all later passes know: channels last, biases in their layers.

Layers with weights have names of their own then.
"""

from __future__ import annotations

from micrograft.ir.graph import Graph
from micrograft.passes.absorb_layouts import absorb_layouts
from micrograft.passes.bypass_concat import bypass_concat
from micrograft.passes.bypass_interleave import bypass_interleave
from micrograft.passes.eliminate_transposes import eliminate_transposes
from micrograft.passes.fuse_attention import fuse_attention
from micrograft.passes.fuse_bias import fuse_bias
from micrograft.passes.fuse_gates import fuse_gates
from micrograft.passes.fuse_group_norm import fuse_group_norm
from micrograft.passes.fuse_normalization import fuse_normalization
from micrograft.passes.name_layers import name_layers
from micrograft.passes.pack_attention import pack_attention
from micrograft.passes.permute_columns import permute_columns
from micrograft.passes.prune import prune

_STEPS = (
    fuse_normalization,
    fuse_group_norm,
    fuse_gates,
    fuse_attention,
    bypass_interleave,
    eliminate_transposes,
    bypass_concat,
    pack_attention,
    permute_columns,
    prune,
    absorb_layouts,
    fuse_bias,
    absorb_layouts,
    prune,
    name_layers,
)
"""A reader that is dead would keep a parameter from being laid out anew, so these go first."""


def canonicalize(graph: Graph) -> Graph:
    """`graph`, channels last, with hardly a transposition left and nothing that is not read."""
    for step in _STEPS:
        graph = step(graph)
    return graph
