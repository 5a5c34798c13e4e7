"""What was learned in an int8 network is saved, loaded and merged to the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from micrograft import api
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.model import PeftModel, get_peft_model
from micrograft.passes.attach_optimizer import SGD, Adam
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from tests.int8_networks import drawn
from tests.test_int8_training import SPARSE

METHODS: list[tuple[Method, ...]] = [
    (Full(),),
    (Bias(), Head()),
    (IA3(),),
    (LoRA(rank=2, freeze_a=True), Bias()),
    (SPARSE,),
]
Y = np.array([0, 3, 1, 4], np.int32)


def images() -> Array:
    return np.random.default_rng(3).uniform(-2, 2, (len(Y), 8, 8, 3)).astype(np.float32)


def trained(network: Graph, methods: tuple[Method, ...]) -> PeftModel:
    model = get_peft_model(network, methods, images(), optimizer=SGD(lr=0.1, momentum=0.5), clip=None, seed=7)
    model.train(images(), Y, epochs=3)
    return model


@pytest.mark.parametrize("methods", METHODS)
def test_an_adapter_comes_back_as_it_was(methods: tuple[Method, ...], tmp_path: Path) -> None:
    """Saved and read again the network answers, and learns on, as before; merged it answers so too."""
    network = fuse_quantization(drawn())
    model = trained(network, methods)
    assert not np.array_equal(model.predict(images()), get_peft_model(network, methods, images()).predict(images()))
    model.save(tmp_path / "adapter")
    again = PeftModel.from_pretrained(network, tmp_path / "adapter")
    assert again.predict(images()).tobytes() == model.predict(images()).tobytes()
    merged = model.merge_and_unload()
    with api.host(api.freeze(merged)) as runner:
        answers = api.predict(runner, api.check_inputs(images(), merged.inputs[0]))
    np.testing.assert_allclose(answers, model.predict(images()), rtol=1e-6, atol=1e-6)
    assert again.train(images(), Y).losses == model.train(images(), Y).losses


def test_codes_are_saved_as_codes(tmp_path: Path) -> None:
    """int8 weights under the user's names and in their layout, one byte each; biases int32; the head float32."""
    network = fuse_quantization(drawn())
    tensors = trained(network, (Full(),)).tensors
    assert tensors["stem.weight"].dtype == np.int8 and tensors["stem.weight"].shape == (8, 3, 3, 3)
    assert tensors["stem.bias"].dtype == np.int32 and tensors["head.weight"].dtype == np.float32


@pytest.mark.parametrize("wrong", [0.5, 200.0, -129.0])
def test_what_is_no_code_is_refused(wrong: float) -> None:
    """Neither fractions nor numbers beyond int8 become codes in silence."""
    network = fuse_quantization(drawn())
    model = trained(network, (Full(),))
    tensors = {name: data.astype(np.float32) for name, data in model.tensors.items()}
    PeftModel.from_tensors(network, model.recipe, tensors)
    tensors["stem.weight"][0, 0, 0, 0] = wrong
    with pytest.raises(MicrograftError, match=r"'stem.weight' holds codes, which are whole numbers of int8"):
        PeftModel.from_tensors(network, model.recipe, tensors)


@pytest.mark.parametrize(
    "optimizer",
    [SGD(lr=0.02), SGD(lr=0.02, residue=True), SGD(lr=0.01, momentum=0.9, weight_decay=0.01), Adam(lr=0.01)],
)
def test_a_seed_gives_one_training_and_another_another(optimizer: SGD | Adam) -> None:
    """The seed of the recipe is that of the rounding: same seed, same losses, in every bit."""
    network = fuse_quantization(drawn())
    recipe = api.Recipe((Full(),), optimizer, name="net")

    def losses(seed: int) -> tuple[float, ...]:
        return PeftModel(network, replace(recipe, seed=seed)).train(images(), Y, epochs=3).losses

    assert losses(1) == losses(1) != losses(2)
