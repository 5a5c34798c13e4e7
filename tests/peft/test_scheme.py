"""A sparse scheme as a file that a person writes: what it means, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograft.errors import MicrograftError
from micrograft.peft.method import Start, apply_methods
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse, chosen_channels
from micrograft.spec import methods_text, parse_methods
from tests.networks import Sketch, residual_cnn

FILE = """
[layers]
stem = { bias = true }
"block.conv1" = { weight = 0.5, side = "output", choose = "first" }
block.conv2 = { channels = [0, 3] }   # dots without quotes mean the same

[layers.head]
bias = true
weight = 1
"""
SCHEME = Scheme(
    (
        LayerScheme("stem", bias=True),
        LayerScheme("block.conv1", weight=0.5, side="output", choose="first"),
        LayerScheme("block.conv2", channels=(0, 3)),
        LayerScheme("head", bias=True, weight=1.0),
    )
)
SHARES = st.floats(0, 1, exclude_min=True)
LAYERS = st.builds(
    LayerScheme,
    layer=st.text(max_size=12),
    bias=st.just(value=True),
    weight=st.just(0.0) | SHARES,
    side=st.sampled_from(["input", "output"]),
    choose=st.sampled_from(["magnitude", "contribution", "first"]),
)
NUMBERS = st.lists(st.integers(0, 99), min_size=1, unique=True).map(tuple)
LISTS = st.builds(LayerScheme, st.text(max_size=12), channels=NUMBERS)


def test_a_file_means_what_it_says() -> None:
    """Each key, in the several ways in which TOML lets it be written."""
    assert Scheme.from_toml(FILE) == SCHEME


@given(st.lists(LAYERS | LISTS, max_size=4, unique_by=lambda layer: layer.layer))
def test_what_is_written_is_read_back(layers: list[LayerScheme]) -> None:
    """As a file, and as a word of the command line, whatever the names."""
    scheme = Scheme(tuple(layers))
    assert Scheme.from_toml(scheme.to_toml()) == scheme
    for complete in (False, True):
        assert parse_methods(methods_text([Sparse(scheme)], complete=complete)) == (Sparse(scheme),)


def test_the_command_line_names_a_file(tmp_path: Path) -> None:
    """`sparse:FILE` and `sparse:file=FILE` are one, and stand beside other methods."""
    path = tmp_path / "scheme.toml"
    path.write_text(FILE)
    short, long = (parse_methods(f"sparse:{word}{path}+lora")[0] for word in ("", "file="))
    assert short == long
    assert isinstance(short, Sparse)
    assert short.scheme == SCHEME
    assert methods_text([short]) == f"sparse:file={path}"
    path.unlink()
    assert parse_methods(methods_text([short], complete=True)) == (short,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[layers", "this is not TOML"),
        ("[layer]\nstem = {bias = true}", r"there is a key 'layer'; the only one is \[layers\]"),
        ("", r"there is no \[layers\]"),
        ("[layers]\n", "the sparse scheme names no layer"),
        ("[layers]\nstem = 0.5", "layer 'stem': its line is 0.5; write it as"),
        ("[layers]\nstem = {bais = true}", r"layer 'stem': there is no key 'bais'; did you mean 'bias'\? known are"),
        ("[layers]\nstem = {bias = 1}", "layer 'stem': bias = 1 is not true or false"),
        ("[layers]\nstem = {weight = true}", "layer 'stem': weight = True is not a share from 0 to 1"),
        ("[layers]\nstem = {weight = 1.5}", "layer 'stem': weight = 1.5 is not a share from 0 to 1"),
        ("[layers]\nstem = {weight = nan}", "layer 'stem': weight = nan is not a share from 0 to 1"),
        ("[layers]\nstem = {}", "layer 'stem': nothing of it is trained"),
        (
            "[layers]\nstem = {weight = 0.5, side = 'left'}",
            "layer 'stem': side = 'left' is not known; use",
        ),
        (
            "[layers]\nstem = {weight = 0.5, choose = 'last'}",
            "choose = 'last' is not known; use one",
        ),
        ("[layers]\nstem = {weight = 0.5, channels = [1]}", "layer 'stem': both weight and channels are given"),
        ("[layers]\nstem = {channels = [1, 1]}", "layer 'stem': channels is not a list of different numbers"),
        ("[layers]\nstem = {channels = 3}", "layer 'stem': channels = 3 is not a list of whole numbers"),
        ("[layers]\nstem = {channels = [3]}", "layer 'stem': there is no input channel 3; it has 3"),
        (
            "[layers]\nsteam = {bias = true}",
            r"'steam': the network has no such layer; did you mean 'stem'\? its layers are stem, block",
        ),
    ],
)
def test_a_mistake_is_refused_in_a_sentence_that_names_the_layer(text: str, sentence: str) -> None:
    """What is wrong, in which layer, and what there is instead."""
    with pytest.raises(MicrograftError, match=sentence) as refused:
        apply_methods(residual_cnn(), [Sparse(Scheme.from_toml(text))], Start())
    assert "\n" not in str(refused.value)


def test_the_largest_channels_are_chosen() -> None:
    """By the sum of their weights' squares; and the part that is trained is those channels of the weight."""
    graph = residual_cnn()
    adapted = apply_methods(graph, [Sparse(Scheme((LayerScheme("block.conv1", weight=0.4),)))], Start())
    weight, (part,) = graph.param("block_conv1_weight"), adapted.trainable
    assert weight is not None
    largest = np.sort(np.argsort(-np.square(weight.data).sum(axis=(0, 1, 2)))[:3])
    np.testing.assert_array_equal(part.data, weight.data[..., largest])
    assert part.source == f"{weight.source}.chosen"
    np.testing.assert_array_equal(chosen_channels(adapted, graph)[f"{weight.source}.channels"], largest)


def test_a_share_of_another_operator_is_refused() -> None:
    """A factor that is no layer's weight has no channels to choose from."""
    sketch = Sketch("net", (1, 6))
    normal = sketch.param("norm.weight", np.ones(6))
    graph = sketch.done(sketch.linear(sketch.apply("mul", sketch.input, normal, name="norm"), 3, "head"))
    with pytest.raises(MicrograftError, match="layer 'norm': it has no weight"):
        apply_methods(graph, [Sparse(Scheme((LayerScheme("norm", weight=0.5),)))], Start())


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(MicrograftError, match=r"none\.toml: the sparse scheme cannot be read: No such file"):
        parse_methods(f"sparse:{tmp_path}/none.toml")
