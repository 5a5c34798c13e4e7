"""The Python face: what users of PEFT expect, and that what was learned stays where it belongs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import micrograft
from micrograft import (
    SGD,
    Bias,
    Full,
    Head,
    LayerScheme,
    LoRA,
    MicrograftError,
    PeftModel,
    Scheme,
    Sparse,
    get_peft_model,
)
from micrograft.ir.graph import Graph
from tests.tiny import data, write_network

DATA = data()
X, Y = DATA["x"], DATA["y"]
SPARSE = Sparse(Scheme((LayerScheme("conv", bias=True, weight=0.5), LayerScheme("head", channels=(3, 1)))))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return micrograft.load(write_network(tmp_path_factory.mktemp("model") / "net.onnx"))


def test_every_public_name_is_there() -> None:
    """What `__all__` lists can be used."""
    assert all(hasattr(micrograft, name) for name in micrograft.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", micrograft.__version__)


def test_trainable_parameters_are_printed_as_peft_prints_them(
    network: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the costs on a board below."""
    model = get_peft_model(network, Head(), X)
    model.print_trainable_parameters()
    assert capsys.readouterr().out == "trainable params: 15 || all params: 91 || trainable%: 16.48\n"
    model.print_trainable_parameters("nrf52840")
    bill = model.plan("nrf52840")
    assert f"RAM: {bill.ram.total:,} of 262,144 bytes || nrf52840: fits" in capsys.readouterr().out


def test_methods_combine(network: Graph) -> None:
    """LoRA beside a head that is trained itself: the head needs no detour."""
    names = set(get_peft_model(network, [LoRA(rank=2), Head()]).tensors)
    assert names == {"conv.lora_A.weight", "conv.lora_B.weight", "head.weight", "head.bias"}


def test_training_goes_on_from_what_was_learned(network: Graph) -> None:
    """Two epochs in one call are two calls of one, for an optimizer without a memory; so is another learning rate."""
    whole, halves = (get_peft_model(network, LoRA(rank=2), X, optimizer=SGD(lr=0.1)) for _ in range(2))
    both = whole.train(X, Y, epochs=2)
    first, second = halves.train(X, Y), halves.train(X, Y)
    assert first.losses + second.losses == both.losses
    assert all(halves.tensors[name].tobytes() == each.tobytes() for name, each in whole.tensors.items())
    slower = halves.train(X, Y, optimizer=SGD(lr=0.001))
    assert slower.loss_before == second.loss_after


def test_a_failed_training_leaves_the_model_as_it_was(network: Graph) -> None:
    """Whether the data are wrong or the loss explodes."""
    model = get_peft_model(network, Full(), X, clip=None)
    before = model.predict(X)
    with pytest.raises(MicrograftError, match="outside 0 to 2"):
        model.train(X, Y + 1)
    with pytest.raises(MicrograftError, match="the loss is"):
        model.train(X, Y, optimizer=SGD(lr=1e30))
    assert model.record is None and model.recipe.optimizer == SGD()
    np.testing.assert_array_equal(model.predict(X), before)


def test_adapters_are_drawn_from_the_samples_to_train_on(network: Graph) -> None:
    """Where no others were given: A's scale follows the input's."""
    large, small = get_peft_model(network, LoRA()), get_peft_model(network, LoRA())
    large.train(100 * X, Y, epochs=0)
    small.train(X, Y, epochs=0)
    ratio = small.tensors["conv.lora_A.weight"] / large.tensors["conv.lora_A.weight"]
    np.testing.assert_allclose(ratio, 100, rtol=1e-4)


@pytest.mark.parametrize(
    "methods", [Bias(), LoRA(rank=2, freeze_a=True), [LoRA(rank=1, targets="conv"), Head()], SPARSE]
)
def test_a_saved_adapter_comes_back_whole(network: Graph, methods: object, tmp_path: Path) -> None:
    """The same predictions to the bit, the same recipe, and it can learn on."""
    model = get_peft_model(network, methods, X, optimizer=SGD(lr=0.1), accumulate=2, seed=7)  # type: ignore[arg-type]
    model.train(X, Y)
    model.save(tmp_path / "adapter")
    again = PeftModel.from_pretrained(network, tmp_path / "adapter")
    assert again.recipe == model.recipe
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert again.train(X, Y).losses == model.train(X, Y).losses


