"""The passes that bring an imported graph to its canonical form leave its meaning alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from micrograft.ir.graph import Graph
from micrograft.ops import check
from micrograft.ops.concat import ConcatAttrs
from micrograft.ops.reshape import ReshapeAttrs
from micrograft.ops.scale import ScaleAttrs
from micrograft.ops.transpose import TransposeAttrs
from micrograft.passes.absorb_layouts import absorb_layouts
from micrograft.passes.canonicalize import canonicalize
from micrograft.passes.eliminate_transposes import eliminate_transposes
from micrograft.passes.fuse_bias import fuse_bias
from micrograft.passes.permute_columns import permute_columns
from micrograft.passes.prune import prune
from micrograft.passes.replace_head import replace_head
from tests.passes.drawing import Drawing, assert_equal, ops

LAST = TransposeAttrs((0, 2, 3, 1))
FIRST = TransposeAttrs((0, 3, 1, 2))


def test_inverse_pair_around_elementwise_cancels() -> None:
    """A transposition sinks through elementwise nodes and cancels against its inverse."""
    drawing = Drawing()
    x = drawing.add("softmax", drawing.input(1, 4, 5, 3))
    y = drawing.add("relu", drawing.add("transpose", x, attrs=FIRST))
    y = drawing.add("add", y, drawing.add("transpose", x, attrs=FIRST))
    y = drawing.add("scale", y, attrs=ScaleAttrs(2.0))
    graph = drawing.graph(drawing.add("softmax", drawing.add("transpose", y, attrs=LAST)))
    after = eliminate_transposes(graph)
    assert "transpose" not in ops(after)
    assert_equal(graph, after)


def test_ports_take_the_layout_inside() -> None:
    """A transposition of an input or an output moves into its port."""
    drawing = Drawing()
    x = drawing.input(1, 3, 4, 5)
    y = drawing.add("softmax", drawing.add("transpose", drawing.add("relu", x), attrs=LAST))
    graph = drawing.graph(drawing.add("transpose", y, attrs=FIRST))
    after = eliminate_transposes(graph)
    assert ops(after) == ["relu", "softmax"]
    assert after.inputs[0].value.shape == (1, 4, 5, 3)
    assert after.inputs[0].user_shape == after.outputs[0].user_shape == (1, 3, 4, 5)
    assert_equal(graph, after)


@pytest.mark.parametrize("shape", [(6, 1, 1), (6, 4, 1), (5,), (1, 6, 1, 1), (4, 5), (1,), ()])
def test_broadcast_constants_are_laid_out_anew(shape: tuple[int, ...]) -> None:
    """A constant of any rank follows the layout and still gives back the user's tensor."""
    drawing = Drawing()
    x = drawing.add("softmax", drawing.input(1, 4, 5, 6))
    c = drawing.param("c", *shape)
    y = drawing.add("mul", drawing.add("transpose", x, attrs=FIRST), c)
    graph = drawing.graph(drawing.add("softmax", drawing.add("transpose", y, attrs=LAST)))
    after = canonicalize(graph)
    assert ops(after) == ["softmax", "mul", "softmax"]
    assert_equal(graph, after)
    (param,) = after.params
    np.testing.assert_array_equal(param.to_user(param.data), graph.params[0].data)
    np.testing.assert_array_equal(param.from_user(graph.params[0].data), param.data)


def test_concat_changes_its_axis() -> None:
    """A concat joins along the axis as it lies."""
    drawing = Drawing()
    parts = [drawing.add("softmax", drawing.input(1, 4, 5, channels)) for channels in (2, 3)]
    firsts = [drawing.add("transpose", part, attrs=FIRST) for part in parts]
    joined = drawing.add("concat", *firsts, attrs=ConcatAttrs(1))
    graph = drawing.graph(drawing.add("softmax", drawing.add("transpose", joined, attrs=LAST)))
    after = eliminate_transposes(graph)
    assert ops(after) == ["softmax", "softmax", "concat", "softmax"]
    assert_equal(graph, after)


