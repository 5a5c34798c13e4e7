"""The contract of every adaptation method, table-driven: a new file in peft/ is held to it unasked."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from micrograft import api
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ops.normalization import NormalizationAttrs
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft import methods
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method, Start, apply_methods
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse
from micrograft.reference import run
from micrograft.search.candidates import candidates
from tests.networks import mlp, residual_cnn
from tests.passes.drawing import Drawing

WEIGHTS = 3 * 9 * 8 + 2 * 8 * 9 * 8 + 8 * 9 * 12 + 12 * 4
BIASES = 8 + 8 + 8 + 12 + 4
LORA_B = 8 + 8 + 8 + 12 + 4
LORA_A = 27 + 72 + 72 + 72 + 12
WHOLE = Scheme((LayerScheme("stem", bias=True), LayerScheme("block.conv2", weight=1)))
CHANNELS = Scheme(
    (
        LayerScheme("down", bias=True, weight=0.25),
        LayerScheme("block.conv2", weight=0.35, side="output", choose="first"),
        LayerScheme("block.conv1", channels=(6, 1)),
        LayerScheme("head", weight=0.25, side="output"),
    )
)
CASES: list[tuple[list[Method], int]] = [
    ([Full()], WEIGHTS + BIASES),
    ([Head()], 12 * 4 + 4),
    ([Bias()], BIASES),
    ([IA3()], BIASES),
    ([LoRA(rank=3)], 3 * (LORA_A + LORA_B)),
    ([LoRA(rank=3, freeze_a=True)], 3 * LORA_B),
    ([LoRA(rank=2, targets="block.*")], 2 * 2 * (72 + 8)),
    ([LoRA(rank=2, targets="conv1|head")], 2 * (72 + 8 + 12 + 4)),
    ([LoRA(rank=2), Head()], 2 * (LORA_A - 12 + LORA_B - 4) + 12 * 4 + 4),
    ([Head(), LoRA(rank=2)], 2 * (LORA_A - 12 + LORA_B - 4) + 12 * 4 + 4),
    ([Bias(), LoRA(rank=1)], BIASES + LORA_A + LORA_B),
    ([Sparse(WHOLE)], 8 + 8 * 9 * 8),
    ([Sparse(CHANNELS)], 12 + 12 * 9 * 2 + 3 * 9 * 8 + 8 * 9 * 2 + 12),
    ([Sparse(CHANNELS), Head()], 12 + 12 * 9 * 2 + 3 * 9 * 8 + 8 * 9 * 2 + 12 * 4 + 4),
    ([Sparse(CHANNELS), LoRA(rank=2)], 12 + 12 * 9 * 2 + 3 * 9 * 8 + 8 * 9 * 2 + 12 + 2 * (27 + 8)),
]
IDS = ["+".join(method.name for method in methods) + f"-{count}" for methods, count in CASES]


@functools.cache
def network() -> Graph:
    return residual_cnn()


def test_every_method_stands_in_the_table() -> None:
    """A method that is added is held to this contract: it has a case here."""
    assert {method.name for case, _ in CASES for method in case} == set(methods())


@pytest.mark.parametrize(("chosen", "count"), CASES, ids=IDS)
def test_parameter_count(chosen: list[Method], count: int) -> None:
    """A method trains exactly the parameters that its definition says."""
    adapted = apply_methods(network(), chosen, Start())
    assert sum(param.value.type.size for param in adapted.trainable) == count


@pytest.mark.parametrize(("chosen", "count"), CASES, ids=IDS)
def test_identity_at_start(chosen: list[Method], count: int) -> None:
    """Before the first step the adapted network computes what the network computed, to the last bit."""
    adapted = apply_methods(network(), chosen, Start(seed=3))
    x = np.random.default_rng(1).standard_normal((1, 8, 8, 3)).astype(np.float32)
    before, after = (run(graph, [x])[graph.outputs[0].value.name] for graph in (network(), adapted))
    assert np.array_equal(before, after)


@pytest.mark.parametrize(("chosen", "count"), CASES, ids=IDS)
def test_the_loss_falls(chosen: list[Method], count: int) -> None:
    """Forty steps on one sample, with the default clipping, lower its loss."""
    x = np.random.default_rng(1).standard_normal((1, 8, 8, 3)).astype(np.float32)
    recipe = api.Recipe(tuple(chosen), SGD(lr=0.05), name="net")
    with api.host(api.adapt(network(), recipe, x)) as runner:
        losses = [runner.train_step(x, np.array([2], np.int32)) for _ in range(40)]
    assert losses[-1] < 0.98 * losses[0]


def test_lora_starts_at_unit_size_whatever_the_scale() -> None:
    """A·x has a mean square near one for inputs a hundred times larger, too: A knows the scale of its input."""
    generator = np.random.default_rng(2)
    for scale in (0.01, 1.0, 100.0):
        samples = (scale * generator.standard_normal((8, 12))).astype(np.float32)
        graph = mlp()
        library = api.adapt(graph, api.Recipe((LoRA(rank=64, targets="fc0"),), name="net"), samples)
        a = next(param for param in library.graph.params if param.source == "fc0.lora_A.weight")
        assert 0.5 < float(np.mean((samples @ a.data.T) ** 2)) < 2.0


def test_a_layer_draws_the_same_whatever_else_is_adapted() -> None:
    """A layer's A depends on the seed and the layer's name alone."""

    def drawn(targets: str, seed: int) -> np.ndarray:
        adapted = apply_methods(mlp(), [LoRA(targets=targets)], Start(seed))
        return next(param.data for param in adapted.params if param.source == "fc1.lora_A.weight")

    assert np.array_equal(drawn("", 1), drawn("fc1", 1))
    assert not np.array_equal(drawn("fc1", 1), drawn("fc1", 2))


@pytest.mark.parametrize(
    "other", [Full(), Sparse(Scheme((LayerScheme("fc0", weight=0.5), LayerScheme("fc1", weight=1))))]
)
def test_a_detour_beside_what_is_trained_already_is_refused(other: Method) -> None:
    """Where another method trains the weight of every layer, in whole or in part, LoRA says so."""
    with pytest.raises(MicrograftError, match="No layer is left to adapt: other methods train the weights of all"):
        apply_methods(mlp(), [other, LoRA()], Start())


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (LoRA(targets="nothing*"), "No layer fits targets='nothing\\*'; the layers that can be adapted are stem"),
        (LoRA(rank=0), "rank is 0; it must be at least 1"),
        (IA3(targets="x"), "No layer fits"),
    ],
)
def test_what_matches_nothing_is_refused(method: Method, sentence: str) -> None:
    """A pattern that fits no layer is refused with the names of those that there are."""
    with pytest.raises(MicrograftError, match=sentence):
        apply_methods(network(), [method], Start())


def test_an_adapter_named_like_a_tensor_of_the_network_is_refused() -> None:
    """A module with a detour that somebody wrote by hand: an adapter could hold one of the two only."""
    drawing = Drawing()
    y = drawing.add("linear", drawing.input(1, 4), drawing.param("fc.lora_A.weight", 4, 4), origin="fc.lora_A")
    graph = drawing.graph(drawing.add("linear", y, drawing.param("fc.weight", 3, 4), origin="fc"))
    with pytest.raises(MicrograftError, match=r"there would be two tensors 'fc\.lora_A\.weight'"):
        apply_methods(graph, [LoRA()], Start())


def test_a_network_without_layers_to_adapt() -> None:
    """It is said as it is, whatever else is trained, and plans for the network leave such methods out."""
    drawing = Drawing()
    x, affine = drawing.input(1, 4), (drawing.param("norm.weight", 4), drawing.param("norm.bias", 4))
    attrs = NormalizationAttrs(1e-5)
    graph = drawing.graph(drawing.add("layer_norm", x, *affine, attrs=attrs, origin="norm"))
    for chosen in ([LoRA()], [Bias(), LoRA()]):
        with pytest.raises(MicrograftError, match="the network has no linear or conv with a frozen weight of its own"):
            apply_methods(graph, chosen, Start())
    assert (Bias(), Head()) in [recipe.methods for recipe in candidates(graph, api.Recipe((Head(),)))]
