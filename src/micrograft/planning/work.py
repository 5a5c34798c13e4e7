"""How much work a node is: an estimate of its instructions, for choosing what is cheapest to compute again.

The model: each multiply-accumulate, each element written and each element read costs a fixed number of
instructions. It ranks nodes and predicts shares of a step; the emulator counts the real instructions.
"""

from __future__ import annotations

from micrograft.ir.graph import Node
from micrograft.ops import operator_of

PER_MAC = 4
"""Instructions for a multiply-accumulate in float32 on a Cortex-M4F or M7 (4 to 6 in `shared/facts.md`)."""

PER_ELEMENT = 4
"""Instructions for an element that is read or written: its load or store, its share of the loop."""


def work(node: Node) -> int:
    """Estimated instructions of `node`; a view costs none."""
    operator = operator_of(node)
    if operator.view:
        return 0
    elements = sum(value.type.size for value in node.outputs[:1])
    if not operator.macs(node):
        elements += sum(value.type.size for value in node.inputs)
    return PER_MAC * operator.macs(node) + PER_ELEMENT * elements
