"""Resizes that our operator has no rule for: cubic, antialiased, cropped. Each axis becomes a product with a matrix.

A resize is affine and works on one axis after the other, so ONNX's own reference, asked for the unit vectors of an
axis, tells its matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from micrograft.frontends import transformers
from micrograft.frontends.network import Constant, Tensor
from micrograft.frontends.onnx_operators import Call
from micrograft.ir.types import Array

_OPSET = 19
"""The reference's Resize is the same from here on."""


def resize_by_matrices(call: Call, sizes: Sequence[int], scales: Sequence[Fraction], axes: Sequence[int]) -> Tensor:
    """`call` with its axes resized to `sizes`; `axes` are those that its region of interest is given for."""
    roi = call.constant(1)
    y = call.x
    for place, axis in enumerate(axes):
        region = np.array([0.0, 1.0]) if roi is None or not roi.size else roi[[place, place + len(axes)]]
        size = call.x.shape[axis]
        if sizes[axis] == size and scales[axis] == 1 and tuple(region) == (0.0, 1.0):
            continue
        matrix, shift = _affine(call, size, sizes[axis], float(scales[axis]), region)
        y = transformers.along(call.network, y, axis, matrix, f"{call.origin}.resize_{axis}", origin=call.origin)
        if np.any(shift):
            rest = (1,) * (len(y.shape) - 1 - axis)
            outside = Constant(shift.astype(np.float32).reshape(-1, *rest), f"{call.origin}.outside_{axis}")
            y = call.network.add("add", (y, outside), origin=call.origin)
    return y


def _affine(call: Call, size: int, output: int, scale: float, region: Array) -> tuple[Array, Array]:
    """(output, size) and (output,): what an axis of `size` elements becomes."""
    settings = {name: value for name, value in call.attributes.items() if name not in ("axes", _POLICY)}
    exact = int(size * scale) == output
    node = onnx.helper.make_node("Resize", ["x", "roi", "scales" if exact else "", "" if exact else "sizes"], ["y"])
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in settings.items())
    floats, names = onnx.TensorProto.FLOAT, ("x", "roi", "scales" if exact else "sizes")
    kinds = (floats, floats, floats if exact else onnx.TensorProto.INT64)
    inputs = [onnx.helper.make_tensor_value_info(*each, None) for each in zip(names, kinds, strict=True)]
    graph = onnx.helper.make_graph([node], "resize", inputs, [onnx.helper.make_empty_tensor_value_info("y")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", _OPSET)])
    evaluator = ReferenceEvaluator(model)
    how = np.array([scale], np.float32) if exact else np.array([output], np.int64)

    def resized(row: Array) -> Array:
        feeds = dict(zip(names, (row.astype(np.float32), region.astype(np.float32), how), strict=True))
        results: Any = evaluator.run(None, feeds)
        return np.asarray(results[0])

    shift = resized(np.zeros(size))
    return np.stack([resized(unit) - shift for unit in np.eye(size)], axis=1), shift


_POLICY = "keep_aspect_ratio_policy"


def kept_aspect(call: Call, wanted: Sequence[int], axes: Sequence[int]) -> tuple[Fraction, list[int]]:
    """The one scale of all axes under the policy that keeps the aspect ratio, and the sizes that it gives."""
    ratios = [Fraction(int(size), call.x.shape[axis]) for size, axis in zip(wanted, axes, strict=True)]
    scale = min(ratios) if call.text(_POLICY, "") == "not_larger" else max(ratios)
    return scale, [int(scale * call.x.shape[axis] + Fraction(1, 2)) for axis in axes]
