"""ONNX files come in with the user's names and compute what ONNX means, or are refused in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from micrograft.errors import MicrograftError
from micrograft.frontends import import_model
from micrograft.frontends.onnx import import_onnx
from micrograft.ir.graph import Graph
from micrograft.ops import check
from micrograft.passes.canonicalize import canonicalize
from tests.frontends.torch_networks import CASES, Case, assert_same, expected, exported, samples, trained

MODELS = Path("/work/shared/models")


@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "legacy"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_agrees_with_pytorch(case: Case, dynamo: bool, tmp_path: Path) -> None:
    """What either exporter writes computes PyTorch's outputs, before and after its canonical form."""
    module, inputs = trained(case), samples(case)
    outputs = expected(module, inputs)
    graph = check(import_onnx(exported(module, inputs, tmp_path / "model.onnx", dynamo=dynamo)))
    assert_same(graph, inputs, outputs)
    graph = canonicalize(graph)
    assert_same(graph, inputs, outputs)
    assert [node.op for node in graph.nodes].count("transpose") == case.transposes


def _save(path: Path, nodes: Sequence[Any], arrays: dict[str, Any], shape: Sequence[Any], **options: Any) -> Path:
    """A model from `x` of this shape to `y`."""
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    inputs = [helper.make_tensor_value_info("x", options.pop("kind", TensorProto.FLOAT), shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    opset = options.pop("opset", 18)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if opset <= 18:
        model = onnx.shape_inference.infer_shapes(model)
    onnx.save(model, path, **options)
    return path


def _floats(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _node(op: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, ["x", *inputs], ["y"], name="the_layer", **attributes)


KERNEL = {"w": _floats(3, 2, 3, 4)}
# Nodes, constants, shape of x: what PyTorch's exporters do not write.
SINGLE = {
    "same_upper": ([_node("Conv", "w", auto_pad="SAME_UPPER", strides=[2, 1])], KERNEL, (1, 2, 7, 6)),
    "same_lower": ([_node("Conv", "w", auto_pad="SAME_LOWER", strides=[2, 1])], KERNEL, (1, 2, 7, 6)),
    "valid": ([_node("Conv", "w", auto_pad="VALID")], {"w": _floats(3, 2, 3)}, (1, 2, 7)),
    "uneven_pads": ([_node("Conv", "w", pads=[0, 1, 2, 0])], {"w": _floats(3, 2, 3, 3)}, (1, 2, 5, 6)),
    "grouped": ([_node("Conv", "w", "b", group=2)], {"w": _floats(6, 2, 3, 3), "b": _floats(6)}, (1, 4, 5, 6)),
    "gemm": ([_node("Gemm", "w", "c", alpha=0.5, beta=2.0)], {"w": _floats(4, 3), "c": _floats(1, 3)}, (1, 4)),
    "gemm_trans": ([_node("Gemm", "w", transB=1)], {"w": _floats(3, 4)}, (1, 4)),
    "gemm_scalar": ([_node("Gemm", "w", "c")], {"w": _floats(4, 3), "c": np.float32(0.5)}, (1, 4)),
    "matmul_rank3": ([_node("MatMul", "w")], {"w": _floats(4, 3)}, (1, 5, 4)),
    "clip": ([_node("Clip", "low")], {"low": np.float32(0)}, (1, 4)),
    "div": ([_node("Div", "c")], {"c": _floats(3, 1, 1)}, (1, 3, 4, 4)),
    "rdiv_by_one": ([_node("Div", "c")], {"c": np.float32(4)}, (1, 3)),
    "softmax": ([_node("Softmax", axis=1)], {}, (1, 3, 4, 4)),
    "flatten": ([_node("Flatten", axis=-1)], {}, (1, 3, 4)),
    "reshape": ([_node("Reshape", "s")], {"s": np.array([0, 2, -1])}, (1, 6, 2)),
    "squeeze": ([_node("Squeeze")], {}, (1, 3, 1, 4)),
    "unsqueeze": ([_node("Unsqueeze", "a")], {"a": np.array([-1, 1])}, (1, 3)),
    "transpose": ([_node("Transpose", perm=[0, 2, 1])], {}, (1, 3, 4)),
    "mean": ([_node("ReduceMean", "a", keepdims=0)], {"a": np.array([-1, -2])}, (1, 3, 4, 5)),
    "mean_last": ([_node("ReduceMean", "a")], {"a": np.array([1, 2])}, (1, 3, 4, 5)),
    "max_dilated": ([_node("MaxPool", kernel_shape=[3], dilations=[2], pads=[1, 1])], {}, (1, 2, 9)),
    "max_ceil": ([_node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}, (1, 2, 8, 7)),
    "average_same": ([_node("AveragePool", kernel_shape=[3, 3], auto_pad="SAME_UPPER")], {}, (1, 2, 8, 7)),
    "average_counting": ([_node("AveragePool", kernel_shape=[3], pads=[1, 1], count_include_pad=1)], {}, (1, 2, 8)),
}  # fmt: skip
SHAPE_ARITHMETIC = [
    helper.make_node("Shape", ["x"], ["s"]),
    helper.make_node("Constant", [], ["zero"], value_int=0),
    helper.make_node("Gather", ["s", "zero"], ["batch"]),
    helper.make_node("Unsqueeze", ["batch", "front"], ["b"]),
    helper.make_node("Concat", ["b", "rest"], ["target"], axis=0),
    helper.make_node("Cast", ["target"], ["shape"], to=TensorProto.INT64),
    _node("Reshape", "shape"),
]
SINGLE["shape_arithmetic"] = (SHAPE_ARITHMETIC, {"front": np.array([0]), "rest": np.array([-1])}, (1, 3, 4))


@pytest.mark.parametrize("name", SINGLE)
def test_agrees_with_onnxruntime(name: str, tmp_path: Path) -> None:
    """Attributes that PyTorch never writes mean what onnxruntime makes of them."""
    nodes, arrays, shape = SINGLE[name]
    path = _save(tmp_path / "model.onnx", nodes, arrays, shape)
    x = _floats(*shape)
    wanted = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    graph = check(import_onnx(path))
    assert_same(graph, [x], wanted)
    assert_same(canonicalize(graph), [x], wanted)


def _linear(path: Path, **options: Any) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "fc.weight"], ["h"], name="/fc/MatMul"),
        helper.make_node("Add", ["h", "fc.bias"], ["z"], name="/fc/Add"),
        helper.make_node("Mul", ["z", "half"], ["y"], name="/Mul"),
    ]
    arrays = {"fc.weight": _floats(4, 3), "fc.bias": _floats(3), "half": np.float32(0.5)}
    return _save(path, nodes, arrays, options.pop("shape", (1, 4)), **options)


