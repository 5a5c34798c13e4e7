"""How much work a node is: an estimate of its instructions, for choosing what is cheapest to compute again.

The model: each multiply-accumulate, each element written and each element read costs a fixed number of
instructions. It ranks nodes and predicts shares of a step; the emulator counts the real instructions.
"""

from __future__ import annotations

from micrograft.ir.graph import Node
from micrograft.ir.types import DType
from micrograft.ops import operator_of

PER_MAC = 4
"""Instructions for a multiply-accumulate in float32 on a Cortex-M4F or M7 (4 to 6 in `shared/facts.md`)."""

PER_ELEMENT = 4
"""Instructions for an element that is read or written: its load or store, its share of the loop."""

PER_CODE_MAC = 2
"""The same of int8 layers where the core multiplies pairs (`benchmarks/hot_spots.py`: 1.8 in linear layers, 4 in
depthwise convolutions). For MCUNet's inference the model says 65 million, the emulator counts 77."""

PER_CODE = 40
"""Instructions for what becomes of an int8 layer's sum: its factor, its rounding, and what each output costs beside."""


def work(node: Node) -> int:
    """Estimated instructions of `node`; a view costs none."""
    operator = operator_of(node)
    if operator.view:
        return 0
    macs = operator.macs(node)
    elements = sum(value.type.size for value in node.outputs[:1])
    if macs and node.outputs[0].dtype is DType.INT8 and node.outputs[0].type.quant is not None:
        return PER_CODE_MAC * macs + PER_CODE * elements
    if not macs:
        elements += sum(value.type.size for value in node.inputs)
    return PER_MAC * macs + PER_ELEMENT * elements