@pytest.mark.parametrize("permutation", list(itertools.permutations(range(4)))[1:])
def test_any_permutations(permutation: tuple[int, ...]) -> None:
    """Whatever the permutations, sums, reshapes and readers in between, the meaning stays."""
    drawing = Drawing()
    x = drawing.add("softmax", drawing.input(3, 1, 2, 4))
    turned = drawing.add("transpose", x, attrs=TransposeAttrs(permutation))
    flat = drawing.add("reshape", turned, attrs=ReshapeAttrs((24,)))
    long = tuple(size for size in turned.shape if size != 1)
    wide = drawing.add("reshape", drawing.add("relu", turned), attrs=ReshapeAttrs((1, long[0], 1, *long[1:])))
    back = drawing.add("transpose", wide, attrs=TransposeAttrs((0, 4, 2, 1, 3)))
    other = drawing.input(*turned.shape)
    total = drawing.add("add", other, turned)
    graph = drawing.graph(flat, drawing.add("tanh", back), drawing.add("softmax", total), total)
    assert_equal(graph, canonicalize(graph))


def test_length_one_axes_move_for_free() -> None:
    """A transposition that moves only axes of length one is a reshape, and a reshape of a reshape is one."""
    drawing = Drawing()
    x = drawing.add("softmax", drawing.input(1, 4, 5, 1))
    first = drawing.add("transpose", x, attrs=FIRST)
    graph = drawing.graph(drawing.add("softmax", drawing.add("reshape", first, attrs=ReshapeAttrs((1, 20)))))
    after = canonicalize(graph)
    assert ops(after) == ["softmax", "reshape", "softmax"]
    assert_equal(graph, after)


def _flattened(readers: int) -> Graph:
    drawing = Drawing()
    x = drawing.add("softmax", drawing.input(1, 2, 3, 4))
    flat = drawing.add("reshape", drawing.add("transpose", x, attrs=FIRST), attrs=ReshapeAttrs((1, 24)))
    weight = drawing.param("weight", 5, 24)
    first = drawing.add("linear", drawing.add("tanh", flat), weight)
    more = [drawing.add("linear", drawing.input(1, 24), weight) for _ in range(readers - 1)]
    return drawing.graph(first, *more)


def test_columns_are_permuted_behind_a_flatten() -> None:
    """Behind a flatten the weight is permuted instead of the data, and gives back the user's columns."""
    graph = _flattened(readers=1)
    after = canonicalize(graph)
    assert "transpose" not in ops(after)
    assert_equal(graph, after)
    (param,) = after.params
    assert param.axes == (5, 1, 2, 3, 4)
    np.testing.assert_array_equal(param.to_user(param.data), graph.params[0].data)
    assert not np.array_equal(param.data, graph.params[0].data)


def test_a_head_behind_a_flatten_can_be_replaced() -> None:
    """A new head whose columns were permuted gives its weight in the user's columns."""
    after = replace_head(canonicalize(_flattened(readers=1)), 7, 0)
    (param,) = after.params
    assert param.data.shape == param.to_user(param.data).shape == (7, 24)
    np.testing.assert_array_equal(param.from_user(param.to_user(param.data)), param.data)


def test_shared_columns_stay() -> None:
    """A weight with another reader stays, and the data are transposed when it runs."""
    graph = _flattened(readers=2)
    after = absorb_layouts(permute_columns(graph))
    assert ops(after).count("transpose") == 1
    assert_equal(graph, after)


def test_layouts_of_parameters_compose() -> None:
    """Reshapes and transposes of a parameter, one after the other, are done once; the way back is exact."""
    drawing = Drawing()
    weight = drawing.param("weight", 6, 20)
    value = drawing.add("reshape", weight, attrs=ReshapeAttrs((2, 3, 20, 1)))
    value = drawing.add("transpose", value, attrs=TransposeAttrs((2, 3, 1, 0)))
    value = drawing.add("reshape", value, attrs=ReshapeAttrs((4, 5, 3, 2)))
    value = drawing.add("transpose", value, attrs=TransposeAttrs((1, 3, 0, 2)))
    graph = drawing.graph(drawing.add("tanh", value))
    after = absorb_layouts(graph)
    assert ops(after) == ["tanh"]
    assert_equal(graph, after)
    (param,) = after.params
    np.testing.assert_array_equal(param.to_user(param.data), graph.params[0].data)
    np.testing.assert_array_equal(param.from_user(graph.params[0].data), param.data)