def test_names_and_what_is_learnable(tmp_path: Path) -> None:
    """A layer is called after its weight; weights and biases are learnable, scalars are not."""
    graph = canonicalize(import_onnx(_linear(tmp_path / "model.onnx")))
    assert [(node.op, node.origin) for node in graph.nodes] == [("linear", "fc"), ("scale", "/Mul")]
    assert [(param.source, param.learnable) for param in graph.params] == [("fc.weight", True), ("fc.bias", True)]
    assert graph.params[0].to_user(graph.params[0].data).shape == (4, 3)
    assert (graph.inputs[0].label, graph.outputs[0].label) == ("x", "y")


def test_statistics_are_not_learnable(tmp_path: Path) -> None:
    """Mean and variance of a batch norm are not learnable, its weight and bias are."""
    arrays = {name: np.abs(_floats(3)) for name in ("bn.weight", "bn.bias", "mean", "variance")}
    graph = import_onnx(_save(tmp_path / "m.onnx", [_node("BatchNormalization", *arrays)], arrays, (1, 3, 4, 4)))
    assert [param.learnable for param in graph.params] == [True, True, False, False]
    assert "bn" in [node.origin for node in graph.nodes]


def test_dynamic_shape_is_given(tmp_path: Path) -> None:
    """An open axis is filled by `shapes`; without it the refusal names the input, the axis and the fix."""
    path = _linear(tmp_path / "model.onnx", shape=("batch", 4))
    assert import_model(path, shapes={"x": (1, 4)}).inputs[0].user_shape == (1, 4)
    with pytest.raises(MicrograftError, match=r"input 'x': its axis 0 is dynamic \('batch'\).*--shape x=1,4, say"):
        import_onnx(path)
    with pytest.raises(MicrograftError, match="does not fit"):
        import_onnx(path, {"x": (1, 5)})
    with pytest.raises(MicrograftError, match="no input 'z'"):
        import_onnx(path, {"z": (1, 4)})


