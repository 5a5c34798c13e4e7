"""Promises of convolutions computed row by row, on a network of inverted bottlenecks on int8 codes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from micrograft import api
from micrograft.ir.graph import Graph, Node, Param, Port, identity, param_of
from micrograft.ir.types import Array, Quantization, Value
from micrograft.ops.builder import Builder
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.quantize import DequantizeAttrs
from micrograft.ops.quantized_conv import QuantizedConvAttrs
from micrograft.ops.requantization import Codes, sample_channels, sample_codes
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.prune import prune
from micrograft.peft.head import Head
from micrograft.planning.lifetimes import Lifetimes, lifetimes
from micrograft.planning.plan import Buffer, Purpose
from micrograft.planning.planner import make_plan
from micrograft.planning.stream import stream_rows
from micrograft.reference import run
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import measure_ram

CODES = Codes(Quantization((0.125,), (3,)))
LINEAR, WINDOW, HALVING = (ConvAttrs((s, s), ((p, p), (p, p)), (1, 1)) for s, p in ((1, 0), (1, 1), (2, 1)))


@functools.cache
def bottlenecks() -> Graph:
    """(1, 16, 12, 4) codes, two inverted bottlenecks of which the first is wide, 5 logits."""
    builder, generator, params = Builder(), np.random.default_rng(4), list[Param]()

    def layer(x: Value, name: str, op: str, weight: tuple[int, ...], attrs: QuantizedConvAttrs) -> Value:
        outputs = weight[-1] if op == "quantized_depthwise_conv" else weight[0]
        tables = sample_channels(generator, outputs, int(np.prod(weight)) // outputs)
        arrays = (sample_codes(generator, weight), *tables)
        for part, array in zip(("weight", "bias", "factors"), arrays, strict=True):
            params.append(param_of(builder.unique(f"{name}.{part}"), array, learnable=part != "factors"))
        return builder.add(op, (x, *(param.value for param in params[-3:])), attrs, origin=name)

    x = image = Value("image", CODES.type((1, 16, 12, 4)))
    for block, (wide, conv) in enumerate([(24, WINDOW), (16, HALVING)]):
        shapes = (
            ("expand", (wide, 1, 1, 4), LINEAR),
            ("window", (1, 3, 3, wide), conv),
            ("shrink", (4, 1, 1, wide), LINEAR),
        )
        for name, shape, attrs in shapes:
            op = "quantized_depthwise_conv" if name == "window" else "quantized_conv"
            x = layer(x, f"{block}.{name}", op, shape, QuantizedConvAttrs(attrs, 3, CODES))
    real = builder.add("dequantize", (x,), DequantizeAttrs(CODES.quant), origin="head")
    flat = builder.add("reshape", (real,), ReshapeAttrs((1, x.type.size)), origin="head")
    weight = generator.standard_normal((5, x.type.size)).astype(np.float32)
    params += [param_of("head_weight", weight), param_of("head_bias", np.zeros(5, np.float32))]
    y = builder.add("linear", (flat, *(each.value for each in params[-2:])), origin="head")
    ports = ((Port(image, identity(4), "image"),), (Port(y, identity(2), "logits"),))
    return Graph("bottlenecks", *ports, tuple(params), tuple(builder.nodes))


def codes(count: int) -> Array:
    return sample_codes(np.random.default_rng(1), (count, *bottlenecks().inputs[0].value.shape))


def joined(schedule: Sequence[Node]) -> list[str]:
    return [node.origin for node in schedule if node.op == "streamed_conv"]


def test_the_widest_tensor_is_never_whole() -> None:
    """The plan of a prediction joins what makes its peak, which falls below the size of that tensor, and no more."""
    graph = bottlenecks()
    plan = make_plan(graph, [port.value for port in graph.outputs])
    whole = lifetimes(graph.nodes, [port.value for port in graph.outputs]).lower_bound
    widest = max(value.type.bytes for node in graph.nodes for value in node.outputs)
    assert plan.arena < widest < whole
    assert joined(plan.schedule) == ["0.shrink", "1.window"]  # the peak is the first block's, beside the sample


def test_the_codes_are_those_of_the_convolutions_one_by_one() -> None:
    """What the C with joined convolutions answers is what the reference computes without."""
    graph = bottlenecks()
    last = graph.nodes[5].outputs[0]
    graph = prune(graph, outputs=[Port(last, identity(4), "codes")])
    with api.host(api.freeze(graph)) as runner:
        assert joined(runner.library.predict.schedule) == ["0.shrink", "1.window"]
        for sample in codes(5):
            np.testing.assert_array_equal(runner.predict(sample), run(graph, [sample])[last.name])


def test_board_and_host_agree_and_the_plan_is_exact() -> None:
    """A frozen network under a trained head: the same bits, and RAM planned is RAM measured."""
    recipe, place = api.Recipe((Head(),), SGD(lr=0.1)), api.board("stm32f446")
    library = api.adapt(bottlenecks(), recipe)
    assert library.train is not None and joined(library.train.schedule)
    bill = api.plan(library, recipe, place)
    with api.host(library) as host, api.emulated(library, place) as board:
        for index, sample in enumerate(codes(3)):
            target = np.array([index], np.int32)
            assert host.train_step(sample, target) == board.train_step(sample, target)
        assert host.state() == board.state()
        assert isinstance(board.device, Emulator)
        measured = measure_ram(board, board.device, codes(1)[0], np.array([0], np.int32))
        assert measured == replace(bill.ram, stack=measured.stack)
        assert measured.stack <= bill.ram.stack <= measured.stack + 256


def test_as_few_are_joined_as_the_peak_asks_for() -> None:
    """Where something else needs more than the second bottleneck, that one is left alone."""
    graph = bottlenecks()
    results = [port.value for port in graph.outputs]
    shared = lifetimes(graph.nodes, results)
    last, size = len(graph.nodes) - 1, graph.nodes[0].inputs[0].type.bytes * 5
    other = Buffer(("other",), size, last, last, Purpose.WORKSPACE, "elsewhere")
    loaded = Lifetimes(shared.aliases, (*shared.buffers, other))
    assert joined(stream_rows(graph.nodes, shared, results)) == ["0.shrink", "1.shrink"]
    assert joined(stream_rows(graph.nodes, loaded, results)) == ["0.shrink"]
