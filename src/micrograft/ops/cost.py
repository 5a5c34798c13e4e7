"""What an operator's kernels cost: estimated instructions, for choosing what is cheapest to compute again.

Counted in the emulator on a core with a float unit and products of pairs (Cortex-M7; an M4F's differ by a few per
cent), most of them on networks, the rest on the operators' own samples. `benchmarks/work.py` compares again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from micrograft.ir.graph import Node
from micrograft.ir.types import DType

CostRule = Callable[[Node, float], float]
"""Estimated instructions of a node with so many multiply-accumulates."""


@dataclass(frozen=True)
class Cost:
    """Instructions for each multiply-accumulate, each element of the first output, of the first input, each element of
    the optional outputs that the node has (a mask, an index), and for what is done once."""

    mac: float = 0.0
    output: float = 0.0
    input: float = 0.0
    optional: float = 0.0
    once: float = 20.0

    def __call__(self, node: Node, macs: float) -> float:
        first, *others = node.outputs
        elements = self.output * first.type.size
        if self.input:
            elements += self.input * node.inputs[0].type.size
        return self.mac * macs + elements + self.optional * sum(each.type.size for each in others) + self.once


PLAIN = Cost(mac=2.5, output=8)
"""Of an operator that says nothing else."""


def by_fours(cost: Cost, more: float = 1.2) -> CostRule:
    """The cost of kernels that take four channels of their output at a time: a product of those that remain costs so
    much more, as a share."""

    def rule(node: Node, macs: float) -> float:
        channels = node.outputs[0].shape[-1]
        return cost(node, macs * (1 + more * (channels % 4) / channels))

    return rule


def by_dtype(costs: dict[DType, CostRule]) -> CostRule:
    """A cost for each element type of the first output."""
    return lambda node, macs: costs[node.outputs[0].dtype](node, macs)


def by_weight(real: CostRule, codes: CostRule) -> CostRule:
    """A cost for a float32 weight, the second input, and one for a frozen int8 weight."""
    return lambda node, macs: (codes if node.inputs[1].dtype is DType.INT8 else real)(node, macs)