def _refused(path: Path, message: str) -> None:
    with pytest.raises(MicrograftError, match=message) as error:
        import_model(path)
    assert "\n" not in str(error.value)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    """A missing file, a text, a truncated model, an empty one and an unknown suffix are each refused."""
    whole = _linear(tmp_path / "whole.onnx").read_bytes()
    _refused(tmp_path / "missing.onnx", "no such file")
    _refused(tmp_path, "it is a folder")
    for name, contents in (("text", b"hello, world\n"), ("empty", b""), ("short", whole[: len(whole) * 2 // 3])):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(contents)
        _refused(path, "truncated or not an ONNX file")
    path = tmp_path / "model.h5"
    path.write_bytes(whole)
    _refused(path, r"'\.h5' is not known; micrograft reads \.onnx")


def test_truncation_anywhere(tmp_path: Path) -> None:
    """A file cut off at any byte is refused, never read as a smaller network."""
    whole = _linear(tmp_path / "whole.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(MicrograftError):
            import_onnx(path)


def test_missing_external_data(tmp_path: Path) -> None:
    """Weights in a file of their own that is not there are missed by name of the model."""
    path = _linear(tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert import_onnx(path).params
    (tmp_path / "weights.bin").unlink()
    _refused(path, "weights lie in a file of their own that is missing")


def test_opsets(tmp_path: Path) -> None:
    """Opset 13 to current; older, newer and none at all are refused."""
    assert import_onnx(_linear(tmp_path / "old.onnx", opset=13)).nodes
    _refused(_linear(tmp_path / "older.onnx", opset=9), "its opset is 9")
    _refused(_linear(tmp_path / "newer.onnx", opset=999), "its opset is 999.*update onnx")
    model = onnx.load(_linear(tmp_path / "none.onnx"))
    del model.opset_import[:]
    (tmp_path / "none.onnx").write_bytes(model.SerializeToString())
    _refused(tmp_path / "none.onnx", "it names no opset")


REFUSED = {
    "constant": ([helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Cast", ["s"], ["y"], to=1)],
                 {}, (1, 4), {}, "output 'y': it does not depend on the input"),
    "batch": ([_node("Relu")], {}, (2, 4), {}, "batch of 1"),
    "type": ([_node("Cast", to=TensorProto.FLOAT)], {}, (1, 4), {"kind": TensorProto.DOUBLE}, "it is DOUBLE"),
    "unknown": ([_node("Det")], {}, (1, 4, 4), {}, "layer 'the_layer': the operator Det is not supported.*Abs, Add, "),
    "resize": ([_node("Resize", "", "s")], {"s": np.array([1, 2, 2, 2], np.float32)}, (1, 2, 4, 4), {},
               "not one of 1 or 2 spatial axes"),
    "power": ([_node("Pow", "a")], {"a": np.float32(2.5)}, (1, 4), {}, "a power of 2.5"),
    "gathered": ([helper.make_node("Relu", ["x"], ["i"]), helper.make_node("Cast", ["i"], ["j"], to=7),
                  _node("Gather", "j")], {}, (1, 2), {}, "a cast of data to anything but float32"),
    "codes": ([helper.make_node("DequantizeLinear", ["w", "s"], ["f"], name="the_layer"), _node("MatMul", "f")],
              {"w": np.ones((4, 3), np.int16), "s": np.float32(1)}, (1, 4), {}, "quantizes to int16"),
    "whole": ([_node("Cast", to=TensorProto.FLOAT)], {}, (1, 4), {"kind": TensorProto.INT64},
              "layer 'the_layer': a cast of indices to float32 is not supported; give .* as float32"),
    "zero": ([_node("Div", "z")], {"z": np.float32(0)}, (1, 3), {}, "divides by zero"),
    "empty": ([_node("MatMul", "w")], {"w": _floats(4, 0)}, (1, 4), {},
              r"layer 'the_layer' \(\w+\): a tensor of shape \(\d, \d\) has no elements"),
    "shape": ([_node("Conv", "w")], {"w": _floats(3, 5, 3, 3)}, (1, 2, 6, 6), {}, "layer 'the_layer'"),
    "indices": (
        [helper.make_node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2]), helper.make_node("Add", ["p", "i"], ["y"])],
        {}, (1, 2, 6), {}, "needs 'i'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, tmp_path: Path) -> None:
    """What we do not have is refused in one sentence that names the layer."""
    nodes, arrays, shape, options, message = REFUSED[name]
    _refused(_save(tmp_path / "model.onnx", nodes, arrays, shape, **options), message)


@pytest.mark.skipif(not MODELS.exists(), reason="the shared models are not here")
def test_models_of_quantized_operators_are_refused(tmp_path: Path) -> None:
    """A model quantized in operators, not in QDQ form, is refused as such."""
    nodes = [
        helper.make_node("ConvInteger", ["x", "w"], ["sums"], name="conv"),
        helper.make_node("Cast", ["sums"], ["y"], to=TensorProto.FLOAT),
    ]
    arrays = {"w": np.zeros((1, 3, 1, 1), np.int8)}
    path = _save(tmp_path / "model.onnx", nodes, arrays, (1, 3, 4, 4), kind=TensorProto.INT8)
    _refused(path, "it is quantized in operators .*export it in QDQ form")


def test_the_demo_network(tmp_path: Path) -> None:
    """The network that ships with the demo has no transposition left."""
    path = Path(__file__).parents[2] / "src/micrograft/demo/watch.onnx"
    graph: Graph = canonicalize(import_onnx(path))
    assert not [node for node in graph.nodes if node.op == "transpose"]
