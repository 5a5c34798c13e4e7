"""streamed_conv: two or three int8 convolutions behind each other, computed row by row.

Of what lies between two stages only the rows that the next one's window covers exist, in scratch memory: an inverted
bottleneck's widest tensor is never whole, and nothing is computed twice (unlike in patches, arXiv:2110.15352).
x: (1, *spatial, C) int8, rows along the first spatial axis; then three tensors for each stage: weight, bias and
factors as its operator takes them; y: the last stage's output. The codes are those of the stages one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import DType, Shape, TensorType, Value
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.operator import Arrays, Field, Group, KernelCall, Operator, Sample, Types, require
from micrograft.ops.quantized_conv import QUANTIZED_CONV, QuantizedConvAttrs, conv_int8_call, sample_attrs
from micrograft.ops.quantized_depthwise_conv import QUANTIZED_DEPTHWISE_CONV
from micrograft.ops.requantization import sample_channels, sample_codes

STAGES = 3
"""At most; `MG_STAGES`."""

OPERATORS = {each.name: each for each in (QUANTIZED_CONV, QUANTIZED_DEPTHWISE_CONV)}
"""What can be a stage."""

_TENSORS = 3
_CONV, _DEPTHWISE, _LINEAR = 0, 1, 2


@dataclass(frozen=True)
class Stage:
    """One convolution. op: `quantized_conv` or `quantized_depthwise_conv`."""

    op: str
    attrs: QuantizedConvAttrs


@dataclass(frozen=True)
class StreamedConvAttrs(Attrs):
    """stages: in the order of computation."""

    stages: tuple[Stage, ...]


def stream(stages: Sequence[Node]) -> Node:
    """One node for convolutions of which each reads the one before."""
    attrs = StreamedConvAttrs(tuple(Stage(node.op, _attrs(node)) for node in stages))
    tensors = [value for node in stages for value in node.inputs[1:]]
    last = stages[-1]
    return Node("streamed_conv", (stages[0].inputs[0], *tensors), last.outputs, attrs, last.origin, last.phase)


def held_bytes(stages: Sequence[Node]) -> int:
    """Memory for what windows see and for the rows that are held between stages."""
    return _columns(stages) + sum(rows * _row_bytes(node) for rows, node in zip(_held(stages), stages, strict=True))


def _columns(stages: Sequence[Node]) -> int:
    """Bytes for what the windows of one stage after the other see."""
    return max((value.type.bytes for node in stages for value in OPERATORS[node.op].scratch(node)), default=0)


def _attrs(node: Node) -> QuantizedConvAttrs:
    assert isinstance(node.attrs, QuantizedConvAttrs)
    return node.attrs


def _held(stages: Sequence[Node]) -> list[int]:
    """How many rows of each stage's output one row of the next stage's needs; 0 behind the last."""
    windows = [_attrs(node).conv.window(node.inputs[1].shape[1:-1]) for node in stages[1:]]
    read = [min(window.extent[0], node.inputs[0].shape[1]) for window, node in zip(windows, stages[1:], strict=True)]
    return [*read, 0]


def _row_bytes(node: Node) -> int:
    y = node.outputs[0]
    return y.type.bytes // y.shape[1]


def _outputs(attrs: StreamedConvAttrs, types: Types) -> list[TensorType]:
    """What each stage gives."""
    require(2 <= len(attrs.stages) <= STAGES, f"{len(attrs.stages)} stages are not 2 to {STAGES}")
    require(len(types) == 1 + _TENSORS * len(attrs.stages), "each stage takes a weight, a bias and factors")
    found: list[TensorType] = []
    x, tensors = types[0], iter(types[1:])
    for stage, weight, bias, factors in zip(attrs.stages, tensors, tensors, tensors, strict=True):
        require(stage.op in OPERATORS, f"{stage.op} is no stage")
        x = OPERATORS[stage.op].infer(stage.attrs, (x, weight, bias, factors))[0]
        found.append(x)
    return found


def _evaluate(attrs: StreamedConvAttrs, arrays: Arrays) -> Arrays:
    x, tensors = arrays[0], iter(arrays[1:])
    for stage, weight, bias, factors in zip(attrs.stages, tensors, tensors, tensors, strict=True):
        x = OPERATORS[stage.op].evaluate(stage.attrs, (x, weight, bias, factors))[0]
    return (x,)


def _stages(node: Node) -> list[Node]:
    """The convolutions, each as a node."""
    assert isinstance(node.attrs, StreamedConvAttrs)
    found: list[Node] = []
    x, tensors = node.inputs[0], iter(node.inputs[1:])
    types = _outputs(node.attrs, [value.type for value in node.inputs])
    for stage, type_, *given in zip(node.attrs.stages, types, tensors, tensors, tensors, strict=True):
        y = Value(f"{node.outputs[0].name}.{len(found)}", type_)
        found.append(Node(stage.op, (x, *given), (y,), stage.attrs))
        x = y
    return found


def _scratch(node: Node) -> tuple[Value, ...]:
    size = held_bytes(_stages(node))
    return (Value(f"{node.outputs[0].name}.scratch", TensorType((size,), DType.INT8)),)


def _fields(node: Node, held: int) -> tuple[Field, ...]:
    """An `mg_stage`."""
    x, weight, *_ = node.inputs
    attrs, kernel = _attrs(node), weight.shape[1:-1]
    if node.op == QUANTIZED_DEPTHWISE_CONV.name:
        kind, outputs, groups = _DEPTHWISE, weight.shape[-1], x.shape[-1]
    else:
        kind, outputs, groups = _CONV, weight.shape[0], attrs.conv.groups
        kind = _LINEAR if attrs.conv.is_linear(kernel) else _CONV
    fields = conv_int8_call("", attrs.conv.window(kernel), x.shape, outputs, groups, attrs.x_zero, attrs.y).fields
    if len(kernel) == 1:  # for the kernels a 1-D convolution has height 1; its rows are the places of its one axis
        (_, one), (_, places), *others = fields
        fields = (("height", places), ("width", one), *others)
    return (("kind", kind), ("held", held), *((f"conv.{name}", value) for name, value in fields))


def _nothing(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Zeros in place of a stage that is not there."""
    return tuple((name, tuple(0 for _ in x) if isinstance(x, tuple) else type(x)(0)) for name, x in fields)


