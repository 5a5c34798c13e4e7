"""PyTorch modules and `.pt2` archives come in with the user's names and compute what PyTorch computes."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from micrograft.errors import MicrograftError
from micrograft.frontends import import_model
from micrograft.frontends.torch import import_torch
from micrograft.ops import check
from micrograft.passes.canonicalize import canonicalize
from micrograft.passes.differentiate import attach_loss, differentiate
from micrograft.passes.replace_head import replace_head
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Start, apply_methods
from micrograft.reference import run_step
from tests.frontends.torch_networks import CASES, Case, Residual, Tied, Twice, assert_same, expected, samples, trained


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_agrees_with_pytorch(case: Case) -> None:
    """An imported module computes PyTorch's outputs, before and after it is brought to its canonical form."""
    module, inputs = trained(case), samples(case)
    outputs = expected(module, inputs)
    graph = check(import_torch(module, inputs))
    assert_same(graph, inputs, outputs)
    graph = canonicalize(graph)
    assert_same(graph, inputs, outputs)
    assert [node.op for node in graph.nodes].count("transpose") == case.transposes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_parameters_are_the_users(case: Case) -> None:
    """Each parameter carries the user's name and gives back the user's tensor, element for element."""
    module = trained(case)
    graph = canonicalize(import_torch(module, samples(case)))
    state = module.state_dict()
    learnable = {name for name, _ in module.named_parameters()}
    for param in graph.params:
        assert param.learnable == (param.source in learnable)
        np.testing.assert_array_equal(param.from_user(param.to_user(param.data)), param.data)
        if param.source in state:
            np.testing.assert_array_equal(param.to_user(param.data), state[param.source].numpy(), strict=True)
    assert learnable <= {param.source for param in graph.params}


def test_layers_keep_their_paths() -> None:
    """A layer is called by the path of its module; a function outside of one by PyTorch's own name of it."""
    graph = canonicalize(import_torch(Residual().eval(), torch.zeros(1, 3, 8, 8)))
    origins = [node.origin for node in graph.nodes]
    assert origins[:6] == ["stem", "bn", "relu", "a.0", "a.1", "a.2"]
    assert origins[-1] == "fc"


def test_shared_weight_is_one_parameter() -> None:
    """A weight that several layers use is one parameter, under its first name."""
    graph = canonicalize(import_torch(Twice().eval(), torch.zeros(1, 6)))
    assert [param.source for param in graph.params] == ["a.weight", "a.bias", "b.bias"]
    graph = canonicalize(import_torch(Tied().eval(), torch.zeros(1, 10)))
    assert [param.source for param in graph.params if param.learnable] == ["encoder.weight", "encoder.bias"]


