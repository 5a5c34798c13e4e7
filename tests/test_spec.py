"""The words of the command line: what they mean, what is refused, and that writing them loses nothing."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograft.errors import MicrograftError
from micrograft.passes.attach_optimizer import SGD, Adam, AdamW, Clip, Optimizer
from micrograft.peft import methods
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.spec import (
    clip_text,
    methods_text,
    optimizer_text,
    parse_clip,
    parse_methods,
    parse_optimizer,
    parse_shapes,
    settings,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LORAS = st.builds(
    LoRA, rank=st.integers(1, 64), alpha=st.none() | FINITE, targets=st.text(max_size=12), freeze_a=st.booleans()
)
OTHERS = st.sampled_from([kind() for name, kind in methods().items() if name != "lora"])
OPTIMIZERS = st.one_of(
    st.builds(SGD, lr=FINITE, momentum=FINITE, weight_decay=FINITE),
    st.builds(Adam, lr=FINITE, beta1=FINITE, eps=FINITE),
    st.builds(AdamW, lr=FINITE, weight_decay=FINITE),
)


def test_the_words_of_the_manual_mean_what_it_says() -> None:
    """`lora:rank=4,alpha=8,freeze_a=true,targets=PATTERN` and the optimizers, field by field."""
    assert parse_methods("lora:rank=4,alpha=8,freeze_a=true,targets=conv*|head+head") == (
        LoRA(rank=4, alpha=8.0, targets="conv*|head", freeze_a=True),
        Head(),
    )
    assert parse_optimizer("sgd:lr=0.01,momentum=0.9") == SGD(lr=0.01, momentum=0.9)
    assert parse_optimizer(" adamw ") == AdamW()
    assert parse_shapes(["x=1,3,8,8", "a=b=2"]) == {"x": (1, 3, 8, 8), "a=b": (2,)}


def test_every_method_and_optimizer_can_be_written() -> None:
    """Each name stands for its class with the defaults, and each setting has words for its kind."""
    for name, kind in methods().items():
        assert parse_methods(name) == (kind(),)
        assert set(settings(kind)) == {field.name for field in dataclasses.fields(kind)}


@given(st.lists(LORAS | OTHERS, min_size=1, max_size=3))
def test_methods_written_are_read_back(chosen: list[Method]) -> None:
    """Whatever the pattern and the numbers, in short and in full."""
    for complete in (False, True):
        assert parse_methods(methods_text(chosen, complete=complete)) == tuple(chosen)


@given(OPTIMIZERS)
def test_optimizers_written_are_read_back(optimizer: Optimizer) -> None:
    """Every digit of every number."""
    for complete in (False, True):
        assert parse_optimizer(optimizer_text(optimizer, complete=complete)) == optimizer


@pytest.mark.parametrize("clip", [None, Clip(1.0, "tensor"), Clip(0.1, "global"), Clip(1e-7, "tensor")])
def test_clipping_written_is_read_back(clip: Clip | None) -> None:
    """None, global and per tensor."""
    assert parse_clip(clip_text(clip)) == clip


def test_a_bare_norm_clips_all_gradients_together() -> None:
    """As `torch.nn.utils.clip_grad_norm_` does."""
    assert parse_clip("2") == Clip(2.0, "global")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lorra", r"no method 'lorra'; did you mean 'lora'\? known are bias, full, head, ia3, lora, sparse"),
        ("", r"no method ''; known are"),
        ("lora+", r"no method ''"),
        ("lora:rnk=3", r"no setting 'rnk'; did you mean 'rank'\? its settings are rank, alpha, targets, freeze_a"),
        ("head:rank=3", r"head has no setting 'rank'; it has none"),
        ("lora:rank=x", r"rank=x is not a whole number"),
        ("lora:rank=2.5", r"rank=2.5 is not a whole number"),
        ("lora:freeze_a=maybe", r"freeze_a=maybe is not true or false"),
        ("lora:alpha=big", r"alpha=big is not a number or none"),
        ("lora:rank", r"rank has no value; write rank="),
        ("lora:rank=1,rank=2", r"rank is given twice"),
    ],
)
def test_a_method_that_cannot_be_read_is_refused_with_what_there_is(text: str, sentence: str) -> None:
    """One sentence that names the mistake and the choices."""
    with pytest.raises(MicrograftError, match=sentence):
        parse_methods(text)


@pytest.mark.parametrize("text", ["sdg", "sgd:lr=fast", "adam:momentum=0.9"])
def test_an_optimizer_that_cannot_be_read_is_refused(text: str) -> None:
    """A wrong name, a wrong number, a setting of another optimizer."""
    with pytest.raises(MicrograftError, match="optimizer"):
        parse_optimizer(text)


@pytest.mark.parametrize("text", ["", "x", "tensor:", "tensor:x", "layer:1"])
def test_clipping_that_cannot_be_read_is_refused(text: str) -> None:
    """The sentence shows the three ways of writing it."""
    with pytest.raises(MicrograftError, match="write a norm such as 1, tensor:1, or none"):
        parse_clip(text)


@pytest.mark.parametrize("text", ["x", "x=", "=1,2", "x=1,a", "x=0,2", "x=1;2"])
def test_a_shape_that_cannot_be_read_is_refused(text: str) -> None:
    """The sentence shows how to write it."""
    with pytest.raises(MicrograftError, match="write it as NAME=1,3,32,32"):
        parse_shapes([text])
