"""How much work a node is: its estimated instructions, for choosing what is cheapest to compute again.

Each operator knows its own cost (`Operator.cost`), as the emulator counts it on cores with a float unit.
`benchmarks/work.py` compares the two, operator by operator.
"""

from __future__ import annotations

from micrograft.ir.graph import Node
from micrograft.ops import operator_of


def work(node: Node) -> int:
    """Estimated instructions of `node`; a view costs none."""
    return operator_of(node).work(node)