def test_in_place_layers_change_what_others_read() -> None:
    """What an in-place layer overwrites is seen overwritten by everyone who reads it later."""

    class InPlace(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 2
            y.view(-1).relu_()
            return y + x

    inputs = [np.array([[-1.0, 2.0]], np.float32)]
    assert_same(import_torch(InPlace(), inputs), inputs, [np.array([[-1.0, 6.0]], np.float32)])


def test_training_mode_is_left_alone() -> None:
    """Import looks at the module in evaluation mode and puts every part's mode back."""
    module = Residual()
    module.bn.eval()
    import_torch(module, torch.zeros(1, 3, 8, 8))
    assert module.training and not module.bn.training and module.fc.training


def test_pt2_round_trip(tmp_path: Path) -> None:
    """A `.pt2` archive gives the same network as the module that it was written from."""
    case = CASES[1]
    module, inputs = trained(case), samples(case)
    path = tmp_path / "residual.pt2"
    torch.export.save(torch.export.export(module, tuple(map(torch.from_numpy, inputs))), path)
    graph = import_model(path)
    assert_same(graph, inputs, expected(module, inputs))
    assert {param.source for param in graph.params if param.learnable} == {n for n, _ in module.named_parameters()}


@pytest.mark.parametrize("suffix", ["", ".pt2"])
def test_full_leaves_what_is_frozen(suffix: str, tmp_path: Path) -> None:
    """What requires no gradient is trained by the methods that pick it themselves, not by `full`."""
    module = nn.Sequential(nn.Linear(5, 4).requires_grad_(False), nn.Linear(4, 3))
    if suffix:
        torch.export.save(torch.export.export(module, (torch.zeros(1, 5),)), tmp_path / "model.pt2")
    graph = import_model(tmp_path / "model.pt2") if suffix else import_torch(module, torch.zeros(1, 5))
    graph = canonicalize(graph)
    for method, count in ((Full(), 2), (Bias(), 2), (LoRA(), 4)):
        assert len(apply_methods(graph, [method], Start()).trainable) == count
    assert [param.source for param in Full().apply(graph, Start()).trainable] == ["1.weight", "1.bias"]
    frozen = import_torch(module.requires_grad_(False), torch.zeros(1, 5))
    assert Head().apply(frozen, Start()).trainable
    new = replace_head(canonicalize(frozen), 7, seed=0)
    assert [param.source for param in Full().apply(new, Start()).trainable] == ["1.weight", "1.bias"]
    with pytest.raises(MicrograftError, match="no parameter that its framework would train"):
        Full().apply(frozen, Start())


def test_decomposed_program() -> None:
    """A program that was lowered to core ATen comes in too."""
    case = CASES[2]
    module, inputs = trained(case), samples(case)
    program = torch.export.export(module, tuple(map(torch.from_numpy, inputs))).run_decompositions()
    assert_same(canonicalize(import_torch(program)), inputs, expected(module, inputs))


class _Function(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)  # type: ignore[operator]


REFUSED = (
    ("digamma is not supported.*micrograft has", lambda: _Function(torch.digamma), (1, 4)),
    ("batch of 1", lambda: nn.Linear(4, 2), (2, 4)),
    ("conv_transpose3d is not supported", lambda: nn.ConvTranspose3d(2, 2, 1), (1, 2, 2, 2, 2)),
    (
        "mode bicubic is not|upsample_bicubic2d is not",
        lambda: nn.Upsample(scale_factor=2, mode="bicubic"),
        (1, 1, 4, 4),
    ),
    ("argmax over all axes", lambda: _Function(torch.argmax), (1, 4)),
    ("a power of 2.5", lambda: _Function(lambda x: x**2.5), (1, 4)),
    ("windows of several sizes", lambda: nn.AdaptiveAvgPool2d(3), (1, 2, 8, 8)),
    ("conv3d is not supported", lambda: nn.Conv3d(1, 1, 1), (1, 1, 2, 2, 2)),
    ("rounds its output size up", lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), (1, 1, 6, 6)),
    ("batch norm", lambda: nn.BatchNorm2d(2, track_running_stats=False), (1, 2, 4, 4)),
    ("cannot lower it .*code", lambda: nn.Sequential(OrderedDict(code=nn.Linear(4, 2))), (1, 4)),
    ("logic of float32 is not", lambda: _Function(lambda x: torch.logical_not(x).float()), (1, 2)),
    *(
        (f"a cast of float32 to {str(kind)[6:]}", lambda kind=kind: _Function(lambda x: x.to(kind).float()), (1, 2))
        for kind in (torch.int32, torch.int64, torch.bool, torch.float16)
    ),
    ("cannot export", lambda: _Function(lambda x: x if x.sum() > 0 else -x), (1, 2)),
)


@pytest.mark.parametrize(("message", "module", "shape"), REFUSED, ids=[case[0][:20] for case in REFUSED])
def test_refusals(message: str, module: type[nn.Module], shape: tuple[int, ...]) -> None:
    """What we do not have is refused in one sentence that says what it is."""
    with pytest.raises(MicrograftError, match=message) as error:
        import_torch(module(), torch.zeros(shape))
    assert "\n" not in str(error.value)


