"""int8 operators are made of what importers draw in real numbers between codes."""

from __future__ import annotations

import numpy as np
import pytest

from micrograft import api
from micrograft.ir.types import DType
from micrograft.ops.fixed_point import Rounding
from micrograft.passes.float_head import float_head
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.passes.prune import prune
from micrograft.reference import run
from micrograft.samples import check_inputs
from tests.int8_networks import drawn
from tests.networks import residual_cnn

OPERATORS = [
    "quantized_conv", "quantized_depthwise_conv", "quantized_conv", "quantized_add", "max_pool", "quantized_mean",
    "reshape", "quantized_linear", "dequantize",
]  # fmt: skip


def images(count: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-2, 2, (count, 8, 8, 3)).astype(np.float32)


def test_every_operator_between_codes_becomes_an_int8_one() -> None:
    """Nothing is left in float32 but the answer; the image is taken as codes."""
    network = fuse_quantization(drawn())
    assert [node.op for node in network.nodes] == OPERATORS
    assert network.inputs[0].value.dtype is DType.INT8
    weights = {param.source: param.value.dtype for param in network.params}
    assert weights["stem.weight"] is weights["head.weight"] is DType.INT8
    assert weights["stem.bias"] is weights["stem.factors"] is DType.INT32


@pytest.mark.parametrize("rounding", list(Rounding))
def test_int8_operators_compute_what_was_drawn(rounding: Rounding) -> None:
    """The codes are those of the real numbers, rounded; in ten thousand activations a few are a step off."""
    before, after = drawn(rounding), fuse_quantization(drawn(rounding))
    for image in images(8):
        theirs = run(before, [image[None]], dtype=np.float64)[before.outputs[0].value.name]
        codes = check_inputs(image[None], after.inputs[0])
        ours = run(after, [codes[0]])[after.outputs[0].value.name]
        assert np.abs(ours - theirs).max() <= 1.01 / 20  # one step of the logits


def test_c_computes_the_reference() -> None:
    """Host C gives every bit of the NumPy reference."""
    network = prune(fuse_quantization(drawn()))
    samples = check_inputs(images(20), network.inputs[0])
    with api.host(api.freeze(network)) as runner:
        for sample in samples:
            expected = run(network, [sample])[network.outputs[0].value.name]
            np.testing.assert_array_equal(runner.predict(sample), expected)


def test_a_float_network_is_returned_as_it_is() -> None:
    """A network without codes is untouched, and so is its head."""
    network = residual_cnn()
    assert fuse_quantization(network) is network
    assert float_head(network) is network


def test_float_head_answers_like_the_int8_head() -> None:
    """The last layer in float32 gives the logits that the int8 one gives, within a step of its codes."""
    network = fuse_quantization(drawn())
    changed = float_head(network)
    assert [node.op for node in changed.nodes][-2:] == ["dequantize", "linear"]
    learnable = {param.source for param in changed.params if param.learnable and param.value.dtype is DType.FLOAT32}
    assert learnable == {"head.weight", "head.bias"}
    for image in images(5):
        codes = check_inputs(image[None], network.inputs[0])[0]
        before, after = (run(each, [codes])[each.outputs[0].value.name] for each in (network, changed))
        assert np.abs(before - after).max() <= 0.51 / 20
