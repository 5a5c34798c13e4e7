"""Walks over tensors: whatever shapes meet, the kernels read and write the elements that NumPy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import BroadcastableShapes, array_shapes, mutually_broadcastable_shapes

from micrograft.ir.graph import Attrs
from micrograft.ir.types import Array, Shape
from micrograft.ops.arithmetic import SumToAttrs
from micrograft.ops.operator import KernelCall, ShapeError
from micrograft.ops.strides import MAX_RANK
from micrograft.ops.transpose import TransposeAttrs
from tests.ops.c_kernels import Buffer, Kernels, node_of

PAIRS = mutually_broadcastable_shapes(num_shapes=2, max_dims=MAX_RANK, max_side=4)
SHAPES = array_shapes(max_dims=MAX_RANK, max_side=4)
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)


def _counting(shape: Shape) -> Array:
    """Small whole numbers, so that sums of products are exact in float32."""
    return (np.arange(np.prod(shape, dtype=int)) % 13 - 5).astype(np.float32).reshape(shape)


@EXAMPLES
@given(pair=PAIRS)
def test_broadcasting_is_numpys(kernels: Kernels, pair: BroadcastableShapes) -> None:
    """a − b has NumPy's shape and elements, for every pair of shapes that go together."""
    a, b = map(_counting, pair.input_shapes)
    (y,) = kernels.compute("sub", Attrs(), a, b)
    np.testing.assert_array_equal(y, a - b)


@EXAMPLES
@given(pair=PAIRS)
def test_sums_undo_broadcasting(kernels: Kernels, pair: BroadcastableShapes) -> None:
    """sum_to and mul_sum_to add up exactly the elements that one element of an operand was stretched to."""
    a, b = map(_counting, pair.input_shapes)
    product = a * b
    for to in pair.input_shapes:
        axes = tuple(range(product.ndim - len(to)))
        axes += tuple(axis for axis in range(-len(to), 0) if to[axis] == 1)
        expected = product.sum(axis=axes, keepdims=True).reshape(to)
        np.testing.assert_array_equal(kernels.compute("mul_sum_to", SumToAttrs(to), a, b)[0], expected)
        np.testing.assert_array_equal(kernels.compute("sum_to", SumToAttrs(to), product)[0], expected)


@EXAMPLES
@given(shape=SHAPES, data=st.data())
def test_transposing_is_numpys(kernels: Kernels, shape: Shape, data: st.DataObject) -> None:
    """Every order of the axes of every shape up to five axes."""
    permutation = tuple(data.draw(st.permutations(range(len(shape)))))
    x = _counting(shape)
    (y,) = kernels.compute("transpose", TransposeAttrs(permutation), x)
    np.testing.assert_array_equal(y, x.transpose(permutation))


@pytest.mark.parametrize(("a", "b"), [((2, 3), (2,)), ((4, 5), (3, 5))])
def test_shapes_that_do_not_go_together_are_refused(a: Shape, b: Shape) -> None:
    """The refusal names both operands."""
    with pytest.raises(ShapeError, match=r"\(.*\) and \(.*\) do not go together"):
        node_of("add", Attrs(), [_counting(a), _counting(b)])


def test_a_write_outside_a_buffer_is_seen(kernels: Kernels) -> None:
    """The guards around buffers work: one element too many fails the test that runs the kernel."""
    node = node_of("clear", Attrs(), [_counting((3,))])
    (x,) = node.inputs
    buffer = Buffer.of(x, _counting((3,)))
    kernels.call(KernelCall("mg_clear_float32", "mg_clear_params", (("size", 4),), (x,)), {x.name: buffer})
    with pytest.raises(AssertionError, match="outside"):
        buffer.check("wrote outside")