def _call(node: Node) -> tuple[KernelCall, ...]:
    stages = _stages(node)
    structs = [_fields(stage, held) for stage, held in zip(stages, _held(stages), strict=True)]
    structs += [_nothing(structs[0])] * (STAGES - len(stages))
    fields: list[Field] = [
        (f"stages[{index}].{name}", value) for index, struct in enumerate(structs) for name, value in struct
    ]
    tensors: list[tuple[Value | None, ...]] = [stage.inputs[1:] for stage in stages]
    tensors += [(None, None, None)] * (STAGES - len(stages))
    members = [(f"weight[{index}]", weight) for index, (weight, _, _) in enumerate(tensors)]
    for index, (_, bias, factors) in enumerate(tensors):
        members += [(f"channels[{index}].bias", bias), (f"channels[{index}].factors", factors)]
    weights = Group("mg_stage_weights", tuple(members))
    (held,) = _scratch(node)
    pointers = (node.inputs[0], weights, held, node.outputs[0])
    params = (*fields, ("count", len(stages)), ("columns", _columns(stages)))
    return (KernelCall("mg_streamed_conv_int8", "mg_streamed_conv_int8_params", params, pointers),)


def _macs(node: Node) -> int:
    return sum(OPERATORS[stage.op].macs(stage) for stage in _stages(node))


def _cases() -> Iterator[tuple[Shape, list[tuple[int, tuple[int, ...], ConvAttrs]]]]:
    """Shape of x, and for each stage outputs (0: depthwise), kernel and geometry."""
    ones, none, same = (1, 1), ((0, 0), (0, 0)), ((1, 1), (1, 1))
    linear, window = ConvAttrs(ones, none, ones), ConvAttrs(ones, same, ones)
    yield (1, 7, 6, 4), [(8, ones, linear), (0, (3, 3), window), (5, ones, linear)]
    yield (1, 12, 9, 3), [(8, (3, 3), ConvAttrs((2, 2), same, ones)), (0, (3, 3), window), (4, ones, linear)]
    yield (1, 9, 4, 4), [(9, ones, linear), (0, (3, 3), ConvAttrs((2, 2), ((0, 1), (0, 1)), ones)), (4, ones, linear)]
    yield (1, 3, 5, 6), [(12, ones, linear), (0, (7, 7), ConvAttrs(ones, ((3, 3), (3, 3)), ones)), (6, ones, linear)]
    yield (
        (1, 11, 3, 2),
        [(0, (3, 2), ConvAttrs(ones, ((4, 2), (0, 1)), (2, 1))), (3, (2, 2), ConvAttrs((3, 1), none, ones))],
    )
    yield (1, 8, 8, 6), [(6, ones, ConvAttrs((2, 2), none, ones, 3)), (4, (3, 3), ConvAttrs(ones, same, ones, 2))]
    yield (1, 9, 2, 4), [(4, (2, 1), window), (4, ones, ConvAttrs((3, 2), none, ones)), (0, (2, 1), window)]
    yield (
        (1, 30, 5),
        [
            (4, (5,), ConvAttrs((2,), ((2, 2),), (1,))),
            (0, (3,), ConvAttrs((1,), ((2, 0),), (1,))),
            (7, (1,), ConvAttrs((1,), ((0, 0),), (1,))),
        ],
    )


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(1)
    for number, (shape, cases) in enumerate(_cases()):
        arrays, stages, channels = [sample_codes(generator, shape)], list[Stage](), shape[-1]
        zero = None
        for index, (outputs, kernel, conv) in enumerate(cases):
            depthwise = not outputs
            taken = 1 if depthwise else channels // conv.groups
            channels = outputs or channels
            weight = (1, *kernel, channels) if depthwise else (outputs, *kernel, taken)
            attrs = sample_attrs(conv, number + index)
            attrs = attrs if zero is None else QuantizedConvAttrs(conv, zero, attrs.y)
            zero = attrs.y.quant.zero
            arrays += [
                sample_codes(generator, weight),
                *sample_channels(generator, channels, taken * int(np.prod(kernel))),
            ]
            stages.append(Stage((QUANTIZED_DEPTHWISE_CONV if depthwise else QUANTIZED_CONV).name, attrs))
        yield Sample(tuple(arrays), StreamedConvAttrs(tuple(stages)))


STREAMED_CONV = Operator(
    name="streamed_conv",
    inputs=("x", "tensors*"),
    infer=lambda attrs, types: (_outputs(attrs, types)[-1],),
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    macs=_macs,
    cost=lambda node, macs: sum(OPERATORS[stage.op].work(stage) for stage in _stages(node)),
    scratch=_scratch,
)
