"""A tiny network as an ONNX file and data for it, for tests of the outermost faces. No PyTorch is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

CLASSES = 3
SHAPE = (2, 6, 6)


def write_network(path: Path, *, seed: int = 0, height: int | str = 6) -> Path:
    """Convolution, ReLU, global pooling, linear: (1, 2, height, 6) to 3 logits, with random weights."""
    generator = np.random.default_rng(seed)

    def tensor(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((generator.standard_normal(shape) * 0.4).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "head.weight", "head.bias"], ["y"], name="head", transB=1),
    ]
    weights = [tensor("conv.weight", 4, 2, 3, 3), tensor("conv.bias", 4), tensor("head.weight", CLASSES, 4)]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, height, 6])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(nodes, "tiny", [x], [y], [*weights, tensor("head.bias", CLASSES)])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def data(count: int = 12, seed: int = 0) -> dict[str, np.ndarray]:
    """Samples whose class shows in their mean, to learn from and to judge by."""
    generator = np.random.default_rng(seed)
    y = np.arange(count) % CLASSES
    x = generator.standard_normal((count, *SHAPE)) * 0.3 + y[:, None, None, None]
    floats = x.astype(np.float32)
    return {"x": floats, "y": y, "x_test": floats[::2] + 0.1, "y_test": y[::2]}


def write_data(path: Path, **replaced: np.ndarray) -> Path:
    """`data()` as an `.npz`, with some arrays replaced."""
    np.savez(path, **{**data(), **replaced})
    return path
