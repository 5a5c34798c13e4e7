"""The rest of the vision and audio zoo comes in from PyTorch and from ONNX and computes what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from micrograft import api
from micrograft.frontends.onnx import import_onnx
from micrograft.frontends.torch import import_torch
from micrograft.ir.graph import Graph
from micrograft.ops import check
from micrograft.passes.canonicalize import canonicalize
from micrograft.peft.full import Full
from tests.frontends.torch_networks import Case, assert_same, expected, exported, samples, trained
from tests.frontends.zoo_networks import CASES, ONLY_FROM_TORCH


def _agrees(graph: Graph, case: Case, inputs: list[Any], outputs: list[Any]) -> None:
    assert_same(check(graph), inputs, outputs)
    graph = canonicalize(graph)
    assert_same(graph, inputs, outputs)
    assert case.transposes in (None, [node.op for node in graph.nodes].count("transpose"))


@pytest.mark.parametrize("case", (*CASES, *ONLY_FROM_TORCH), ids=lambda case: case.name)
def test_agrees_with_pytorch(case: Case) -> None:
    """An imported module computes PyTorch's outputs, before and after its canonical form, without transposing."""
    module, inputs = trained(case), samples(case)
    _agrees(import_torch(module, inputs), case, inputs, expected(module, inputs))


@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "legacy"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_agrees_with_pytorch_through_onnx(case: Case, dynamo: bool, tmp_path: Path) -> None:
    """What either exporter writes computes PyTorch's outputs, before and after its canonical form."""
    module, inputs = trained(case), samples(case)
    path = exported(module, inputs, tmp_path / "model.onnx", dynamo=dynamo)
    _agrees(import_onnx(path), case, inputs, expected(module, inputs))


def _node(op: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, ["x", *inputs], ["y"], name="the_layer", **attributes)


def _floats(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


SCALES = {"s": np.array([1, 1, 1.6, 0.5], np.float32)}
SIZES = {"s": np.array([1, 2, 7, 3])}
KERNEL = {"w": _floats(2, 3, 3, 2), "b": _floats(3)}
# Nodes, constants, shape of x: attributes that PyTorch's exporters do not write.
SINGLE = {
    **{
        f"nearest_{mode}_{rounding}": (
            [_node("Resize", "", "s", coordinate_transformation_mode=mode, nearest_mode=rounding)], SCALES, (1, 2, 5, 6)
        )
        for mode in ("half_pixel", "asymmetric", "align_corners")
        for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    },
    **{
        f"linear_{mode}": (
            [_node("Resize", "", "", "s", mode="linear", coordinate_transformation_mode=mode)], SIZES, (1, 2, 5, 6)
        )
        for mode in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    },
    "resize_last": ([_node("Resize", "", "s")], {"s": np.array([1, 2, 2, 1], np.float32)}, (1, 3, 4, 2)),
    "transpose_same": ([_node("ConvTranspose", "w", "b", auto_pad="SAME_UPPER", strides=[2, 2])], KERNEL, (1, 2, 4, 5)),
    "transpose_lower": ([_node("ConvTranspose", "w", auto_pad="SAME_LOWER", strides=[2, 2])], KERNEL, (1, 2, 4, 5)),
    "transpose_shape": ([_node("ConvTranspose", "w", output_shape=[8, 9], strides=[2, 2])], KERNEL, (1, 2, 4, 5)),
    "transpose_pads": ([_node("ConvTranspose", "w", pads=[0, 1, 2, 0], dilations=[2, 1])], KERNEL, (1, 2, 4, 5)),
    "pad_axes": ([_node("Pad", "p", "", "a")], {"p": np.array([1, 2]), "a": np.array([-1])}, (1, 4, 5)),
    "pad_cut": ([_node("Pad", "p", mode="edge")], {"p": np.array([0, -1, 2, 0, 2, -2])}, (1, 4, 5)),
    "pad_wrap": ([_node("Pad", "p", mode="wrap")], {"p": np.array([0, 1, 2, 0, 2, 1])}, (1, 4, 5)),
    "prelu": ([_node("PRelu", "s")], {"s": np.abs(_floats(4, 1, 1))}, (1, 4, 3, 2)),
    "prelu_shared": ([_node("PRelu", "s")], {"s": np.abs(_floats(1))}, (1, 4, 3, 2)),
    "hard_sigmoid": ([_node("HardSigmoid", alpha=0.3, beta=0.4)], {}, (1, 9)),
    "elu": ([_node("Elu", alpha=0.3)], {}, (1, 9)),
    "max_of_three": ([_node("Max", "a", "b")], {"a": _floats(4), "b": _floats(3, 1)}, (1, 3, 4)),
    "min_of_one": ([_node("Min")], {}, (1, 3, 4)),
    "sum": ([_node("Sum", "a", "x")], {"a": _floats(4)}, (1, 3, 4)),
    "mean": ([_node("Mean", "a", "x")], {"a": _floats(4)}, (1, 3, 4)),
    "global_max": ([_node("GlobalMaxPool")], {}, (1, 3, 20, 15)),
    "log_softmax": ([_node("LogSoftmax", axis=1)], {}, (1, 3, 4)),
    "tile": ([_node("Tile", "r")], {"r": np.array([1, 2, 3])}, (1, 3, 4)),
    "square": ([_node("Pow", "e")], {"e": np.float32(2)}, (1, 3, 4)),
    "div": ([_node("Div", "x")], {}, (1, 3, 4)),
}  # fmt: skip


def _save(path: Path, nodes: Any, arrays: dict[str, Any], shape: tuple[int, ...], kind: int) -> Path:
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def _agrees_with_onnxruntime(path: Path, shape: tuple[int, ...]) -> None:
    x = _floats(*shape)
    wanted = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    graph = check(import_onnx(path))
    assert_same(graph, [x], wanted)
    assert_same(canonicalize(graph), [x], wanted)


@pytest.mark.parametrize("name", SINGLE)
def test_agrees_with_onnxruntime(name: str, tmp_path: Path) -> None:
    """Attributes that PyTorch never writes mean what onnxruntime makes of them."""
    nodes, arrays, shape = SINGLE[name]
    _agrees_with_onnxruntime(_save(tmp_path / "model.onnx", nodes, arrays, shape, TensorProto.FLOAT), shape)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_indices_agree_with_onnxruntime(op: str, keep: int, tmp_path: Path) -> None:
    """The index of the largest and of the smallest, along any axis."""
    path = _save(tmp_path / "model.onnx", [_node(op, axis=1, keepdims=keep)], {}, (1, 5, 4), TensorProto.INT64)
    _agrees_with_onnxruntime(path, (1, 5, 4))


def test_a_vector_of_zeros_has_a_norm() -> None:
    """It stays zero when it is divided by its norm, and learns nothing through it but what is finite."""
    module = nn.Sequential(nn.Linear(4, 3, bias=False), _Unit(), nn.Linear(3, 2))
    library = api.adapt(api.load(module, example=[np.zeros((1, 4), np.float32)]), api.Recipe((Full(),), name="net"))
    with api.host(library) as runner:
        np.testing.assert_allclose(runner.predict(np.zeros((1, 4), np.float32))[0], module[2].bias.detach(), rtol=1e-6)
        assert np.isfinite(runner.train_step(np.zeros((1, 4), np.float32), np.array([1], np.int32)))
        assert all(np.isfinite(tensor).all() for tensor in runner.parameters().values())


class _Unit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x)
