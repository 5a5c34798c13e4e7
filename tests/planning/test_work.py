"""The estimated work of a step is what the emulator counts, operator by operator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.work import count_step
from micrograft import api
from micrograft.ir.graph import Graph, Phase
from micrograft.passes.attach_optimizer import SGD
from micrograft.planning.work import work
from micrograft.spec import parse_methods
from tests.int8_networks import KEYWORDS, model
from tests.models.transformers import CompactTransformer
from tests.models.vision import DsCnn


def network(module: nn.Module, *shape: int) -> Graph:
    torch.set_num_threads(1)
    return api.load(module.eval(), example=[np.zeros(shape, np.float32)])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("name", ["convolutions", "transformer", "codes"])
def test_estimates_are_close_to_counts(name: str, method: str) -> None:
    """The step and its forward pass within 10 %; every operator that takes 3 % of the step or more within a third."""
    torch.manual_seed(0)
    if name == "codes":
        graph = api.load(model(KEYWORDS))
    elif name == "convolutions":
        graph = network(DsCnn(), 1, 1, 49, 10)
    else:
        graph = network(CompactTransformer(), 1, 3, 32, 32)
    recipe = api.Recipe(parse_methods(method), SGD(lr=0.001), clip=None)
    counted = count_step(api.adapt(graph, recipe), "stm32h743")
    total = sum(each.instructions for each in counted)
    forward = [each for each in counted if each.node.phase is Phase.FORWARD]
    for some in (counted, forward):
        ratio = sum(work(each.node) for each in some) / sum(each.instructions for each in some)
        assert 0.9 < ratio < 1.1
    for op in {each.node.op for each in counted}:
        own = [each for each in counted if each.node.op == op]
        count = sum(each.instructions for each in own)
        assert count < 0.03 * total or 2 / 3 < sum(work(each.node) for each in own) / count < 4 / 3, op
