"""What int8 makes of networks of every common kind: what stays float32, RAM and instructions of a prediction, noise.

The networks are small and have random weights (tests/deployed_networks.py), so the figures tell of operators, not of
accuracy: the arena is planned, instructions are emulated, signal-to-noise ratios are of the answers to 8 inputs.
Run: python -m benchmarks.int8_operators [board, stm32f446]
"""

from __future__ import annotations

import sys

import numpy as np

from micrograft import api, precision
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array, DType
from micrograft.reference import run
from micrograft.samples import check_inputs
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import count_instructions
from tests.deployed_networks import DEPLOYED, build


def answers(graph: Graph, x: Array) -> Array:
    port = graph.inputs[0]
    found = [run(graph, [port.from_user(each)])[graph.outputs[0].value.name] for each in check_inputs(x, port)]
    return np.stack(found)


def costs(graph: Graph, x: Array, board: str) -> tuple[int, int]:
    """Arena in bytes and instructions of a prediction."""
    library = api.freeze(graph)
    with api.emulated(library, api.board(board)) as runner:
        assert isinstance(runner.device, Emulator)
        sample = check_inputs(x[:1], graph.inputs[0])[0]
        return library.memory.arena, count_instructions(runner.device, lambda: runner.predict(sample))


def main() -> None:
    board = sys.argv[1] if len(sys.argv) > 1 else "stm32f446"
    print(f"{board}: float32 -> int8")
    for deployed in DEPLOYED:
        x = np.random.default_rng(0).standard_normal((24, *deployed.shape[1:])).astype(np.float32)
        network = precision.quantize(api.load(build(deployed), example=[x[:1]]), x)
        (arena, count), (small, fewer) = (costs(graph, x, board) for graph in (network.floats, network.graph))
        floats, codes = answers(network.floats, x[:8]), answers(network.graph, x[:8])
        noise = 10 * np.log10(np.mean(floats**2) / np.mean((floats - codes) ** 2))
        stays = {node.op for node in network.graph.nodes if node.outputs[0].dtype is DType.FLOAT32} - {"dequantize"}
        print(
            f"{deployed.name:18} arena {arena:7,} -> {small:6,}  instructions {count:9,} -> {fewer:9,}  "
            f"{noise:5.1f} dB  float32: {', '.join(sorted(stays)) or 'nothing'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
