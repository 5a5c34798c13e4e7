"""A new head has the number of classes asked for and keeps everything else."""

from __future__ import annotations

import numpy as np
import pytest

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.passes.replace_head import replace_head
from tests.passes.drawing import Drawing, ops, results

POINT = ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1), 1)


def _classifier(width: int = 400) -> Graph:
    drawing = Drawing()
    y = drawing.add("relu", drawing.add("linear", drawing.input(1, 4), drawing.param("a", width, 4)))
    y = drawing.add("linear", y, drawing.param("fc.weight", 3, width), drawing.param("fc.bias", 3), origin="fc")
    return drawing.graph(drawing.add("softmax", y))


def test_new_classes() -> None:
    """The last linear layer gets the classes, under the same names, and the softmax stays."""
    graph = replace_head(_classifier(), 7, seed=0)
    assert graph.outputs[0].user_shape == (1, 7)
    assert ops(graph) == ["linear", "relu", "linear", "softmax"]
    assert [(param.source, param.data.shape) for param in graph.params] == [
        ("a", (400, 4)), ("fc.weight", (7, 400)), ("fc.bias", (7,)),
    ]  # fmt: skip
    assert not graph.params[2].data.any()


def test_start_follows_the_inputs_scale() -> None:
    """The new outputs start small, whatever the scale of the head's input; the seed decides the draw."""
    for mean_square in (1.0, 1e4):
        weight = replace_head(_classifier(), 50, 0, mean_square).params[1].data
        assert np.sqrt(400 * mean_square) * weight.std() == pytest.approx(0.1, rel=0.05)
    draws = [replace_head(_classifier(), 5, seed).params[1].data for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])


def test_convolution_and_flatten_behind_it() -> None:
    """A 1×1 convolution is a head too, and what pools and flattens behind it follows."""
    drawing = Drawing()
    y = drawing.add("conv", drawing.input(1, 5, 4, 6), drawing.param("w", 3, 1, 1, 6), attrs=POINT)
    y = drawing.add("global_average_pool", drawing.add("relu", y))
    graph = replace_head(drawing.graph(drawing.add("reshape", y, attrs=ReshapeAttrs((1, 3)))), 2, 0)
    assert results(graph, [np.ones((1, 5, 4, 6), np.float32)])[0].shape == (1, 2)


def test_refusals() -> None:
    """No head, a shared head, several outputs and no classes are each refused."""
    drawing = Drawing()
    x = drawing.input(1, 6, 5, 4)
    weight = drawing.param("w", 4, 3, 3, 4)
    conv = drawing.add("conv", x, weight, attrs=ConvAttrs((1, 1), ((1, 1), (1, 1)), (1, 1), 1), origin="last")
    with pytest.raises(MicrograftError, match=r"not end in a linear layer.*layer 'last' \(conv\)"):
        replace_head(drawing.graph(conv), 3, 0)
    drawing = Drawing()
    with pytest.raises(MicrograftError, match="nothing stands there"):
        replace_head(drawing.graph(drawing.add("relu", drawing.input(1, 3))), 3, 0)
    drawing = Drawing()
    weight = drawing.param("w", 3, 3)
    y = drawing.add("linear", drawing.add("linear", drawing.input(1, 3), weight), weight, origin="fc")
    with pytest.raises(MicrograftError, match="layer 'fc': w is used elsewhere"):
        replace_head(drawing.graph(y), 3, 0)
    with pytest.raises(MicrograftError, match="2 outputs"):
        replace_head(drawing.graph(y, weight), 3, 0)
    with pytest.raises(MicrograftError, match="0 classes"):
        replace_head(_classifier(), 0, 0)
