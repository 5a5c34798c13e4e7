"""A network adapted with several draws of new parameters is planned once, and each is what it would be alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from micrograft import api
from micrograft.codegen.emit import library_files
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.recipe import Recipe
from tests.int8_networks import drawn
from tests.networks import mlp

SEEDS = (3, 4, 5)


def samples(network: Graph) -> Array:
    shape = network.inputs[0].user_shape[1:]
    return np.random.default_rng(3).uniform(-2, 2, (4, *shape)).astype(np.float32)


CASES = {
    "A frozen": (False, Recipe((LoRA(rank=2, freeze_a=True), Head()), SGD(lr=0.1))),
    "A trained, momentum": (False, Recipe((LoRA(rank=2),), SGD(lr=0.1, momentum=0.9))),
    "codes": (True, Recipe((LoRA(rank=2),), SGD(lr=0.1), gradients="int8", additions="int8")),
    "trained codes": (True, Recipe((Head(), LoRA(rank=2, freeze_a=True)), SGD(lr=0.1), gradients="int16")),
}


@pytest.mark.parametrize("case", CASES)
def test_each_draw_is_what_it_is_alone(case: str) -> None:
    """The C that is written is the same to the byte, and the draws differ."""
    in_codes, recipe = CASES[case]
    network = fuse_quantization(drawn()) if in_codes else mlp()
    x = samples(network)
    several = list(api.draws(network, recipe, SEEDS, x))
    texts = []
    for seed, library in zip(SEEDS, several, strict=True):
        alone = api.adapt(network, replace(recipe, seed=seed), x)
        texts.append(library_files(library))
        assert texts[-1] == library_files(alone) and library.digest == alone.digest
        assert library.memory.total == alone.memory.total
    assert texts[0] != texts[1] != texts[2]


def test_draws_share_their_plan() -> None:
    """Where steps differ in nothing but numbers."""
    network = mlp()
    several = list(api.draws(network, Recipe((LoRA(rank=2),), SGD(lr=0.1)), SEEDS, samples(network)))
    assert all(each.train is several[0].train for each in several)
