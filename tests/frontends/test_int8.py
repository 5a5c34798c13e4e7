"""Published int8 networks compute in our C what their own runtimes compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array, DType
from micrograft.ops import operator_of
from micrograft.ops.quantize import DequantizeAttrs
from micrograft.samples import check_inputs
from tests.int8_networks import KEYWORDS, MCUNET, RESNET, inputs, model

LAYERS = {"quantized_conv", "quantized_depthwise_conv", "quantized_linear"}


@pytest.mark.parametrize("name", [KEYWORDS, RESNET])
def test_tflite_networks_give_the_bits_of_tensorflow_lite_micro(name: str) -> None:
    """On 200 real inputs every output code of our C is the one that TensorFlow Lite Micro computes."""
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro").runtime
    path = model(name)
    theirs = runtime.Interpreter.from_file(str(path))
    network = api.load(path)
    assert all(node.outputs[0].dtype is DType.INT8 for node in network.nodes)
    samples = check_inputs(inputs(name, 200), network.inputs[0])
    with api.host(api.freeze(network)) as runner:
        for sample in samples:
            theirs.set_input(sample, 0)
            theirs.invoke()
            np.testing.assert_array_equal(runner.predict(sample), theirs.get_output(0))


def test_every_operator_of_mcunet_is_that_of_onnx_runtime() -> None:
    """Given ONNX Runtime's codes, each int8 operator gives its codes again, but for ties in a few of a million.

    Its graph optimizations are off: with them its int8 products saturate on processors without VNNI.
    """
    path = model(MCUNET)
    network = api.load(path)
    names, session = _tapped(path)
    differ = total = 0
    for sample in inputs(MCUNET, 4):
        codes = dict(zip(names, session.run(None, {"image": sample[None]}), strict=True))
        assert _disagreements(network, codes) <= 12
        differ += _disagreements(network, codes)
        total += sum(array.size for array in codes.values())
    assert differ / total < 1e-5


def _tapped(path: Any) -> tuple[list[str], Any]:
    """ONNX Runtime on the network with the codes of all its activations for outputs."""
    runtime = pytest.importorskip("onnxruntime")
    proto = onnx.load(path)
    names = [node.output[0] for node in proto.graph.node if node.op_type == "QuantizeLinear"]
    proto.graph.ClearField("output")
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(each, onnx.TensorProto.INT8, None) for each in names)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return names, runtime.InferenceSession(proto.SerializeToString(), options)


def _disagreements(network: Graph, codes: dict[str, Array]) -> int:
    """How many codes differ where each operator reads ONNX Runtime's own; none does by more than one."""
    given = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in codes.values()]
    values = {param.name: param.data for param in network.params}
    values[network.inputs[0].value.name] = given[0]
    nodes = [node for node in network.nodes if node.outputs[0].dtype is DType.INT8 and node.op != "reshape"]
    assert len(nodes) == len(given) - 1
    differ = 0
    for node, theirs in zip(nodes, given[1:], strict=True):
        ours = operator_of(node).evaluate(node.attrs, [values[value.name] for value in node.inputs])[0]
        steps = np.abs(ours.astype(int) - theirs)
        assert steps.max() <= 1, node.origin
        differ += int(steps.sum())
        values[node.outputs[0].name] = theirs
    return differ


def _answers(path: Path, images: Array, **config: str) -> Array:
    """Of ONNX Runtime. config: of the session, dots written as two underscores."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    for key, value in config.items():
        options.add_session_config_entry(key.replace("__", "."), value)
    session = runtime.InferenceSession(str(path), options)
    return np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])


def _ours(path: Path, images: Array) -> tuple[Array, float]:
    """The logits of our C, and their step."""
    network = api.load(path)
    assert network.inputs[0].value.dtype is DType.INT8  # the image is taken as codes: 48 KiB, not 192
    step = next(node.attrs.x.scale for node in network.nodes if isinstance(node.attrs, DequantizeAttrs))
    with api.host(api.freeze(network)) as runner:
        return api.predict(runner, check_inputs(images, network.inputs[0])), step


def test_mcunet_gives_the_bits_of_onnx_runtime_in_int8() -> None:
    """On 50 photographs every logit is the one that ONNX Runtime computes with its int8 kernels alone.

    They are its default on Arm. On x86 without VNNI they saturate between products.
    """
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file() and "flags" in cpu.read_text() and "vnni" not in cpu.read_text():
        pytest.skip("ONNX Runtime's int8 products saturate on this processor")
    path, images = model(MCUNET), inputs(MCUNET, 50)
    ours, _ = _ours(path, images)
    np.testing.assert_array_equal(ours, _answers(path, images, session__qdqisint8allowed="1"))


def test_mcunet_answers_like_onnx_runtime_out_of_the_box() -> None:
    """Which on x86 computes 12 of 43 convolutions in float32: most logits still lie within one step."""
    path, images = model(MCUNET), inputs(MCUNET, 20)
    ours, step = _ours(path, images)
    theirs = _answers(path, images)
    assert np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)) >= 0.95
    assert np.mean(np.abs(ours - theirs) < 1.5 * step) > 0.95
