"""Float networks of all kinds become int8 ones, and what that costs is told layer by layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from micrograft import api, precision
from micrograft.comparison import compare
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array, DType
from micrograft.ops.fixed_point import LOW
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.peft.lora import LoRA
from micrograft.quantization.noise import layer_noise
from micrograft.quantization.observers import MSE, MinMax, Observer, Percentile
from micrograft.quantization.quantize import quantize
from micrograft.quantization.scheme import LAYERS, scheme
from micrograft.reference import run
from micrograft.samples import Samples, check_inputs
from tests.frontends import torch_networks, zoo_networks
from tests.frontends.torch_networks import Case, trained
from tests.int8_networks import SHARED
from tests.networks import Sketch, residual_cnn

KEYWORDS = SHARED / "models" / "kws_dscnn_float32.tflite"


def real(shape: tuple[int, ...], count: int = 24) -> Array:
    return (np.random.default_rng(0).standard_normal((count, *shape[1:])) * 2).astype(np.float32)


def answers(graph: Graph, x: Array) -> Array:
    """Of the reference, to samples in the network's own layout."""
    samples = check_inputs(x, graph.inputs[0])
    port = graph.outputs[0]
    found = [run(graph, [graph.inputs[0].from_user(sample)])[port.value.name] for sample in samples]
    return np.stack([port.to_user(each) for each in found])


def decibels(signal: Array, result: Array) -> float:
    return float(10 * np.log10(np.mean(signal**2) / np.mean((signal - result) ** 2)))


def test_a_residual_network_computes_in_int8_alone() -> None:
    """Each layer takes the activation behind it as its clamp; the answer is the only float32."""
    quantized = api.quantize(residual_cnn(), real((1, 8, 8, 3)))
    assert [node.op for node in quantized.nodes] == [
        "quantized_conv", "quantized_conv", "quantized_conv", "quantized_add", "quantized_conv", "quantized_mean",
        "reshape", "quantized_linear", "dequantize",
    ]  # fmt: skip
    assert quantized.inputs[0].value.dtype is DType.INT8
    down = next(node for node in quantized.nodes if node.origin == "down")
    assert down.outputs[0].type.quant is not None and down.outputs[0].type.quant.zero == LOW


def test_weights_have_a_scale_for_each_output() -> None:
    """And no weight is farther than half a step from the float one."""
    network = residual_cnn()
    quantized = api.quantize(network, real((1, 8, 8, 3)))
    floats = {param.source: param.data for param in network.params}
    weights = [param for param in quantized.params if param.value.dtype is DType.INT8]
    assert {param.source for param in weights} == {name for name in floats if name.endswith("weight")}
    for param in weights:
        grid = param.value.type.quant
        assert grid is not None and len(grid.scales) == len(param.data)
        steps = np.reshape(grid.scales, (-1, *[1] * (param.data.ndim - 1)))
        assert (np.abs(grid.real(param.data) - floats[param.source]) <= 0.501 * steps).all()


COMPILED = ("ds_cnn", "wave", "pools", "branches")
"""Networks that are compiled here; each operator's C has its own test."""

ONE_INPUT = [case for case in (*torch_networks.CASES, *zoo_networks.CASES) if len(case.shapes) == 1]


@pytest.mark.parametrize("case", ONE_INPUT, ids=lambda case: case.name)
def test_every_network_comes_through(case: Case) -> None:
    """Whatever has no int8 operator stays float32 between codes; each layer keeps 30 decibels; C is the reference."""
    network = api.load(trained(case), example=[np.zeros(shape, np.float32) for shape in case.shapes])
    x = real(case.shapes[0])
    if not any(node.op in LAYERS for node in network.nodes):
        with pytest.raises(MicrograftError, match="no layer with an int8 operator"):
            api.quantize(network, x)
        return
    quantized = precision.quantize(network, x)
    assert min(layer.alone for layer in quantized.noise()) > 30
    graph = quantized.graph
    assert any(node.op.startswith("quantized") for node in graph.nodes)
    expected = answers(graph, x[:4])
    assert np.isfinite(expected).all()
    if case.name not in COMPILED:
        return
    with api.host(api.freeze(graph)) as runner:
        ours = np.stack([runner.predict(sample) for sample in check_inputs(x[:4], graph.inputs[0])])
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("observer", [MinMax(), Percentile(), MSE()], ids=lambda observer: observer.name)
def test_the_answers_stay(observer: Observer) -> None:
    """Each observer's int8 network answers as the float network, 20 decibels above its noise."""
    network = residual_cnn()
    x = real((1, 8, 8, 3), 60)
    quantized = api.quantize(network, x, observer=observer)
    assert decibels(answers(network, x), answers(quantized, x)) > 20


