"""Published int8 networks in our C: whose bits they give, what they need on an STM32F746, what an inference executes.

The networks, spoken digits and photographs lie in ../shared. TFLite networks are held against TensorFlow Lite
Micro; MCUNet against ONNX Runtime without graph optimizations (with them its int8 products saturate on processors
without VNNI). Run: python -m benchmarks.int8_inference [inputs per network, 200]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from micrograft import api
from micrograft.codegen.artifact import Library
from micrograft.codegen.weights import tables
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.ops import operator_of
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


def onnx_runtime(path: Path) -> Reference:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session: Any = onnxruntime.InferenceSession(str(path), options)
    return lambda real, codes: np.asarray(session.run(None, {"image": real[None]})[0])


def compare(network: Graph, reference: Reference, real: Array) -> str:
    """How our C's outputs on this computer compare."""
    codes = check_inputs(real, network.inputs[0])
    step = next((node.attrs.x.scale for node in network.nodes if node.op == "dequantize"), 1.0)
    worst, close, top = [], [], 0
    with api.host(api.freeze(network)) as runner:
        for one, coded in zip(real, codes, strict=True):
            ours, theirs = runner.predict(coded), reference(one, coded)
            steps = np.rint(np.abs(ours.astype(np.float64) - theirs) / step)
            worst.append(steps.max())
            close.append(np.mean(steps <= 1))
            top += int(ours.argmax() == theirs.argmax())
    equal = sum(each == 0 for each in worst)
    text = f"equal in every bit {equal} of {len(real)}"
    if equal < len(real):
        text += f", same class {top}, within one step {np.mean(close):.1%} of values, at most {max(worst):.0f} steps"
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


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    references = {KEYWORDS: tensorflow_lite_micro, RESNET: tensorflow_lite_micro, MCUNET: onnx_runtime}
    for name, reference in references.items():
        network = api.load(model(name))
        real = inputs(name, count)
        print(f"{name}: {compare(network, reference(model(name)), real)}", flush=True)
        library = api.freeze(network)
        print(f"    {BOARD}: {costs(library, check_inputs(real[:1], network.inputs[0])[0])}", flush=True)


if __name__ == "__main__":
    main()
