"""Networks that ONNX Runtime quantized, in QDQ form, answer as ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from micrograft import api
from micrograft.ir.types import Array, DType
from micrograft.ops.quantize import DequantizeAttrs
from micrograft.reference import run
from micrograft.samples import check_inputs
from tests.deployed_networks import DEPLOYED, Deployed, build


@dataclass(frozen=True)
class Way:
    """How ONNX Runtime quantizes: the words of `quantize_static`."""

    name: str
    activations: str = "QInt8"
    weights: str = "QInt8"
    per_channel: bool = True
    reduce_range: bool = False
    symmetric: bool = False


WAYS = (
    Way("int8"),
    Way("int8, weights per tensor", per_channel=False),
    Way("int8, symmetric", symmetric=True),
    Way("uint8", "QUInt8"),
    Way("uint8, weights of 7 bits", "QUInt8", reduce_range=True),
    Way("uint8, weights too", "QUInt8", "QUInt8", per_channel=False),
)
LEFT = {"attentive": {"maximum", "elu", "sub"}}
"""What ONNX Runtime's tool puts no codes around."""
STABLE = tuple(deployed for deployed in DEPLOYED if deployed.name != "conv_transformer")
"""Through layer normalisations ONNX Runtime's own modes drift apart by several steps."""


def _samples(deployed: Deployed) -> Array:
    return np.random.default_rng(0).standard_normal((16, *deployed.shape[1:])).astype(np.float32)


def _quantized(deployed: Deployed, way: Way, directory: Path) -> Path:
    quantization = pytest.importorskip("onnxruntime.quantization")
    x = _samples(deployed)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest: Iterator[dict[str, Array]] = iter([{"x": each[None]} for each in x])

        def get_next(self) -> dict[str, Array] | None:
            return next(self._rest, None)

    floats, codes = directory / "floats.onnx", directory / "codes.onnx"
    torch.onnx.export(build(deployed), (torch.from_numpy(x[:1]),), str(floats), input_names=["x"], dynamo=False)
    quantization.quant_pre_process(str(floats), str(floats), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(floats), str(codes), Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=way.per_channel,
        activation_type=quantization.QuantType[way.activations], weight_type=quantization.QuantType[way.weights],
        reduce_range=way.reduce_range, extra_options={"ActivationSymmetric": way.symmetric},
    )  # fmt: skip
    return codes


def _answers(path: Path, x: Array) -> Array:
    runtime: Any = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(str(path), options)
    return np.stack([session.run(None, {"x": each[None]})[0] for each in x])


@pytest.mark.parametrize("way", [WAYS[0], *(pytest.param(way, marks=pytest.mark.slow) for way in WAYS[1:])],
                         ids=lambda way: way.name)  # fmt: skip
@pytest.mark.parametrize("deployed", STABLE, ids=lambda deployed: deployed.name)
def test_answers_are_those_of_onnx_runtime(deployed: Deployed, way: Way, tmp_path: Path) -> None:
    """Nearly all are its very codes, and nothing but what the network has is float32.

    A mean of four codes is often half a code: ONNX Runtime's float32 then rounds either way, and DenseNet goes on from
    there, up to two steps in one of a hundred answers.
    """
    path, x = _quantized(deployed, way, tmp_path), _samples(deployed)
    network = api.load(path)
    if way.weights == "QInt8" and not deployed.floats:
        floats = {node.op for node in network.nodes if node.outputs[0].dtype is DType.FLOAT32}
        assert floats == {"dequantize"} | LEFT.get(deployed.name, set())
    given, result = network.inputs[0], network.outputs[0]
    inputs = check_inputs(x, given)
    found = [run(network, [given.from_user(each.reshape(given.user_shape))])[result.value.name] for each in inputs]
    ours, theirs = np.stack([result.to_user(each) for each in found]), _answers(path, x)
    step = [node.attrs.x.scale for node in network.nodes if isinstance(node.attrs, DequantizeAttrs)][-1]
    steps = np.rint(np.abs(ours.reshape(theirs.shape) - theirs) / step)
    assert np.mean(steps == 0) >= (0.7 if deployed.name == "densenet" else 0.95)
    assert np.mean(steps <= 1) >= 0.98 and steps.max() <= 2
