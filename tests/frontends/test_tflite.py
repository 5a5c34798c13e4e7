"""TFLite files come in under the user's names, predict what LiteRT predicts, and train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from micrograft import api
from micrograft.errors import MicrograftError
from micrograft.frontends import import_model
from micrograft.frontends.tflite import import_tflite
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.ops import check
from micrograft.passes.attach_optimizer import SGD, Clip
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.reference import run
from tests.frontends.tflite_models import (
    RELU,
    RELU6,
    SAME,
    VALID,
    Op,
    Stored,
    dequantized,
    predicted,
    write,
)
from tests.graph_in_torch import GraphInTorch
from tests.torch_training import TorchTraining

SHARED = Path(__file__).parents[3] / "shared"
MODELS = SHARED / "models"
here = pytest.mark.skipif(not MODELS.exists(), reason=f"the shared models are not at {MODELS}")

REAL = {"kws_dscnn_float32": (49, 10, 1), "resnet8_cifar10_float32": (32, 32, 3)}
METHODS: dict[str, Method] = {"head": Head(), "bias": Bias(), "lora": LoRA(rank=2), "full": Full()}


def real_samples(name: str, count: int) -> Array:
    """Spoken digits for the keyword network, noise in the range of pixels for the other."""
    if name.startswith("kws"):
        with np.load(SHARED / "data" / "spoken_digits_mfcc.npz") as data:
            return data["x"][:: 3000 // count][:count, None]
    return np.random.default_rng(1).uniform(0, 255, (count, 1, *REAL[name])).astype(np.float32)


@here
@pytest.mark.parametrize("name", REAL)
def test_real_networks_predict_what_litert_predicts(name: str, tmp_path: Path) -> None:
    """MLPerf Tiny's networks, compiled to C, give LiteRT's probabilities within 1e-4 on 50 inputs."""
    path = MODELS / f"{name}.tflite"
    x = real_samples(name, 50)
    wanted = predicted(dequantized(path, tmp_path / "float.tflite"), list(x))
    with api.host(api.freeze(api.load(path))) as runner:
        for sample, answer in zip(x, wanted, strict=True):
            np.testing.assert_allclose(runner.predict(sample), answer, rtol=0, atol=1e-4)


@here
def test_real_names() -> None:
    """Layers are called as the user called them, without the paths of what was fused into them."""
    graph = api.load(MODELS / "kws_dscnn_float32.tflite")
    names = list(dict.fromkeys(node.origin for node in graph.nodes))
    assert names[:4] == ["conv2d", "depthwise_conv2d", "conv2d_1", "depthwise_conv2d_1"]
    assert names[-4:] == ["average_pooling2d", "flatten", "dense", "softmax"]
    graph = api.load(MODELS / "resnet8_cifar10_float32.tflite")
    assert {param.source for param in graph.params} == {
        f"{layer}.{role}"
        for layer in ("conv2d", *(f"conv2d_{index}" for index in range(1, 9)), "dense")
        for role in ("weight", "bias")
    }


@here
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", REAL)
def test_real_networks_train_as_in_pytorch(name: str, method: str) -> None:
    """Ten steps in C leave the losses and parameters that autograd and torch.optim leave, within 1e-4."""
    torch.set_num_threads(1)
    graph = api.load(MODELS / f"{name}.tflite")
    x = real_samples(name, 10)
    y = np.random.default_rng(3).integers(0, graph.outputs[0].value.shape[-1], (10, 1)).astype(np.int32)
    recipe = api.Recipe((METHODS[method],), SGD(lr=0.01), clip=Clip(0.1, "global"), name="net")
    library = api.adapt(graph, recipe, x[:4])
    with api.host(library) as runner:
        initial = runner.parameters()
        losses = [runner.train_step(sample, target) for sample, target in zip(x, y, strict=True)]
        trained = runner.parameters()
    reference = TorchTraining(GraphInTorch(_to_logits(graph)), initial, [METHODS[method]])
    expected = reference.run(list(zip(x, y, strict=True)), recipe.optimizer, recipe.loss, recipe.clip)
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)
    for source, tensor in reference.parameters().items():
        assert np.linalg.norm(trained[source] - tensor) <= 1e-4 * max(np.linalg.norm(tensor), 1e-3), source
        assert not np.array_equal(trained[source], initial[source]), f"{source} did not move"


def _to_logits(graph: Graph) -> Graph:
    """The network without its last softmax, which the loss contains."""
    last = graph.nodes[-1]
    assert last.op == "softmax"
    return replace(graph, nodes=graph.nodes[:-1], outputs=(replace(graph.outputs[0], value=last.inputs[0]),))


def _floats(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


Single = tuple[Op, tuple[int, ...], tuple[int, ...], Mapping[str, Any]]


def _conv(
    shape: tuple[int, ...], output: tuple[int, ...], weight: Array, *, bias: bool = True, **fields: Any
) -> Single:
    settings = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1} | fields
    constants = {"w": weight} | ({"b": _floats(weight.shape[0])} if bias else {})
    inputs = ("x", "w", "b") if bias else ("x", "w")
    return Op("CONV_2D", inputs, "y", "Conv2DOptions", settings), shape, output, constants


def _depthwise(
    shape: tuple[int, ...], output: tuple[int, ...], weight: Array, multiplier: int, **fields: Any
) -> Single:
    settings = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1} | fields
    settings["depthMultiplier"] = multiplier
    constants = {"w": weight, "b": _floats(weight.shape[-1])}
    return Op("DEPTHWISE_CONV_2D", ("x", "w", "b"), "y", "DepthwiseConv2DOptions", settings), shape, output, constants


def _pool(kind: str, shape: tuple[int, ...], output: tuple[int, ...], **fields: Any) -> Single:
    return Op(kind, ("x",), "y", "Pool2DOptions", fields), shape, output, {}


def _plain(kind: str, options: str = "", shape: tuple[int, ...] = (1, 3, 4), **fields: Any) -> Single:
    return Op(kind, ("x",), "y", options, fields), shape, shape, {}


def _with(
    kind: str, options: str, shape: tuple[int, ...], output: tuple[int, ...], constant: Array, **fields: Any
) -> Single:
    return Op(kind, ("x", "c"), "y", options, fields), shape, output, {"c": constant}


SINGLE: dict[str, Single] = {
    "conv_same": _conv((1, 7, 6, 3), (1, 4, 6, 5), _floats(5, 4, 2, 3), padding=SAME, strideH=2),
    "conv_valid": _conv((1, 7, 6, 3), (1, 5, 2, 5), _floats(5, 3, 3, 3), padding=VALID, strideW=2),
    "conv_dilated": _conv((1, 9, 8, 2), (1, 9, 8, 4), _floats(4, 3, 3, 2), padding=SAME, dilationHFactor=2,
                          dilationWFactor=3, fusedActivationFunction=RELU),
    "conv_grouped": _conv((1, 5, 5, 6), (1, 5, 5, 4), _floats(4, 3, 3, 3), padding=SAME,
                          fusedActivationFunction=RELU6),
    "depthwise": _depthwise((1, 6, 5, 4), (1, 3, 3, 4), _floats(1, 3, 3, 4), 1, padding=SAME, strideH=2, strideW=2),
    "depthwise_multiplied": _depthwise((1, 6, 5, 3), (1, 4, 3, 6), _floats(1, 3, 3, 6), 2, padding=VALID,
                                       fusedActivationFunction=RELU),
    "depthwise_one_channel": _depthwise((1, 6, 5, 1), (1, 6, 5, 4), _floats(1, 3, 3, 4), 4, padding=SAME),
    "depthwise_dilated": _depthwise((1, 8, 8, 2), (1, 8, 8, 2), _floats(1, 3, 3, 2), 1, padding=SAME,
                                    dilationHFactor=2, dilationWFactor=2),
    "average_same": _pool("AVERAGE_POOL_2D", (1, 7, 6, 3), (1, 4, 3, 3), padding=SAME, strideH=2, strideW=2,
                          filterHeight=3, filterWidth=3),
    "average_valid": _pool("AVERAGE_POOL_2D", (1, 7, 6, 3), (1, 2, 3, 3), padding=VALID, strideH=3, strideW=2,
                           filterHeight=3, filterWidth=2, fusedActivationFunction=RELU),
    "max_same": _pool("MAX_POOL_2D", (1, 7, 6, 3), (1, 4, 3, 3), padding=SAME, strideH=2, strideW=2,
                      filterHeight=2, filterWidth=3),
    "max_valid": _pool("MAX_POOL_2D", (1, 7, 6, 3), (1, 5, 4, 3), padding=VALID, strideH=1, strideW=1,
                       filterHeight=3, filterWidth=3, fusedActivationFunction=RELU6),
    "dense": (Op("FULLY_CONNECTED", ("x", "w", "b"), "y", "FullyConnectedOptions", {"fusedActivationFunction": RELU}),
              (1, 4), (1, 3), {"w": _floats(3, 4), "b": _floats(3)}),
    "dense_flattening": (Op("FULLY_CONNECTED", ("x", "w", ""), "y", "FullyConnectedOptions"),
                         (1, 2, 6), (3, 3), {"w": _floats(3, 4)}),
    "dense_keeping": (Op("FULLY_CONNECTED", ("x", "w", "b"), "y", "FullyConnectedOptions", {"keepNumDims": True}, 5),
                      (1, 3, 4), (1, 3, 2), {"w": _floats(2, 4), "b": _floats(2)}),
    "add": _with("ADD", "AddOptions", (1, 3, 4), (1, 3, 4), _floats(4), fusedActivationFunction=RELU),
    "sub": _with("SUB", "SubOptions", (1, 3, 4), (1, 3, 4), _floats(3, 1)),
    "mul": _with("MUL", "MulOptions", (1, 3, 4), (1, 3, 4), np.float32(0.5).reshape(1)),
    "div": _with("DIV", "DivOptions", (1, 3, 4), (1, 3, 4), _floats(4)),
    "neg": _plain("NEG", "NegOptions"),
    "relu": _plain("RELU"),
    "relu6": _plain("RELU6"),
    "logistic": _plain("LOGISTIC"),
    "tanh": _plain("TANH"),
    "softmax": _plain("SOFTMAX", "SoftmaxOptions", beta=1.0),
    "softmax_sharper": _plain("SOFTMAX", "SoftmaxOptions", beta=2.5),
    "mean": _with("MEAN", "ReducerOptions", (1, 4, 5, 3), (1, 3), _ints(1, 2)),
    "mean_keeping": _with("MEAN", "ReducerOptions", (1, 4, 5, 3), (1, 1, 1, 3), _ints(-3, 2), keepDims=True),
    "reshape": _with("RESHAPE", "ReshapeOptions", (1, 2, 6), (1, 4, 3), _ints(1, -1, 3)),
    "squeeze": (Op("SQUEEZE", ("x",), "y", "SqueezeOptions", {"squeezeDims": [2]}), (1, 3, 1, 4), (1, 3, 4), {}),
    "expand_dims": _with("EXPAND_DIMS", "ExpandDimsOptions", (1, 3, 4), (1, 3, 1, 4), np.int32(2).reshape(())),
    "transpose": _with("TRANSPOSE", "TransposeOptions", (1, 3, 4, 2), (1, 4, 2, 3), _ints(0, 2, 3, 1)),
    "concat": _with("CONCATENATION", "ConcatenationOptions", (1, 3, 2), (1, 3, 4), _floats(1, 3, 2), axis=-1),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_agrees_with_litert(name: str, tmp_path: Path) -> None:
    """Each operator, in the forms that converters write, means what LiteRT makes of it."""
    op, shape, output, constants = SINGLE[name]
    path = write(tmp_path / "model.tflite", [op], {"x": shape, "y": output}, constants)
    _agrees(path, 3 * _floats(*shape))


def _agrees(path: Path, x: Array) -> Graph:
    graph = check(import_tflite(path))
    (wanted,) = predicted(path, [x])
    for each in (graph, api.load(path)):
        found = each.outputs[0].to_user(run(each, [each.inputs[0].from_user(x)])[each.outputs[0].value.name])
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    return graph


def test_open_batch_and_shape_arithmetic(tmp_path: Path) -> None:
    """A batch left open is 1, and the shape that the converter computes for a flatten is folded away."""
    ops = [
        Op("SHAPE", ("x",), "s", "ShapeOptions", {"outType": 2}),
        Op("STRIDED_SLICE", ("s", "begin", "end", "step"), "n", "StridedSliceOptions", {"shrinkAxisMask": 1}),
        Op("PACK", ("n", "rest"), "to", "PackOptions", {"valuesCount": 2}),
        Op("RESHAPE", ("x", "to"), "flat", "ReshapeOptions"),
        Op("FULLY_CONNECTED", ("flat", "w", "b"), "y", "FullyConnectedOptions"),
    ]
    shapes = {"x": (-1, 2, 3), "s": (3,), "n": (), "to": (2,), "flat": (-1, 6), "y": (-1, 4)}
    constants = {"begin": _ints(0), "end": _ints(1), "step": _ints(1), "rest": np.int32(6).reshape(()),
                 "w": _floats(4, 6), "b": _floats(4)}  # fmt: skip
    path = write(tmp_path / "model.tflite", ops, shapes, constants, dict.fromkeys(("s", "n", "to"), "INT32"))
    graph = _agrees(path, _floats(1, 2, 3))
    assert [node.op for node in graph.nodes] == ["reshape", "linear"]


def _dense(path: Path, weight: Array | Stored, **options: Any) -> Path:
    ops = [Op("FULLY_CONNECTED", ("x", "w", "b"), "y", "FullyConnectedOptions")]
    if isinstance(weight, np.ndarray) and weight.dtype == np.float16:
        ops = [Op("DEQUANTIZE", ("w16",), "w", "DequantizeOptions", version=3), *ops]
    shapes = options.pop("shapes", {"x": (1, 4), "y": (1, 3)}) | ({"w": (3, 4)} if len(ops) > 1 else {})
    constants = {"w16" if len(ops) > 1 else "w": weight, "b": _floats(3)}
    return write(path, ops, shapes, constants, **options)


def test_weights_stored_small(tmp_path: Path) -> None:
    """Weights stored as float16, or as int8 with one scale or one per output, become the numbers they stand for."""
    half = _floats(3, 4).astype(np.float16)
    graph = _agrees(_dense(tmp_path / "half.tflite", half), _floats(1, 4))
    np.testing.assert_array_equal(graph.params[0].data, half.astype(np.float32))
    assert graph.params[0].learnable
    stored = np.random.default_rng(0).integers(-127, 128, (3, 4)).astype(np.int8)
    for scale in ((0.5,), (0.5, 0.25, 2.0)):
        graph = import_tflite(_dense(tmp_path / "int8.tflite", Stored(stored, scale)))
        np.testing.assert_array_equal(graph.params[0].data, stored * np.array(scale, np.float32).reshape(-1, 1))


def test_a_shared_bias_is_each_layers_own(tmp_path: Path) -> None:
    """Converters store equal constants once; two layers that name one bias still train one each."""
    ops = [Op("FULLY_CONNECTED", ("x", "w", "b"), "h", "FullyConnectedOptions"),
           Op("FULLY_CONNECTED", ("h", "v", "b"), "y", "FullyConnectedOptions")]  # fmt: skip
    constants = {"w": _floats(3, 3), "v": _floats(3, 3), "b": np.zeros(3, np.float32)}
    path = write(tmp_path / "model.tflite", ops, {"x": (1, 3), "h": (1, 3), "y": (1, 3)}, constants)
    assert [param.source for param in import_tflite(path).params] == ["w.weight", "w.bias", "v.weight", "v.bias"]


def test_a_layer_that_runs_twice_is_one(tmp_path: Path) -> None:
    """Two operators with the same weight are one layer."""
    ops = [Op("FULLY_CONNECTED", ("x", "w", "b"), "h", "FullyConnectedOptions"),
           Op("FULLY_CONNECTED", ("h", "w", "b"), "y", "FullyConnectedOptions")]  # fmt: skip
    constants = {"w": _floats(3, 3), "b": _floats(3)}
    graph = _agrees(
        write(tmp_path / "model.tflite", ops, {"x": (1, 3), "h": (1, 3), "y": (1, 3)}, constants), _floats(1, 3)
    )
    assert [param.source for param in graph.params] == ["w.weight", "w.bias"]
    assert [node.origin for node in graph.nodes] == ["w", "w"]


def _refused(path: Path, message: str, **options: Any) -> None:
    with pytest.raises(MicrograftError, match=message) as error:
        import_model(path, **options)
    assert "\n" not in str(error.value)


def test_refusals(tmp_path: Path) -> None:
    """What we do not have is refused in one sentence that names the layer or the input."""
    path = tmp_path / "model.tflite"
    write(path, [Op("SIN", ("x",), "y")], {"x": (1, 3), "y": (1, 3)})
    _refused(path, "layer 'y': the operator SIN is not supported.*micrograft has .*ADD, ")
    write(path, [Op("RELU", ("x",), "y")], {"x": (2, 3), "y": (2, 3)})
    _refused(path, "input 'x': its shape is .*batch of 1")
    write(path, [Op("RELU", ("x",), "y")], {"x": (1, 3), "y": (1, 3)}, kinds={"x": "FLOAT64", "y": "FLOAT64"})
    _refused(path, "input 'x': it is FLOAT64")
    write(path, [Op("RELU", ("x",), "y")], {"x": (1, 3), "y": (1, 3)}, kinds={"y": "UINT8"}, scales={"y": 0.5})
    _refused(path, "it is quantized \\('y' is UINT8\\)")
    write(path, [Op("RELU", ("x",), "y")], {"x": (-1, -1, 3), "y": (-1, -1, 3)})
    _refused(path, "its axis 1 is dynamic; pass --shape x=1,1,3, say")
    assert import_model(path, shapes={"x": (1, 5, 3)}).inputs[0].user_shape == (1, 5, 3)
    _refused(path, "does not fit", shapes={"x": (1, 5, 4)})
    _refused(path, "no input 'z'", shapes={"z": (1, 5, 4)})
    for fields, message in (
        ({"strideH": 1, "strideW": 1, "fusedActivationFunction": 4}, "activation that is fused into it"),
        ({"strideH": 0, "strideW": 1}, r"its stride is \(0, 1\)"),
    ):
        shapes = {"x": (1, 2, 2, 1), "y": (1, 2, 2, 1)}
        write(path, [Op("CONV_2D", ("x", "w"), "y", "Conv2DOptions", fields)], shapes, {"w": _floats(1, 1, 1, 1)})
        _refused(path, message)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    """A text, an empty file and a model cut off anywhere before its end are refused, never read as something else."""
    whole = _dense(tmp_path / "whole.tflite", _floats(3, 4)).read_bytes()
    expected = import_tflite(tmp_path / "whole.tflite")
    path = tmp_path / "cut.tflite"
    for contents in (b"hello, world\n", b""):
        path.write_bytes(contents)
        _refused(path, "it is not a TFLite file")
    refused = 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            graph = import_tflite(path)
        except MicrograftError:
            refused += 1
        else:  # what is cut off was padding
            for ours, theirs in zip(graph.params, expected.params, strict=True):
                np.testing.assert_array_equal(ours.data, theirs.data)
    assert refused >= len(whole) - 8


def test_damaged_files(tmp_path: Path) -> None:
    """A file with any one byte changed is read as some network or refused, and never ends in a traceback."""
    whole = bytearray(_dense(tmp_path / "whole.tflite", _floats(3, 4)).read_bytes())
    path = tmp_path / "damaged.tflite"
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            import_tflite(path)
        except MicrograftError as error:
            assert "\n" not in str(error)
