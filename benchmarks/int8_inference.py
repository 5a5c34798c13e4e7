"""Published int8 networks in our C: whose bits they give, what they need on an STM32F746, what an inference executes.

The networks, spoken digits and photographs lie in ../shared. TFLite networks are held against TensorFlow Lite
Micro; MCUNet against ONNX Runtime in three ways: with its int8 kernels alone (`session.qdqisint8allowed`, its default
on Arm), as it comes (on x86 12 of 43 convolutions then run in float32), and without graph optimizations (all of them
do); and these among one another. On processors without VNNI its int8 products saturate.
Run: python -m benchmarks.int8_inference [inputs per network, 200]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from micrograft import api
from micrograft.codegen.artifact import Library
from micrograft.codegen.weights import tables
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.ops import operator_of
from micrograft.ops.quantize import DequantizeAttrs
from micrograft.samples import check_inputs
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions
from tests.int8_networks import KEYWORDS, MCUNET, RESNET, inputs, model

BOARD = "stm32f746"
Reference = Callable[[Array, Array], Array]
"""Real input and codes, without the batch, to the other runtime's output."""


def tensorflow_lite_micro(path: Path) -> Reference:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(path))

    def run(real: Array, codes: Array) -> Array:
        interpreter.set_input(codes, 0)
        interpreter.invoke()
        return np.asarray(interpreter.get_output(0))

    return run


def onnx_runtime(path: Path, way: str) -> Reference:
    """way: one of `WAYS`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if way == "int8":
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    if way == "unoptimized":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session: Any = onnxruntime.InferenceSession(str(path), options)
    return lambda real, codes: np.asarray(session.run(None, {"image": real[None]})[0])


WAYS = ("int8", "as it comes", "unoptimized")


def compare(network: Graph, one: Array, other: Array) -> str:
    """How the outputs of two runtimes compare: (inputs, outputs) each."""
    step = next((node.attrs.x.scale for node in network.nodes if isinstance(node.attrs, DequantizeAttrs)), 1.0)
    steps = np.rint(np.abs(one.astype(np.float64) - other) / step)
    equal = int((steps.max(axis=1) == 0).sum())
    text = f"equal in every bit {equal} of {len(one)}"
    if equal < len(one):
        top = int((one.argmax(axis=1) == other.argmax(axis=1)).sum())
        text += (
            f", same class {top}, within one step {np.mean(steps <= 1):.1%} of values, at most {steps.max():.0f} steps"
        )
    return text


def costs(library: Library, codes: Array) -> str:
    """Memory planned, flash linked, instructions emulated."""
    board = api.board(BOARD)
    with tempfile.TemporaryDirectory() as scratch:
        api.build(library, Path(scratch), board)
    with api.emulated(library, board) as runner:
        assert isinstance(runner.device, Emulator)
        count = count_instructions(runner.device, lambda: runner.predict(codes))
        flash = runner.device.firmware.flash
        stack = runner.device.firmware.stack
    macs = sum(operator_of(node).macs(node) for node in library.graph.nodes)
    table_bytes = sum(value.type.bytes for value, _, _ in tables(library).values())
    ram = library.memory.total + library.runtime_bytes + stack
    return (
        f"RAM planned {ram:,} (arena {library.memory.arena:,}), flash {flash:,} (tables {table_bytes:,}), "
        f"{count:,} instructions emulated = {count / macs:.2f} per multiply-accumulate of {macs:,}"
    )


def answers(network: Graph, real: Array, name: str) -> dict[str, Array]:
    """Runtime to its outputs."""
    codes = check_inputs(real, network.inputs[0])
    if name == MCUNET:
        references = {f"ONNX Runtime, {way}": onnx_runtime(model(name), way) for way in WAYS}
    else:
        references = {"TensorFlow Lite Micro": tensorflow_lite_micro(model(name))}
    found = {}
    with api.host(api.freeze(network)) as runner:
        references = {"micrograft": lambda real, codes: runner.predict(codes), **references}
        for runtime, run in references.items():
            found[runtime] = np.stack([run(*pair).ravel() for pair in zip(real, codes, strict=True)])
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for name in (KEYWORDS, RESNET, MCUNET):
        network = api.load(model(name))
        real = inputs(name, count)
        print(name, flush=True)
        for (one, a), (other, b) in combinations(answers(network, real, name).items(), 2):
            print(f"    {one} and {other}: {compare(network, a, b)}", flush=True)
        library = api.freeze(network)
        print(f"    {BOARD}: {costs(library, check_inputs(real[:1], network.inputs[0])[0])}", flush=True)


if __name__ == "__main__":
    main()
