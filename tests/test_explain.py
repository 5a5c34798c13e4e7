"""Explanations: the picture is true to the plan, and what is said to lower the memory was planned, to the byte."""

from __future__ import annotations

import json
import re
import shlex
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from micrograft import api
from micrograft.cli import main
from micrograft.codegen.artifact import Library
from micrograft.explain import block_and_buffers, explain
from micrograft.ir.graph import Graph
from micrograft.passes.attach_optimizer import Adam, Clip
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.peft.full import Full
from micrograft.peft.lora import LoRA
from micrograft.recipe import Recipe
from micrograft.report.explanation import Explanation, explain_plan
from micrograft.report.text import to_text
from micrograft.report.timeline import ROWS, explanation_text
from micrograft.spec import parse_clip, parse_methods, parse_optimizer
from tests import int8_networks
from tests.tiny import write_network

RECIPE = Recipe((LoRA(rank=2),), optimizer=Adam(), clip=Clip(1.0, "global"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("explain") / "net.onnx")


@pytest.fixture(scope="module")
def network(path: Path) -> Graph:
    return api.load(path)


@pytest.fixture(scope="module")
def library(network: Graph) -> Library:
    return api.adapt(network, RECIPE)


@pytest.fixture(scope="module")
def explanation(network: Graph, library: Library) -> Explanation:
    return explain(library, RECIPE, network)


def test_every_change_is_what_planning_its_words_gives(
    network: Graph, library: Library, explanation: Explanation
) -> None:
    """Read back from the options that it prints, to the byte; and each lowers RAM."""
    assert {"update at once", "freeze A", "rank 1", "leave layer", "plain SGD", "train the head"} <= {
        piece
        for change in explanation.changes
        for piece in ("update at once", "freeze A", "rank 1", "leave layer", "plain SGD", "train the head")
        if piece in change.what
    }
    for change in explanation.changes:
        words = shlex.split(change.words)
        options = dict(zip(words[::2], words[1::2], strict=True))
        other = api.adapt(
            network,
            Recipe(
                parse_methods(options.pop("--method", "lora:rank=2")),
                optimizer=parse_optimizer(options.pop("--optimizer", "adam")),
                clip=parse_clip(options.pop("--clip", "1")),
                arena=int(options.pop("--arena", 0)) or None,
            ),
        )
        assert not options
        assert block_and_buffers(other) - block_and_buffers(library) == change.ram < 0
        assert other.memory.arena - library.memory.arena == change.arena
        assert sum(param.value.type.size for param in other.graph.trainable) == change.trainable


def test_integer_gradients_are_proposed_to_int8_networks() -> None:
    """With the bytes that they save, to the byte; and not to one that has them."""
    network = fuse_quantization(int8_networks.drawn())
    whole = Recipe((LoRA(rank=2),))
    narrow = replace(whole, gradients="int8", additions="int8")
    library, other = api.adapt(network, whole), api.adapt(network, narrow)
    found = {change.words: change.ram for change in explain(library, whole, network).changes}
    assert found["--gradients int8 --additions int8"] == block_and_buffers(other) - block_and_buffers(library) < 0
    assert not [change for change in explain(other, narrow, network).changes if "--gradients" in change.words]


def test_tensors_add_up_to_what_is_alive(library: Library, explanation: Explanation) -> None:
    """At every operation; the peak is the lower bound of the arena."""
    assert library.train is not None
    for position, alive in enumerate(explanation.alive):
        assert alive == sum(tensor.alive[position] for tensor in explanation.tensors)
        assert alive == sum(buffer.size for buffer in library.train.live(position))
    assert explanation.alive[explanation.peak] == max(explanation.alive) == library.train.lower_bound
    for tensor in explanation.tensors:
        assert tensor.alive[tensor.first] and tensor.alive[tensor.last] and tensor.most >= tensor.at_peak
        assert not any(tensor.alive[: tensor.first]) and not any(tensor.alive[tensor.last + 1 :])


def test_a_tensor_has_one_name_throughout(network: Graph) -> None:
    """The user's: what clips, accumulates and updates a weight stands under the same one."""
    for accumulate in (1, 2):
        recipe = Recipe((Full(),), optimizer=Adam(), clip=Clip(1.0, "tensor"), accumulate=accumulate)
        step = api.adapt(network, recipe).step
        assert step is not None
        origins = {node.origin for node in step.graph.nodes}
        assert "conv.weight" in origins
        assert origins.isdisjoint(param.name for param in step.graph.trainable if param.name != param.source)


@pytest.mark.parametrize("width", [60, 80, 132])
def test_the_picture_fits_the_terminal_and_shows_when_each_is_alive(explanation: Explanation, width: int) -> None:
    """Without colours; one line for each tensor that matters."""
    text = to_text(explanation_text(explanation), width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "▲" in text and f"operation {explanation.peak + 1} of {len(explanation.alive)}" in " ".join(text.split())
    rows = [line for line in text.splitlines() if re.search(r"[█▓▒░·]{3,}.*\d\)?$", line) and "┤" not in line]
    assert len(rows) == len(explanation.drawn(ROWS))
    for row, tensor in zip(rows, explanation.drawn(ROWS), strict=True):
        assert f"{tensor.at_peak or tensor.most:,}" in row.rsplit(maxsplit=1)[1]


def test_a_sparse_update_may_train_less_of_what_keeps_most(network: Graph) -> None:
    """The layer with half of its channels, or without it, to the byte that its words give."""
    methods = parse_methods('sparse:scheme=layers={"conv"={weight=1.0}%2C"head"={bias=true}}')
    library = api.adapt(network, Recipe(methods))
    changes = {change.what: change for change in explain(library, Recipe(methods), network).changes}
    for what in ("leave layer conv alone", "train 50 % of the channels of layer conv instead of 100 %"):
        word, value = shlex.split(changes[what].words)
        other = api.adapt(network, Recipe(parse_methods(value)))
        assert word == "--method"
        assert block_and_buffers(other) - block_and_buffers(library) == changes[what].ram


def test_a_plan_without_anything_better_says_so(library: Library) -> None:
    """Rather than an empty table."""
    assert library.predict.schedule
    assert "Nothing that was tried needs less" in to_text(explanation_text(explain_plan(library.predict)))


def test_the_command_line_prints_draws_and_writes(path: Path, tmp_path: Path) -> None:
    """JSON under its own key, a picture, and a page that stands alone."""
    page = tmp_path / "plan.html"
    words = ["plan", str(path), "--method", "lora:rank=2", "--explain"]
    found = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert {"fits", "ram", "explanation"} <= set(found)
    explained = found["explanation"]
    assert explained["peak"]["bytes"] == max(explained["alive"]) == found["arena_lower_bound"]
    assert all(set(change) >= {"what", "words", "ram", "work"} for change in explained["changes"])
    text = CliRunner().invoke(main, [*words, "--html", str(page)]).stdout
    assert "What would lower it" in text and "from left to right" in text
    body = re.sub(r"<!doctype html>|<meta[^>]*>", "", page.read_text())
    ElementTree.fromstring(body)
    assert "What would lower it" in body and "What is alive when" in body and not re.search(r"https?:|<script", body)
    for tensor in explained["tensors"]:
        assert tensor["layer"] in body
