"""Small networks of our own operators, built by hand, for tests that need no frontend."""

from __future__ import annotations

import numpy as np

from micrograft.ir.graph import Graph, Param, Port, identity, param_of
from micrograft.ir.types import Array, TensorType, Value
from micrograft.ops import check
from micrograft.ops.builder import Builder
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.reshape import ReshapeAttrs


class Sketch:
    """Draws a graph, layer by layer."""

    def __init__(self, name: str, shape: tuple[int, ...], seed: int = 0) -> None:
        self._name = name
        self._builder = Builder()
        self._generator = np.random.default_rng(seed)
        self._params: list[Param] = []
        self.input = Value(self._builder.unique("x"), TensorType(shape))

    def param(self, name: str, data: Array) -> Value:
        param = param_of(self._builder.unique(name), data.astype(np.float32))
        self._params.append(param)
        return param.value

    def linear(self, x: Value, outputs: int, name: str) -> Value:
        inputs = x.shape[-1]
        weight = self.param(f"{name}.weight", self._generator.standard_normal((outputs, inputs)) / inputs**0.5)
        bias = self.param(f"{name}.bias", self._generator.standard_normal(outputs) * 0.1)
        return self._builder.add("linear", (x, weight, bias), origin=name)

    def conv(self, x: Value, outputs: int, name: str, kernel: int = 3, stride: int = 1) -> Value:
        shape = (outputs, kernel, kernel, x.shape[-1])
        weight = self.param(f"{name}.weight", self._generator.standard_normal(shape) / np.prod(shape[1:]) ** 0.5)
        bias = self.param(f"{name}.bias", self._generator.standard_normal(outputs) * 0.1)
        pad = (kernel // 2, kernel // 2)
        attrs = ConvAttrs((stride, stride), (pad, pad), (1, 1))
        return self._builder.add("conv", (x, weight, bias), attrs, origin=name)

    def apply(self, op: str, *inputs: Value, name: str = "") -> Value:
        return self._builder.add(op, inputs, origin=name or op)

    def flatten(self, x: Value) -> Value:
        return self._builder.add("reshape", (x,), ReshapeAttrs((1, x.type.size)), origin="flatten")

    def done(self, y: Value) -> Graph:
        inputs = (Port(self.input, identity(len(self.input.shape)), "x"),)
        outputs = (Port(y, identity(len(y.shape)), "y"),)
        return check(Graph(self._name, inputs, outputs, tuple(self._params), tuple(self._builder.nodes)))


def mlp(sizes: tuple[int, ...] = (12, 9, 5), activation: str = "relu") -> Graph:
    """Fully connected layers named fc0, fc1, ... with an activation between them."""
    sketch = Sketch("mlp", (1, sizes[0]))
    y = sketch.input
    for index, size in enumerate(sizes[1:]):
        if index:
            y = sketch.apply(activation, y)
        y = sketch.linear(y, size, f"fc{index}")
    return sketch.done(y)


def residual_cnn(classes: int = 4) -> Graph:
    """A stem, one residual block whose input is read twice, pooling and a head."""
    sketch = Sketch("residual", (1, 8, 8, 3))
    stem = sketch.apply("relu", sketch.conv(sketch.input, 8, "stem"))
    inner = sketch.apply("relu", sketch.conv(stem, 8, "block.conv1"))
    joined = sketch.apply("add", sketch.conv(inner, 8, "block.conv2"), stem)
    down = sketch.apply("relu6", sketch.conv(sketch.apply("relu", joined), 12, "down", stride=2))
    pooled = sketch.flatten(sketch.apply("global_average_pool", down))
    return sketch.done(sketch.linear(pooled, classes, "head"))


def deep_cnn(layers: int) -> Graph:
    """A chain of so many 3x3 convolutions with relu between them, and a head."""
    sketch = Sketch("deep", (1, 12, 12, 3))
    y = sketch.input
    for index in range(layers):
        y = sketch.apply("relu", sketch.conv(y, 4 + index % 5, f"conv{index}"))
    return sketch.done(sketch.linear(sketch.flatten(sketch.apply("global_average_pool", y)), 5, "head"))
