"""ONNX operators that are drawn in parts (pools of three axes, odd resizes) mean what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from micrograft.errors import MicrograftError
from micrograft.frontends.onnx import import_onnx
from micrograft.ops import check
from micrograft.passes.canonicalize import canonicalize
from micrograft.passes.differentiate import attach_loss, differentiate
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Start, apply_methods
from micrograft.reference import run, run_step

Array = npt.NDArray[Any]
Case = tuple[Any, Mapping[str, Any], tuple[int, ...]]
"""A node or several, their constants, the shape of x."""


def _floats(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _node(op: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, ["x", *inputs], ["y"], name="the_layer", **attributes)


def _resize(mode: str, coordinates: str, scales: tuple[float, ...], **attributes: Any) -> Case:
    constants = {"roi": np.zeros(0, np.float32), "scales": np.array(scales, np.float32)}
    node = _node("Resize", "roi", "scales", mode=mode, coordinate_transformation_mode=coordinates, **attributes)
    return node, constants, (1, 2, 6, 5)


def _dequantized(*names: str, **attributes: Any) -> Any:
    """Codes, scales and perhaps zeros; what comes out is called after the codes."""
    return helper.make_node("DequantizeLinear", list(names), [f"real_{names[0]}"], **attributes)


def _codes(zero: str = "", **attributes: Any) -> Case:
    """A layer between codes that have a zero point only where one is named; a scale for each row of its weight."""
    zeros = [zero] if zero else []
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", *zeros], ["q"], **attributes),
        _dequantized("q", "s", *zeros),
        _dequantized("w", "ws", axis=0),
        _dequantized("b", "bs"),
        helper.make_node("Gemm", ["real_q", "real_w", "real_b"], ["y"], transB=1),
    ]
    arrays = {
        "s": np.float32(0.02), "zero": np.uint8(100), "w": np.arange(-6, 6, dtype=np.int8).reshape(3, 4),
        "ws": np.array([0.1, 0.2, 0.3], np.float32), "b": np.array([-500, 20, 300], np.int32), "bs": np.float32(0.01),
    }  # fmt: skip
    return nodes, arrays, (1, 4)


def _blocks(*zeros: str) -> Case:
    arrays = {"w": np.arange(-7, 8, dtype=np.int8).reshape(5, 3), "s": np.abs(_floats(3, 3)) + 0.1,
              "z": np.arange(-4, 5, dtype=np.int8).reshape(3, 3)}  # fmt: skip
    return [_dequantized("w", "s", *zeros, axis=0, block_size=2), _node("MatMul", "real_w")], arrays, (2, 5)


CASES: dict[str, Case] = {
    "max_3d": (
        _node("MaxPool", kernel_shape=[2, 3, 2], strides=[2, 1, 1], pads=[1, 0, 1, 0, 1, 0]), {}, (1, 2, 5, 4, 6)),
    "max_3d_dilated": (_node("MaxPool", kernel_shape=[2, 2, 2], dilations=[2, 1, 3]), {}, (1, 3, 4, 4, 6)),
    "average_3d": (_node("AveragePool", kernel_shape=[2, 2, 3], pads=[1, 0, 1, 1, 0, 1]), {}, (1, 2, 4, 4, 5)),
    "average_3d_counting": (
        _node("AveragePool", kernel_shape=[2, 2, 3], pads=[1, 0, 1, 1, 0, 1], count_include_pad=1),
        {}, (1, 2, 4, 4, 5)),
    "average_dilated": (_node("AveragePool", kernel_shape=[2, 3], dilations=[2, 2], strides=[1, 2]), {}, (1, 3, 6, 8)),
    "average_dilated_padded": (
        _node("AveragePool", kernel_shape=[3, 2], dilations=[2, 1], pads=[2, 1, 1, 0]), {}, (1, 2, 6, 5)),
    "cubic": _resize("cubic", "half_pixel", (1, 1, 2, 1.5)),
    "cubic_down": _resize("cubic", "asymmetric", (1, 1, 0.5, 0.8)),
    "antialias": _resize("linear", "half_pixel", (1, 1, 0.5, 0.6), antialias=1),
    "slice_backwards": (_node("Slice", "s", "e", "a", "t"), {"s": np.array([-1]), "e": np.array([0]),
                        "a": np.array([2]), "t": np.array([-2])}, (1, 2, 6)),
    "gemm_transposed": (_node("Gemm", "w", transA=1), {"w": _floats(4, 3)}, (4, 1)),
    "codes": _codes(),
    "codes_int8": _codes(output_dtype=onnx.TensorProto.INT8),
    "codes_zero": _codes("zero"),
    "codes_in_blocks": _blocks(),
    "codes_in_blocks_zeros": _blocks("z"),
    "gemm_rows": (_node("Gemm", "w", "c"), {"w": _floats(3, 4), "c": _floats(4, 1)}, (4, 3)),
    "layer_norm_stretched": (
        _node("LayerNormalization", "s", "b", axis=-2), {"s": _floats(6), "b": _floats(5, 1)}, (1, 5, 6)),
    "powers": (_node("Pow", "e"), {"e": np.array([1, 2, 3, 2], np.float32)}, (1, 3, 4)),
}  # fmt: skip


def _write(path: Path, case: Case, opset: int = 21) -> Path:
    last, constants, shape = case
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    inputs = [helper.make_tensor_value_info("outside", 1, (1, *shape))]
    wanted = numpy_helper.from_array(np.array(shape), "outside_shape")
    nodes = [
        helper.make_node("Reshape", ["outside", "outside_shape"], ["x"]),
        *(last if isinstance(last, list) else [last]),
    ]
    graph = helper.make_graph(nodes, "test", inputs, [helper.make_tensor_value_info("y", 1, None)],
                              [*initializers, wanted])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_onnxruntime(name: str, tmp_path: Path) -> None:
    """As imported and in canonical form."""
    path = _write(tmp_path / "model.onnx", CASES[name])
    x = _floats(1, *CASES[name][2])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # some of them round codes
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"outside": x})
    graph = check(import_onnx(path))
    for each in (graph, canonicalize(graph)):
        found = each.outputs[0].to_user(run(each, [each.inputs[0].from_user(x)])[each.outputs[0].value.name])
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["max_3d", "average_dilated", "cubic"])
def test_gradients_pass(name: str, tmp_path: Path) -> None:
    """The gradient of a layer in front of each agrees with finite differences in float64."""
    node, constants, shape = CASES[name]
    before = helper.make_node("Mul", ["outside_x", "w"], ["x"])
    constants = {**constants, "w": _floats(1, shape[1], *(1 for _ in shape[2:]))}
    path = _write(tmp_path / "model.onnx", (node, constants, shape))
    model = onnx.load(path)
    model.graph.node[0].output[0] = "outside_x"
    model.graph.node.insert(1, before)
    onnx.save(model, path)
    graph = canonicalize(import_onnx(path))
    params = tuple(replace(param, trainable=param.source == "w") for param in graph.params)
    step = differentiate(attach_loss(replace(graph, params=params), "mse"))
    x = graph.inputs[0].from_user(_floats(1, *shape))
    target = _floats(*step.graph.inputs[1].value.shape)
    (weight,) = step.graph.trainable
    result = run_step(step, [x, target], dtype=np.float64)
    gradient = result.values[step.gradients[weight.name].name]
    for place in np.ndindex(weight.data.shape):
        losses = []
        for sign in (1, -1):
            moved = weight.data.astype(np.float64)
            moved[place] += sign * 1e-6
            values = run(step.graph, [x, target], {weight.name: moved}, dtype=np.float64)
            losses.append(float(values[step.loss.name]))
        np.testing.assert_allclose(gradient[place], (losses[0] - losses[1]) / 2e-6, rtol=1e-5, atol=1e-8)


def test_a_resize_is_no_layer(tmp_path: Path) -> None:
    """The matrix of a resize is nothing that LoRA adapts."""
    graph = canonicalize(import_onnx(_write(tmp_path / "model.onnx", CASES["cubic"])))
    with pytest.raises(MicrograftError, match="No layer can be adapted"):
        apply_methods(graph, [LoRA()], Start())
