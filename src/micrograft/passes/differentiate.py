"""Reverse-mode differentiation, graph to graph: backward nodes are ordinary nodes.

Only what lies between a trainable parameter and the loss is differentiated. Where a value has several readers
their gradients are summed, as soon as the second one exists. What the backward pass needs from the forward
pass is what each operator's own gradient rule asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Attrs, Graph, Node, Param, Phase, Port, TrainStep, identity, param_of
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops import check, operator_of
from micrograft.ops.builder import Builder
from micrograft.ops.operator import ShapeError

LOSSES = {"cross_entropy": "cross_entropy", "mse": "mean_squared_error", "bce": "binary_cross_entropy"}
"""The name that a person writes, to the operator."""

_STRIPPED = {"cross_entropy": ("softmax", "log_softmax"), "bce": ("sigmoid",)}
"""A loss on logits reads what stands before the network's last activation."""

TARGET = "target"


def attach_loss(graph: Graph, loss: str) -> TrainStep:
    """The network with its loss behind it and the target as a second input.

    cross_entropy takes class indices int32, one per row of the output; mse and bce take float32 of the output's
    shape. A last softmax (cross_entropy) or sigmoid (bce) is kept for predictions, but the loss reads the logits
    before it; so it does with an argmax. Raises MicrograftError for an unknown loss or a network with several outputs.
    """
    if loss not in LOSSES:
        raise MicrograftError(f"There is no loss {loss!r}; use one of {', '.join(LOSSES)}.")
    if len(graph.outputs) != 1:
        names = ", ".join(port.label or port.value.name for port in graph.outputs)
        raise MicrograftError(f"The network has {len(graph.outputs)} outputs ({names}), but a loss takes one of them.")
    logits = _read_by(loss, graph)
    builder = Builder(value.name for value in graph.values)
    target_type = TensorType(logits.shape[:-1], DType.INT32) if loss == "cross_entropy" else TensorType(logits.shape)
    target = Value(builder.unique(TARGET), target_type)
    try:
        value = builder.add(LOSSES[loss], (logits, target), origin="loss", name="loss")
    except ShapeError as error:
        raise MicrograftError(f"The loss {loss} cannot read the network's output: {error}.") from error
    port = Port(target, identity(len(target.shape)), TARGET)
    if loss != "cross_entropy" and len(target.shape) == len(graph.outputs[0].permutation):
        port = replace(port, permutation=graph.outputs[0].permutation)
    nodes = (*graph.nodes, *builder.nodes)
    return TrainStep(replace(graph, inputs=(*graph.inputs, port), outputs=(), nodes=nodes), value)


def _read_by(loss: str, graph: Graph) -> Value:
    """What the loss reads: the output, or what stands before its argmax, and before the activation of logits."""
    output = graph.outputs[0].value
    producers = graph.producers
    value = output
    while (node := producers.get(value.name)) is not None and node.op in ("argmax", "reshape"):
        value = node.inputs[0]
        if node.op == "argmax":
            output = value
    producer = producers.get(output.name)
    return producer.inputs[0] if producer is not None and producer.op in _STRIPPED.get(loss, ()) else output


def differentiate(step: TrainStep) -> TrainStep:
    """Append the backward nodes of `step.loss` for every trainable parameter and name their gradients.

    Raises MicrograftError where nothing is trainable or an operator on the way has no gradient.
    """
    if not step.graph.trainable:
        raise MicrograftError("Nothing is trainable: the method matches no parameter of this network.")
    return _Backward(step).run()


class _Backward:
    """The state of one differentiation; gradient rules talk to it."""

    def __init__(self, step: TrainStep) -> None:
        self._step = step
        self._graph = step.graph
        self._nodes = list(step.graph.nodes)
        self._builder = Builder(value.name for value in step.graph.values)
        self._wanted = _downstream_of_trainable(step.graph)
        self._gradients: dict[str, Value] = {}
        self._constants: dict[tuple[str, bytes], Param] = {}
        self._position = 0

    def needs(self, value: Value) -> bool:
        return value.name in self._wanted

    def keep(self, node: Node, output: str) -> Value:
        index = operator_of(node).outputs.index(output)
        current = self._nodes[self._position]
        if len(current.outputs) <= index:
            types = operator_of(current).types(current)
            added = tuple(
                Value(self._builder.unique(f"{current.outputs[0].name}_{role}"), type_)
                for role, type_ in zip(operator_of(current).outputs, types, strict=True)
            )
            current = replace(current, outputs=(*current.outputs, *added[len(current.outputs) : index + 1]))
            self._nodes[self._position] = current
        return current.outputs[index]

    def emit(self, op: str, *inputs: Value, attrs: Attrs | None = None) -> Value:
        return self.emit_all(op, *inputs, attrs=attrs, outputs=1)[0]

    def emit_all(self, op: str, *inputs: Value, attrs: Attrs | None = None, outputs: int) -> tuple[Value, ...]:
        node = self._nodes[self._position]
        names = (f"{node.outputs[0].name}_{op}",) * outputs
        return self._builder.add_all(op, inputs, attrs, origin=node.origin, names=names, phase=Phase.BACKWARD)

    def constant(self, data: Array, name: str) -> Value:
        key = (data.dtype.name, data.tobytes())
        if key not in self._constants:
            origin = self._nodes[self._position].origin
            self._constants[key] = param_of(self._builder.unique(f"{origin}_{name}"), data, learnable=False)
        return self._constants[key].value

    def run(self) -> TrainStep:
        for position in reversed(range(len(self._nodes))):
            self._position = position
            node = self._nodes[position]
            is_loss = node.outputs[0] == self._step.loss
            arrived = [self._gradients.get(value.name) for value in node.outputs]
            if not self.needs(node.outputs[0]) or not (is_loss or any(arrived)):
                continue
            rule = operator_of(node).gradient
            if rule is None:
                raise MicrograftError(
                    f"Layer {node.origin or node.outputs[0].name!r} cannot be trained through: the operator "
                    f"{node.op} has no gradient. Adapt only layers behind it."
                )
            self._collect(node.inputs, rule(self, node, arrived))
        gradients = {
            param.name: self._gradients[param.name] for param in self._graph.trainable if param.name in self._gradients
        }
        missing = [param.source for param in self._graph.trainable if param.name not in gradients]
        if missing:
            raise MicrograftError(f"The loss does not depend on {', '.join(missing)}: leave it out of what is trained.")
        params = (*self._graph.params, *self._constants.values())
        graph = replace(self._graph, nodes=(*self._nodes, *self._builder.nodes), params=params)
        return replace(self._step, graph=check(graph, "differentiate"), gradients=gradients)

    def _collect(self, inputs: Sequence[Value], gradients: Sequence[Value | None]) -> None:
        for value, gradient in zip(inputs, gradients, strict=True):
            if gradient is None or not self.needs(value):
                continue
            earlier = self._gradients.get(value.name)
            self._gradients[value.name] = gradient if earlier is None else self.emit("add", earlier, gradient)


def _downstream_of_trainable(graph: Graph) -> set[str]:
    """Names of the values that depend on a trainable parameter, those parameters included."""
    wanted = {param.name for param in graph.trainable}
    for node in graph.nodes:
        if any(value.name in wanted for value in node.inputs):
            wanted.add(node.outputs[0].name)  # the others are masks and indices
    return wanted
