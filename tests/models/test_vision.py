"""DS-CNN, ResNet-8 and MobileNetV2 import from PyTorch and ONNX, and learn what PyTorch would have learned."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from benchmarks.networks import MobileNetV2, ResNet8
from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from tests.models.agreement import METHODS, agree, export, trained_names
from tests.models.vision import CLASSES, SHAPES, DsCnn
from tests.torch_networks import make

KINDS = (DsCnn, ResNet8, pytest.param(MobileNetV2, marks=pytest.mark.slow))


@functools.cache
def network(kind: type[nn.Module], way: str, folder: Path) -> tuple[nn.Module, Graph]:
    """The network as PyTorch trains it, and what is imported of it.

    ONNX's exporter works frozen normalisations into the convolutions, unless it is told that training goes on.
    """
    torch.set_num_threads(1)
    module, shape = make(kind), SHAPES[kind]
    if way == "torch":
        return module, api.load(module, example=[np.zeros(shape, np.float32)])
    graph = export(module, shape, folder / "model.onnx", dynamo=way == "dynamo", training=way == "for training")
    return module if way == "for training" else fuse(module), graph


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def samples(kind: type[nn.Module], count: int) -> list[tuple[Array, Array]]:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((count, *SHAPES[kind])).astype(np.float32)
    return list(zip(x, generator.integers(0, CLASSES[kind], (count, 1)).astype(np.int32), strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["torch", "dynamo", "for training"])
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_steps_agree_with_pytorch(kind: type[nn.Module], way: str, method: str, folder: Path) -> None:
    """From torch.export and from ONNX: answers, 20 losses and every trained parameter agree within 1e-4."""
    module, graph = network(kind, way, folder)
    assert "transpose" not in [node.op for node in graph.nodes]
    head = [name for name, _ in module.named_parameters()][-2:]
    agree(module, graph, samples(kind, 20), METHODS[method], trained_names(module, method, head), rate=0.01)