def _attention(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    q = x.reshape(1, 1, 3, 1) * torch.tensor([1.0, -0.5]).reshape(1, 2, 1, 1)
    return nn.functional.scaled_dot_product_attention(q, q + 1, q * 2, mask)


FUNCTIONS = {
    "casts": lambda x: (x > 0).long().float() * x.double().float() + (x < 1).float().to(x),
    "truths": lambda x: ((x > 0) + (x < 1)).float() + (~(x > 0) | (x > 1)).float(),
    "unseen": lambda x: _attention(x, torch.tensor([[0, 0, 0], [1, 0, 1], [0, 0, 0]], dtype=torch.bool)),
    "unseen_by_one_head": lambda x: _attention(x, torch.tensor([[[0.0], [1.0]], [[1.0], [-torch.inf]]])[:, [0, 1, 1]]),
    "rsub": lambda x: torch.rsub(x, x * x, alpha=3) - torch.sub(x, x * x, alpha=2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_agree_with_pytorch(name: str) -> None:
    """Casts that change no number, sums of truths, queries that see no key, scaled differences."""
    module, inputs = _Function(FUNCTIONS[name]), [np.array([[-1.0, 0.5, 2.0]], np.float32)]
    assert_same(import_torch(module, inputs), inputs, expected(module, inputs))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x * 2, "computes with indices"),
        (lambda x: x.float() @ torch.ones(3, 2), "cast of indices to float32 .*as float32"),
        (lambda x: x[:, 1:], "computes with indices"),
        (lambda x: nn.functional.embedding(x, torch.ones(8, 2), scale_grad_by_freq=True), "scale_grad_by_freq"),
    ],
)
def test_indices_are_only_looked_up_as_they_are(function: object, message: str) -> None:
    """What else a network does with whole numbers is refused; their axes may be permuted where nothing moves."""
    with pytest.raises(MicrograftError, match=f"layer .*{message}"):
        import_torch(_Function(function), torch.zeros(1, 3, dtype=torch.int64))
    module, inputs = nn.Sequential(_Function(torch.t), nn.Embedding(8, 4)), [np.array([[1, 2, 3]])]
    assert_same(import_torch(module, inputs), inputs, expected(module, inputs))


def test_no_gradient_goes_through_detach() -> None:
    """Gradients are autograd's, of what is detached on one of two ways and of a parameter."""

    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 3, 3), nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x)
            y = (y * torch.sigmoid(y.detach())).mean((2, 3))
            return self.b(y.detach()) + y * self.b.bias.detach()

    module, x, target = Detached(), torch.randn(1, 2, 6, 6), np.ones((1, 3), np.float32)
    nn.functional.mse_loss(module(x), torch.from_numpy(target)).backward()
    graph = canonicalize(import_torch(module, x))
    step = differentiate(attach_loss(Full().apply(graph, Start()), "mse"))
    values = run_step(step, [graph.inputs[0].from_user(x.numpy()), target]).values
    for param in step.graph.trainable:
        gradient = param.to_user(values[step.gradients[param.name].name])
        np.testing.assert_allclose(gradient, module.get_parameter(param.source).grad, rtol=1e-4, atol=1e-6)


def test_dynamic_shapes_are_refused() -> None:
    """A dynamic axis is refused with its input and number."""
    dynamic = {"input": {0: torch.export.Dim("batch")}}
    program = torch.export.export(nn.Linear(4, 2), (torch.zeros(3, 4),), dynamic_shapes=dynamic)
    with pytest.raises(MicrograftError, match="input 'input': its axis 0 is dynamic"):
        import_torch(program)


def test_a_missing_example_is_refused() -> None:
    """A module alone has no shapes."""
    with pytest.raises(MicrograftError, match="module Linear: it needs example inputs"):
        import_torch(nn.Linear(4, 2))


def test_wrong_archives_are_refused(tmp_path: Path) -> None:
    """A file that ends in .pt2 and is none is refused."""
    path = tmp_path / "model.pt2"
    path.write_text("hello")
    with pytest.raises(MicrograftError, match=r"not a torch\.export archive"):
        import_model(path)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where PyTorch is not installed, the refusal says what to install."""
    path = tmp_path / "model.pt2"
    path.write_text("hello")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MicrograftError, match=r"pip install 'micrograft\[torch\]'"):
        import_model(path)
