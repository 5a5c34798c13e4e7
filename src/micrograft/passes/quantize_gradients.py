"""Takes the gradients of a step from float32 to integers (`ops.block`), wherever the operators can.

Each backward node whose operator has an integer rule becomes what the rule emits; between such nodes and others stand
nodes that quantize and dequantize. What each block starts from in the next step is a state of two int32. Nothing later
needs to know but the updates, which read blocks themselves or dequantize them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Attrs, Block, Node, Phase, State, TrainStep
from micrograft.ir.types import DType, Value
from micrograft.ops import check, operator_of
from micrograft.ops.block import SCALE
from micrograft.ops.block_elements import BlockDequantizeAttrs, BlockQuantizeAttrs
from micrograft.ops.builder import Builder


def quantize_gradients(step: TrainStep, dtype: DType) -> TrainStep:
    """`step`, before its optimizer is attached, with gradients of int16 or int8 codes.

    A step without int8 layers stays as it is.
    """
    return _Quantize(step, dtype).run()


def left_to_floats(step: TrainStep) -> list[str]:
    """Of a step with its optimizer: the layers whose gradients come in integers and whose updates take float32."""
    updates = (node for node in step.graph.nodes if node.phase is Phase.UPDATE and node.op.startswith("codes_"))
    return [node.origin for node in updates if node.inputs[0].name in step.blocks]


class _Quantize:
    """The state of one pass; integer rules talk to it."""

    def __init__(self, step: TrainStep, dtype: DType) -> None:
        self._step = step
        self._dtype = dtype
        self._builder = Builder(value.name for value in step.graph.values)
        self._blocks: dict[str, Block] = {}  # name of a gradient to its integer form
        self._floats: set[str] = set()  # names of gradients that are there in float32
        self._states: list[State] = []
        self._node = step.graph.nodes[0]

    def known(self, gradient: Value) -> Block | None:
        return self._blocks.get(gradient.name)

    def of(self, gradient: Value) -> Block:
        if gradient.name not in self._blocks:
            attrs = BlockQuantizeAttrs(self._dtype)
            self._blocks[gradient.name] = self.new("block_quantize", gradient, unit=1.0, attrs=attrs)
        return self._blocks[gradient.name]

    def emit(self, op: str, *inputs: Value, attrs: Attrs | None = None) -> Value:
        return self._all(op, inputs, attrs, 1)[0]

    def new(self, op: str, *inputs: Value, unit: float, attrs: Attrs | None = None) -> Block:
        scale = Value(self._builder.unique(f"{self._node.outputs[0].name}_scale"), SCALE)
        self._states.append(State(scale, np.zeros(SCALE.shape, np.int32)))
        codes, changed = self._all(op, (*inputs, scale), attrs, 2)
        return Block(codes, changed, unit)

    def run(self) -> TrainStep:
        for node in self._step.graph.nodes:
            self._node = node
            if node.phase is Phase.BACKWARD:
                self._backward(node)
            else:
                self._builder.nodes.append(node)
        given = self._step.gradients
        coded = set(self._blocks) - self._floats
        blocks = {name: self._blocks[value.name] for name, value in given.items() if value.name in coded}
        gradients = {name: value for name, value in given.items() if name not in blocks}
        graph = replace(self._step.graph, nodes=tuple(self._builder.nodes))
        states = (*self._step.states, *self._states)
        check(graph, "quantize_gradients", [state.value for state in states])
        return replace(self._step, graph=graph, gradients=gradients, blocks=blocks, states=states)

    def _backward(self, node: Node) -> None:
        rule = operator_of(node).in_blocks
        block = rule(self, node) if rule is not None else None
        if block is not None:
            self._blocks[node.outputs[0].name] = block
            return
        self._builder.nodes.append(replace(node, inputs=tuple(self._real(value) for value in node.inputs)))
        self._floats.update(value.name for value in node.outputs)

    def _real(self, value: Value) -> Value:
        """A value in float32: dequantized here where it is a block so far."""
        block = self._blocks.get(value.name)
        if block is not None and value.name not in self._floats:
            self._floats.add(value.name)
            inputs, attrs = (block.codes, block.scale), BlockDequantizeAttrs(block.unit)
            node = Node("block_dequantize", inputs, (value,), attrs, self._node.origin, Phase.BACKWARD)
            self._builder.nodes.append(node)
        return value

    def _all(self, op: str, inputs: tuple[Value, ...], attrs: Attrs | None, outputs: int) -> tuple[Value, ...]:
        node = self._node
        names = (f"{node.outputs[0].name}_codes", f"{node.outputs[0].name}_scale")[:outputs]
        return self._builder.add_all(op, inputs, attrs, origin=node.origin, names=names, phase=Phase.BACKWARD)