def test_a_layout_across_the_users_axes_stays() -> None:
    """Where our axes cut across the user's, the transposition stays in the graph."""
    drawing = Drawing()
    value = drawing.add("transpose", drawing.param("w", 2, 3), attrs=TransposeAttrs((1, 0)))
    value = drawing.add("reshape", value, attrs=ReshapeAttrs((2, 3)))
    graph = drawing.graph(drawing.add("tanh", drawing.add("transpose", value, attrs=TransposeAttrs((1, 0)))))
    after = absorb_layouts(graph)
    assert ops(after) == ["transpose", "tanh"]
    assert_equal(graph, after)


@pytest.mark.parametrize(("shape", "fused"), [((3,), True), ((1, 3), True), ((1,), False), ((2, 3), False)])
def test_sum_with_a_vector_is_a_bias(shape: tuple[int, ...], fused: bool) -> None:
    """A vector added to a layer without bias becomes its bias, from either side; other sums stay."""
    for flip in (False, True):
        drawing = Drawing()
        y = drawing.add("linear", drawing.input(2, 4), drawing.param("weight", 3, 4), origin="fc")
        vector = drawing.param("bias", *shape)
        graph = drawing.graph(drawing.add("tanh", drawing.add("add", *((vector, y) if flip else (y, vector)))))
        after = canonicalize(graph)
        assert ops(after) == (["linear", "tanh"] if fused else ["linear", "add", "tanh"])
        assert_equal(graph, after)


def test_a_read_product_keeps_its_sum() -> None:
    """Where something else reads the product, the bias is not fused."""
    drawing = Drawing()
    y = drawing.add("linear", drawing.input(2, 4), drawing.param("weight", 3, 4))
    graph = drawing.graph(drawing.add("add", y, drawing.param("bias", 3)), drawing.add("tanh", y))
    assert ops(fuse_bias(graph)) == ["linear", "add", "tanh"]


def test_prune_keeps_what_is_read() -> None:
    """Dead nodes and parameters go; inputs stay; what is kept by name stays; updates stay."""
    drawing = Drawing()
    x, unused = drawing.input(1, 3), drawing.input(1, 3)
    y = drawing.add("relu", x)
    dead = drawing.add("mul", unused, drawing.param("dead", 3))
    graph = drawing.graph(y)
    after = check(prune(graph))
    assert ops(after) == ["relu"] and not after.params and len(after.inputs) == 2
    assert ops(prune(graph, keep=(dead,))) == ["relu", "mul"]
    assert ops(prune(graph, keep=(dead,), outputs=())) == ["mul"]


def test_param_without_layout_is_untouched() -> None:
    """A parameter that nothing lays out is the same object afterwards."""
    drawing = Drawing()
    graph = drawing.graph(drawing.add("mul", drawing.input(1, 3), drawing.param("p", 3)))
    assert canonicalize(graph).params[0] is graph.params[0]


def test_layers_with_weights_of_their_own_have_names_of_their_own() -> None:
    """Where several had one name they are called after their weights; one that runs twice keeps its name."""
    drawing = Drawing()
    x = drawing.input(2, 4)
    weights = {name: drawing.param(name, 4, 4) for name in ("b.u", "b.weight", "fc.weight", "enc.weight", "c.w")}
    layers = (("b", "b.u"), ("b", "b.weight"), ("b", "fc.weight"), ("fc", "enc.weight"), ("c", "c.w"), ("c", "c.w"))
    for origin, weight in layers:
        x = drawing.add("linear", x, weights[weight], origin=origin)
    after = canonicalize(drawing.graph(x))
    assert [node.origin for node in after.nodes] == ["b.u", "b", "b_2", "fc", "c", "c"]
