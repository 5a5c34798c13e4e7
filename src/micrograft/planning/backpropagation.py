"""What standard backpropagation would need, for comparison: the wall that micrograft removes."""

from __future__ import annotations

from micrograft.ir.graph import Graph
from micrograft.ir.types import Value


def backpropagation_ram(graph: Graph, floats_per_parameter: int) -> int:
    """bytes of RAM for one ordinary training step of the whole network at batch 1, all in float32.

    Every learnable parameter with its gradient and optimizer state; the input and every layer's output, kept
    until the backward pass has read it; and the largest gradient of a layer's output together with that of its
    input. No masks, nothing in place, no update before the end: how a desktop framework does it. Estimated by
    this formula, not measured.

    floats_per_parameter: of optimizer state (0 for SGD, 1 with momentum, 2 for Adam).
    """
    parameters = sum(_floats(param.value) for param in graph.params if param.learnable)
    activations = sum(_floats(port.value) for port in graph.inputs)
    activations += sum(_floats(node.outputs[0]) for node in graph.nodes)
    computed = {node.outputs[0].name for node in graph.nodes}
    gradients = max(
        (
            _floats(node.outputs[0]) + sum(_floats(value) for value in node.inputs if value.name in computed)
            for node in graph.nodes
        ),
        default=0,
    )
    return parameters * (2 + floats_per_parameter) + activations + gradients


def _floats(value: Value) -> int:
    """bytes of a value in float32, whatever micrograft holds it in."""
    return 4 * value.type.size
