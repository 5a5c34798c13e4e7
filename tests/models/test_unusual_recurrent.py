"""ONNX recurrent layers that PyTorch has not: they are computed step by step, and learn what autograd says."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.full import Full
from tests.models.agreement import METHODS, agree, trained_names

STEPS, CHANNELS, UNITS, CLASSES = 7, 3, 4, 3
TRUNCATE = 3


class Layer(nn.Module):
    """A recurrent layer in both directions, with ONNX's weights, and a head on its outputs' mean."""

    gates: int

    def __init__(self, truncate: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(0.5 * torch.randn(shape, generator=generator))

        self.w, self.r = drawn(2, self.gates * UNITS, CHANNELS), drawn(2, self.gates * UNITS, UNITS)
        self.b, self.p = drawn(2, 2 * self.gates * UNITS), drawn(2, 3 * UNITS)
        self.head = drawn(CLASSES, 2 * UNITS)
        self.truncate = truncate

    def step(self, row: Tensor, states: list[Tensor], direction: int) -> list[Tensor]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for direction in (0, 1):
            states, rows = [x.new_zeros(UNITS)] * 2, x[0].flip(0) if direction else x[0]
            bias = self.b[direction, : self.gates * UNITS]
            found = []
            for step, row in enumerate(rows):
                if self.truncate and step % self.truncate == 0:
                    states = [state.detach() for state in states]
                states = self.step(self.w[direction] @ row + bias, states, direction)
                found.append(states[0])
            outputs.append(torch.stack(found))
        return torch.cat(outputs, 1).mean(0, keepdim=True) @ self.head.T


class ResetFirst(Layer):
    """Keras' GRU: the reset gate acts on the state, and a hard sigmoid is its gates'."""

    gates = 3
    node = ("GRU", {"activations": ["HardSigmoid", "Tanh"] * 2})

    def step(self, row: Tensor, states: list[Tensor], direction: int) -> list[Tensor]:
        h, r, b = states[0], self.r[direction], self.b[direction, self.gates * UNITS :]
        own = row + torch.cat([(r[: 2 * UNITS] @ h), torch.zeros_like(h)]) + b
        u, s, n = own.split(UNITS)
        u, s = ((0.2 * gate + 0.5).clamp(0, 1) for gate in (u, s))
        n = torch.tanh(n + r[2 * UNITS :] @ (s * h))
        return [(1 - u) * n + u * h, states[1]]


class Peepholes(Layer):
    """An LSTM whose gates see its cells, with clipping."""

    gates = 4
    node = ("LSTM", {"clip": 1.5})

    def step(self, row: Tensor, states: list[Tensor], direction: int) -> list[Tensor]:
        h, c = states
        i, o, f, g = (row + self.r[direction] @ h + self.b[direction, self.gates * UNITS :]).split(UNITS)
        p_i, p_o, p_f = self.p[direction].split(UNITS)
        i, f, g = torch.sigmoid(_clip(i + p_i * c)), torch.sigmoid(_clip(f + p_f * c)), torch.tanh(_clip(g))
        c = f * c + i * g
        return [torch.sigmoid(_clip(o + p_o * c)) * torch.tanh(c), c]


def _clip(x: Tensor) -> Tensor:
    return x.clamp(-1.5, 1.5)


KINDS = (ResetFirst, Peepholes)


@functools.cache
def network(kind: type[Any], folder: Path) -> Graph:
    """The layer as an ONNX file has it, under the module's own names."""
    module = kind()
    op, attributes = kind.node
    peepholes = ["", "", "", "p"] if op == "LSTM" else []
    nodes = [
        helper.make_node("Transpose", ["x"], ["rows"], perm=[1, 0, 2]),
        helper.make_node(op, ["rows", "w", "r", "b", *peepholes], ["y"], name="rnn", direction="bidirectional",
                         hidden_size=UNITS, **attributes),
        helper.make_node("Transpose", ["y"], ["batched"], perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["batched", "shape"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axes"], ["features"], keepdims=0),
        helper.make_node("Gemm", ["features", "head"], ["answer"], transB=1),
    ]  # fmt: skip
    constants = {name: tensor.detach().numpy() for name, tensor in module.named_parameters()}
    constants |= {"shape": np.array([1, STEPS, 2 * UNITS]), "axes": np.array([1])}
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, STEPS, CHANNELS))
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, (1, CLASSES))
    stored = [numpy_helper.from_array(data, name) for name, data in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "unusual", [x], [answer], stored),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.save(model, folder / f"{op}.onnx")
    return api.load(folder / f"{op}.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unusual")


def samples(count: int) -> list[tuple[Array, Array]]:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((count, 1, STEPS, CHANNELS)).astype(np.float32)
    return list(zip(x, generator.integers(0, CLASSES, (count, 1)).astype(np.int32), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_steps_agree_with_autograd(kind: type[Any], folder: Path) -> None:
    """Answers, 20 losses and every weight of the file agree with a loop in PyTorch within 1e-4."""
    module = kind()
    names = [name for name in trained_names(module, "full", ()) if name != "p" or kind is Peepholes]
    agree(module, network(kind, folder), samples(20), METHODS["full"], names)


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_is_detaching(kind: type[Any], folder: Path) -> None:
    """Gradients cut every 3 steps are autograd's with the state detached there."""
    library = api.adapt(network(kind, folder), api.Recipe((Full(),), SGD(lr=0.05), clip=None, truncate=TRUNCATE))
    reference = kind(TRUNCATE).double()
    with api.host(library) as runner:
        for x, y in samples(5):
            runner.train_step(x, y)
        trained = runner.parameters()
    optimizer = torch.optim.SGD(reference.parameters(), 0.05)
    for x, y in samples(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(reference(torch.from_numpy(x).double()), torch.from_numpy(y).long()).backward()
        optimizer.step()
    for name in ("w", "r", "b", "head"):
        wanted = dict(reference.named_parameters())[name].detach().numpy()
        assert np.linalg.norm(trained[name] - wanted) <= 1e-4 * np.linalg.norm(wanted)