def test_a_channel_without_weights_keeps_its_bias() -> None:
    """However small its weights, the bias is what it was: the grid is coarsened rather than the bias cut."""
    network = residual_cnn()
    changed = [
        replace(param, data=param.data * 1e-9) if param.source == "head_weight" else param for param in network.params
    ]
    network = replace(network, params=tuple(changed))
    x = real((1, 8, 8, 3))
    np.testing.assert_allclose(answers(api.quantize(network, x), x), answers(network, x), atol=0.004)


def test_noise_points_at_the_layer_that_hurts() -> None:
    """Where one layer's range is sixty times too wide it is that layer that is named, and the noise stays behind it."""
    good = precision.quantize(residual_cnn(), real((1, 8, 8, 3)))
    wide = next(
        node.inputs[0].name for node in good.drawn.nodes if node.origin == "block.conv1" and node.op == "quantize"
    )
    ranges = {name: (60 * low, 60 * high) if name == wide else (low, high) for name, (low, high) in good.ranges.items()}
    drawn = quantize(good.floats, ranges)
    noise = layer_noise(good.floats, drawn, fuse_quantization(drawn), good.samples[:8])
    assert min(noise, key=lambda layer: layer.alone).layer == "block.conv1"
    before, after = good.noise()[-1].together, noise[-1].together
    assert before is not None and after is not None and after < before - 6


def test_labels_of_each_position_are_judged() -> None:
    """A network with an answer in each row is compared on a label for each, as it is trained."""
    sketch, x = Sketch("rows", (1, 5, 4)), real((1, 5, 4))
    network = sketch.done(sketch.linear(sketch.input, 3, "head"))
    labels = answers(network, x)[:, 0].argmax(axis=-1)
    record = compare(network, precision.quantize(network, x), Samples(x, labels))
    assert record.accuracy_float32 == 1 and record.same_class == record.accuracy_int8 and record.same_class > 0.9


def test_the_same_ranges_give_the_same_network() -> None:
    """What an adapter's record holds brings the network back, digest and all; another network's ranges do not."""
    network, x = residual_cnn(), real((1, 8, 8, 3))
    quantized = precision.quantize(network, x)
    again = precision.quantize_as(network, quantized.ranges)
    assert api.freeze(again).digest == api.freeze(quantized.graph).digest
    with pytest.raises(MicrograftError, match="another network"):
        precision.quantize_as(network, {})


def test_what_cannot_be_quantized_is_refused() -> None:
    """An int8 network, samples of another shape, and none at all."""
    network, x = residual_cnn(), real((1, 8, 8, 3))
    with pytest.raises(MicrograftError, match="int8 already"):
        api.quantize(api.quantize(network, x), x)
    with pytest.raises(MicrograftError, match="a sample has shape"):
        api.quantize(network, x[:, 1:])
    with pytest.raises(MicrograftError, match="there are no samples"):
        api.quantize(network, x[:0])
    sketch = Sketch("sums", (1, 4))
    with pytest.raises(MicrograftError, match="no layer"):
        api.quantize(sketch.done(sketch.apply("relu", sketch.input)), real((1, 4)))


def test_a_quantized_network_learns() -> None:
    """LoRA on what post-training quantization made lowers the loss."""
    x = real((1, 8, 8, 3))
    quantized = api.quantize(residual_cnn(), x)
    library = api.adapt(quantized, api.Recipe((LoRA(rank=2),), SGD(lr=0.1)), x)
    sample = check_inputs(x[:1], quantized.inputs[0])[0]
    with api.host(library) as runner:
        losses = [runner.train_step(sample, np.array([2], np.int32)) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


def test_what_was_folded_can_be_learned() -> None:
    """Weights and biases that took a batch norm in are learnable in int8, under the names of their layers."""
    case = next(case for case in ONE_INPUT if case.name == "ds_cnn")
    network = api.load(trained(case), example=[np.zeros(shape, np.float32) for shape in case.shapes])
    quantized = api.quantize(network, real(case.shapes[0]))
    codes = [param for param in quantized.params if param.value.dtype is DType.INT8]
    biases = [param for param in quantized.params if param.source.endswith(".bias")]
    assert len(codes) == len(biases) and all(param.learnable for param in (*codes, *biases))


def test_the_keyword_network_keeps_its_answers() -> None:
    """MLPerf Tiny's float32 keyword network answers the same class in int8 on 98 of 100 spoken digits."""
    data = SHARED / "data" / "spoken_digits_mfcc.npz"
    if not (KEYWORDS.is_file() and data.is_file()):
        pytest.skip(f"{KEYWORDS} or {data} is not there")
    with np.load(data) as archive:
        x = archive["x"].astype(np.float32)
    network = api.load(KEYWORDS)
    assert len(scheme(network).order) > 10
    quantized = api.quantize(network, x[::60], observer=MSE())
    classes = []
    for graph in (network, quantized):
        samples = check_inputs(x[7::30], graph.inputs[0])
        with api.host(api.freeze(graph)) as runner:
            classes.append(api.predict(runner, samples).argmax(axis=-1))
    assert np.mean(classes[0] == classes[1]) >= 0.98