def test_an_adapter_is_refused_by_another_network(network: Graph, tmp_path: Path) -> None:
    """Even where every shape fits."""
    get_peft_model(network, LoRA()).save(tmp_path / "adapter")
    other = micrograft.load(write_network(tmp_path / "other.onnx", seed=1))
    with pytest.raises(MicrograftError, match="belongs to another network"):
        PeftModel.from_pretrained(other, tmp_path / "adapter")


def test_the_c_library_starts_from_what_was_learned(network: Graph, tmp_path: Path) -> None:
    """Its image on the board predicts what the model predicts."""
    model = get_peft_model(network, LoRA(rank=2), X, optimizer=SGD(lr=0.1), name="tiny")
    model.train(X, Y)
    model.build(tmp_path / "c")
    assert (tmp_path / "c" / "tiny.h").is_file()
    on_board = model.predict(X[:2], on="emulator", board="stm32f446")
    assert on_board.tobytes() == model.predict(X[:2]).tobytes()


def test_a_merged_network_predicts_the_same_without_an_adapter(network: Graph) -> None:
    """Within float rounding, with as many nodes as before."""
    model = get_peft_model(network, LoRA(rank=2), X, optimizer=SGD(lr=0.1))
    model.train(X, Y)
    merged = model.merge_and_unload()
    assert len(merged.nodes) <= len(network.nodes)
    with micrograft.host(micrograft.freeze(merged)) as runner:
        answers = micrograft.predict(runner, X[:, None])
    np.testing.assert_allclose(answers, model.predict(X), rtol=1e-4, atol=1e-5)


def test_a_board_without_a_float_unit_gets_integers_unless_told_otherwise(network: Graph) -> None:
    """The same default in Python as on the command line."""
    head = micrograft.Head()
    usual = micrograft.get_peft_model(network, head, board="rp2040").recipe
    told = micrograft.get_peft_model(network, head, board="rp2040", gradients="int8").recipe
    floats = micrograft.get_peft_model(network, head, board="stm32f746").recipe
    assert (usual.gradients, usual.additions) == ("int16", "int16")
    assert (told.gradients, told.additions) == ("int8", "int8")
    assert (floats.gradients, floats.additions) == ("float32", "float32")


def test_the_loss_follows_the_targets_unless_it_is_named(network: Graph) -> None:
    """Integers are classes, other numbers are to be met."""
    model = get_peft_model(network, Head(), X)
    assert model.train(X, Y, epochs=0).accuracy_before is not None and model.recipe.loss == "cross_entropy"
    numbers = np.eye(3, dtype=np.float32)[Y]
    assert model.train(X, numbers, epochs=0).accuracy_before is None and model.recipe.loss == "mse"
    model.train(X, numbers, loss="bce", epochs=0)
    assert model.recipe.loss == "bce"


def test_steps_report_their_progress_in_order(network: Graph) -> None:
    """Judging, training, judging; each counts up to its end."""
    seen: list[tuple[str, int, int]] = []
    model = get_peft_model(network, Head(), X)
    model.train(X, Y, progress=lambda what, done, total, loss: seen.append((what, done, total)))
    model.predict(X, progress=lambda what, done, total, loss: seen.append((what, done, total)))
    stages = ("judging before", "training", "judging after", "predicting")
    assert seen == [(what, done + 1, len(X)) for what in stages for done in range(len(X))]


def test_shuffling_is_reproducible(network: Graph) -> None:
    """The same seed gives the same order, another seed another."""

    def losses(shuffle: int | None) -> tuple[float, ...]:
        return get_peft_model(network, Head(), X).train(X, Y, shuffle=shuffle).losses

    assert losses(1) == losses(1)
    assert len({losses(None), losses(1), losses(2)}) == 3


def test_the_plan_can_be_asked_with_another_optimizer(network: Graph) -> None:
    """Adam keeps two floats for each trained parameter."""
    model = get_peft_model(network, Head(), X)
    plain, adam = model.plan("nrf52840"), model.plan("nrf52840", micrograft.Adam())
    assert adam.ram.optimizer - plain.ram.optimizer == 2 * 4 * (15 + 1), "moments, and two corrections"
    assert replace(model.recipe, optimizer=SGD()) == get_peft_model(network, Head()).recipe
