"""Instructions of one SGD step of a 64-32-10 float32 MLP on an emulated Cortex-M4F.

AIfES 2.2.0 spends 282,375 instructions (-O2) on the same step, PULP-TrainLib 49,886 without biases and without
the first layer's input gradient. Run: python benchmarks/mlp_step.py
"""

from __future__ import annotations

import numpy as np

from micrograft import api
from micrograft.ir.graph import Graph, Port, identity, param_of
from micrograft.ir.types import TensorType, Value
from micrograft.ops.builder import Builder
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.full import Full
from micrograft.samples import Samples


def network(activation: str) -> Graph:
    """64-32-10, biases everywhere, one activation between the layers."""
    generator = np.random.default_rng(0)
    builder = Builder()
    x = y = Value(builder.unique("x"), TensorType((1, 64)))
    params = []
    for name, inputs, outputs in (("fc1", 64, 32), ("fc2", 32, 10)):
        weight = generator.standard_normal((outputs, inputs)) / inputs**0.5
        params.append(param_of(builder.unique(f"{name}.weight"), weight.astype(np.float32)))
        params.append(param_of(builder.unique(f"{name}.bias"), np.zeros(outputs, np.float32)))
        y = builder.add("linear", (y, params[-2].value, params[-1].value), origin=name)
        if name == "fc1":
            y = builder.add(activation, (y,), origin=activation)
    ports = [(Port(value, identity(2), label),) for value, label in ((x, "x"), (y, "y"))]
    return Graph("mlp", ports[0], ports[1], tuple(params), tuple(builder.nodes))


def main() -> None:
    board = api.find_board("nrf52840")
    generator = np.random.default_rng(1)
    for activation in ("relu", "sigmoid"):
        library = api.adapt(network(activation), api.Recipe((Full(),), SGD(lr=0.1), clip=None, name="mlp"))
        data = Samples(generator.standard_normal((1, 64)).astype(np.float32), np.array([3]))
        with api.emulated(library, board) as runner:
            record = api.train(runner, api.check_samples(library, data))
        count = record.instructions_per_step
        print(f"64-32-10 MLP, {activation}, SGD, biases trained: {count:,} instructions per step")


if __name__ == "__main__":
    main()
