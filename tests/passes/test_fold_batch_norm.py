"""Frozen batch norms and other affine nodes fold into the layer in front of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micrograft.ir.graph import Graph
from micrograft.ir.types import Value
from micrograft.ops.batch_norm import BatchNormAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.scale import ScaleAttrs
from micrograft.passes.fold_batch_norm import fold_batch_norm
from tests.passes.drawing import Drawing, assert_equal, ops

CONV = ConvAttrs((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
DEPTHWISE = replace(CONV, groups=3)


def _layer(drawing: Drawing, op: str, bias: bool) -> Value:
    x = drawing.input(1, 5, 5, 3)
    shapes = {"conv": (6, 3, 3, 3), "depthwise_conv": (1, 3, 3, 6), "linear": (6, 3)}
    attrs = {"conv": CONV, "depthwise_conv": DEPTHWISE, "linear": None}[op]
    inputs = [x, drawing.param("weight", *shapes[op]), *([drawing.param("bias", 6)] if bias else [])]
    return drawing.add(op, *inputs, attrs=attrs, origin="layer")


def _normalized(op: str = "conv", bias: bool = True) -> tuple[Drawing, Value]:
    drawing = Drawing()
    y = _layer(drawing, op, bias)
    parts = [drawing.param(name, 6) for name in ("gamma", "beta", "mean", "variance")]
    return drawing, drawing.add("batch_norm", y, *parts, attrs=BatchNormAttrs(1e-3), origin="bn")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("op", ["conv", "depthwise_conv", "linear"])
def test_frozen_batch_norm_is_folded(op: str, bias: bool) -> None:
    """It folds into any kind of layer; the weight keeps its name, a new bias is the layer's."""
    drawing, y = _normalized(op, bias)
    graph = drawing.graph(drawing.add("relu", y))
    after = fold_batch_norm(graph)
    assert ops(after) == [op, "relu"]
    assert [param.source for param in after.params] == ["weight", "bias" if bias else "layer.bias"]
    assert_equal(graph, after)


@pytest.mark.parametrize("name", ["weight", "bias", "gamma", "beta"])
def test_what_is_trained_is_not_folded(name: str) -> None:
    """A batch norm stays where it, or the layer, is trained."""
    drawing, y = _normalized()
    graph = drawing.graph(y)
    params = tuple(replace(param, trainable=param.name == name) for param in graph.params)
    assert ops(fold_batch_norm(replace(graph, params=params))) == ["conv", "batch_norm"]


def test_what_others_read_is_not_folded() -> None:
    """A layer whose output something else reads stays."""
    drawing = Drawing()
    y = _layer(drawing, "conv", True)
    scaled = drawing.add("scale", y, attrs=ScaleAttrs(2.0))
    graph = drawing.graph(drawing.add("add", y, scaled))
    assert ops(fold_batch_norm(graph)) == ["conv", "scale", "add"]


@pytest.mark.parametrize("shape", [(6,), (1,), (1, 1, 1, 6), ()])
@pytest.mark.parametrize("op", ["mul", "add", "sub"])
def test_constants_per_channel_are_folded(op: str, shape: tuple[int, ...]) -> None:
    """A chain of constants per channel folds; so does a scale."""
    drawing = Drawing()
    y = drawing.add("scale", _layer(drawing, "conv", False), attrs=ScaleAttrs(0.5))
    graph: Graph = drawing.graph(drawing.add(op, y, drawing.param("c", *shape)))
    after = fold_batch_norm(graph)
    assert ops(after) == ["conv"]
    assert_equal(graph, after)


def test_constant_minus_layer_is_not_folded() -> None:
    """A difference the other way round stays, as does a constant per position."""
    drawing = Drawing()
    y = drawing.add("sub", drawing.param("c", 6), _layer(drawing, "conv", True))
    graph = drawing.graph(drawing.add("mul", y, drawing.param("d", 5, 1)))
    after = fold_batch_norm(graph)
    assert ops(after) == ["conv", "sub", "mul"]
    assert_equal(graph, after)


def test_what_is_to_be_kept_is_not_folded() -> None:
    """A scale behind a frozen LoRA A stays, for A is saved under its own name and must be what the user gets."""
    drawing = Drawing()
    graph = drawing.graph(drawing.add("scale", _layer(drawing, "conv", False), attrs=ScaleAttrs(0.5)))
    assert ops(fold_batch_norm(graph, keep={"weight"})) == ["conv", "scale"]
    assert ops(fold_batch_norm(graph)) == ["conv"]
