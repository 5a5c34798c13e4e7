"""Small PyTorch networks that between them use every layer that the frontends know, and what checks an import."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from micrograft import reference
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array

torch.set_num_threads(1)


@dataclass(frozen=True)
class Case:
    """A network and the shapes of its inputs. transposes: how many must run in the end; None: however many."""

    name: str
    module: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    transposes: int | None = 0


class Residual(nn.Module):
    """Batch norms, a skip connection and a projected one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.a = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.b = nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12))
        self.skip = nn.Conv2d(8, 12, 1, stride=2)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        x = self.a(x) + x
        x = torch.relu(self.b(x) + self.skip(x))
        return self.fc(x.mean((2, 3)))


class Gated(nn.Module):
    """Squeeze and excitation, learned constants of several shapes, scalars, a subtraction from one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, (3, 2), padding=(1, 0), groups=2)
        self.gate = nn.Conv2d(6, 6, 1)
        self.shift = nn.Parameter(torch.randn(6, 1, 1))
        self.width = nn.Parameter(torch.randn(7))
        self.register_buffer("mean", torch.randn(1, 2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv((x - self.mean) / 0.5)
        x = x * torch.sigmoid(self.gate(nn.functional.adaptive_avg_pool2d(x, 1)))
        return 1 - (x + self.shift) * self.width * 0.25


class Branches(nn.Module):
    """A concat of pools with odd paddings, softmax over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=2, dilation=2)
        self.max = nn.MaxPool2d(3, 2, 1)
        self.average = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.counting = nn.AvgPool2d((3, 1), (2, 2), (1, 0))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.conv(x))
        joined = torch.cat([self.max(y), self.average(y), self.counting(y)], dim=1)
        return torch.softmax(joined, dim=1)


class Tied(nn.Module):
    """An encoder whose weight the decoder uses transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(torch.relu(self.encoder(x)), self.encoder.weight) + 0.5


class Twice(nn.Module):
    """A layer that runs twice and two names for one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(torch.relu(self.a(x)))))


class TwoInputs(nn.Module):
    """A picture and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4 + 3, 2)

    def forward(self, picture: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        seen = torch.relu(self.conv(picture))
        return self.fc(torch.cat([seen.mean((2, 3)), vector], 1)), seen


def _depthwise(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU6(True),
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6(True),
    ]  # fmt: skip


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(7, 9), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(9, 3), nn.Softmax(1))


def _ds_cnn() -> nn.Module:
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)]
    return nn.Sequential(nn.Conv2d(1, 8, (4, 3), 2, 1), *_depthwise(8, 8, 1), *_depthwise(8, 16, 2), *head)


def _multiplied() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6, affine=False), nn.AdaptiveAvgPool2d((2, 1)))


def _pools() -> nn.Module:
    return nn.Sequential(
        nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True), nn.AvgPool2d(3, 1, 1),
        nn.MaxPool2d(2, 1, dilation=2), nn.Conv2d(3, 2, 1), nn.Flatten(0), nn.Unflatten(0, (1, 2)),
    )  # fmt: skip


def _wave() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(6, 8, 5, padding="same"), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(8, 8, 3, stride=2, padding=1, groups=8), nn.ReLU(), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(8, 7),
    )  # fmt: skip


def _flattened() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(4 * 3 * 4, 6), nn.Tanh(), nn.Linear(6, 2),
    )  # fmt: skip


def _unflattened() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 24), nn.Unflatten(1, (2, 3, 4)), nn.ReLU(), nn.Conv2d(2, 3, 2))


class Gained(nn.Module):
    """A layer whose output a number without axes scales."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * self.gain


CASES = (
    Case("mlp", _mlp, ((1, 7),)),
    Case("residual", Residual, ((1, 3, 9, 8),)),
    Case("ds_cnn", _ds_cnn, ((1, 1, 14, 10),)),
    Case("multiplied", _multiplied, ((1, 3, 10, 6),)),
    Case("wave", _wave, ((1, 6, 40),)),
    Case("gated", Gated, ((1, 2, 5, 8),)),
    Case("branches", Branches, ((1, 3, 11, 9),)),
    Case("pools", _pools, ((1, 3, 10, 9),)),
    Case("flattened", _flattened, ((1, 2, 6, 8),)),
    Case("unflattened", _unflattened, ((1, 5),), transposes=1),
    Case("tied", Tied, ((1, 10),), transposes=1),
    Case("twice", Twice, ((1, 6),)),
    Case("gained", Gained, ((1, 4),)),
    Case("two_inputs", TwoInputs, ((1, 1, 6, 6), (1, 3))),
)


def trained(case: Case) -> nn.Module:
    """The network in evaluation mode, with statistics and affine parameters that are not the initial ones."""
    torch.manual_seed(0)
    module = case.module()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for tensor in (part.running_mean, part.weight, part.bias):
                if tensor is not None:
                    nn.init.normal_(tensor, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval()


def samples(case: Case) -> list[Array]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype(np.float32) * 3 for shape in case.shapes]


def expected(module: nn.Module, inputs: Sequence[Array]) -> list[Array]:
    """PyTorch's outputs."""
    with torch.no_grad():
        outputs = module(*map(torch.from_numpy, inputs))
    return [each.numpy() for each in (outputs if isinstance(outputs, tuple) else (outputs,))]


def run(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The graph's outputs, inputs and outputs in the user's layout."""
    ours = [port.from_user(array) for port, array in zip(graph.inputs, inputs, strict=True)]
    values = reference.run(graph, ours)
    return [port.to_user(values[port.value.name]) for port in graph.outputs]


def assert_same(graph: Graph, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
    """The graph computes these outputs, within 1e-4."""
    for found, wanted in zip(run(graph, inputs), outputs, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def exported(module: nn.Module, inputs: Sequence[Array], path: Path, *, dynamo: bool = True) -> Path:
    """The module as an ONNX file: by the new exporter, or by the old one with opset 13."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, tuple(map(torch.from_numpy, inputs)), str(path), dynamo=dynamo, verbose=False,
            opset_version=18 if dynamo else 13, external_data=False,
        )  # fmt: skip
    return path
