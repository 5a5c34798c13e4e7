"""TFLite operators beyond the first ones mean what LiteRT makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micrograft import api
from micrograft.frontends.tflite import import_tflite
from micrograft.ir.types import Array
from micrograft.ops import check
from micrograft.reference import run
from tests.frontends.tflite_models import RELU, RELU6, RELU_N1_TO_1, SAME, VALID, Op, predicted, write

Shape = tuple[int, ...]
Single = tuple[list[Op], Mapping[str, Shape], Mapping[str, Any]]


def _floats(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


def _one(
    op: str, options: str, x: Shape, y: Shape, *constants: Array, version: int = 1, **fields: Any
) -> Single:  # fmt: skip
    """`op` of x and then the constants."""
    named = {f"c{index}": constant for index, constant in enumerate(constants)}
    return [Op(op, ("x", *named), "y", options, fields, version)], {"x": x, "y": y}, named


def _plain(op: str, options: str = "", **fields: Any) -> Single:
    return _one(op, options, (1, 3, 4), (1, 3, 4), **fields)


def _behind(op: str, options: str, x: Shape, y: Shape, *constants: Array, version: int = 1, **fields: Any) -> Single:
    """`op` of the constants and then x."""
    named = {f"c{index}": constant for index, constant in enumerate(constants)}
    return [Op(op, (*named, "x"), "y", options, fields, version)], {"x": x, "y": y}, named


def _resize(op: str, size: Shape, *, corners: bool = False, centers: bool = False) -> Single:
    options = "ResizeBilinearOptions" if "BILINEAR" in op else "ResizeNearestNeighborOptions"
    fields = {"alignCorners": corners, "halfPixelCenters": centers}
    return _one(op, options, (1, 4, 5, 3), (1, *size, 3), _ints(*size), version=3, **fields)


def _joined(split: Op, parts: Mapping[str, Shape], x: Shape, y: Shape, constants: Mapping[str, Array]) -> Single:
    """The parts that `split` gives, concatenated in reverse."""
    join = Op("CONCATENATION", tuple(reversed(parts)), "y", "ConcatenationOptions", {"axis": -1})
    return [split, join], {"x": x, **parts, "y": y}, constants


def _slice(x: Shape, y: Shape, begin: Shape, end: Shape, stride: Shape = (1, 1, 1), **fields: Any) -> Single:
    """`x[begin:end:stride]` by these masks."""
    version = 8 if "offset" in fields else 4
    numbers = (_ints(*each) for each in (begin, end, stride))
    return _one("STRIDED_SLICE", "StridedSliceOptions", x, y, *numbers, version=version, **fields)


def _transposed(y: Shape, **fields: Any) -> Single:
    """A transposed convolution of 2 channels to 5."""
    constants = (_ints(*y), _floats(5, 3, 3, 2))
    return _behind("TRANSPOSE_CONV", "TransposeConvOptions", (1, 4, 3, 2), y, *constants, **fields)


NEAREST, BILINEAR = "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"
SINGLE: dict[str, Single] = {
    "abs": _plain("ABS", "AbsOptions"),
    "exp": _plain("EXP", "ExpOptions"),
    "hard_swish": _plain("HARD_SWISH", "HardSwishOptions"),
    "elu": _plain("ELU"),
    "gelu": _plain("GELU", "GeluOptions", approximate=False),
    "gelu_tanh": _plain("GELU", "GeluOptions", approximate=True),
    "leaky_relu": _plain("LEAKY_RELU", "LeakyReluOptions", alpha=0.2),
    "prelu": _one("PRELU", "", (1, 3, 5, 4), (1, 3, 5, 4), _floats(1, 1, 4)),
    "log_softmax": _plain("LOG_SOFTMAX", "LogSoftmaxOptions"),
    "square": _plain("SQUARE", "SquareOptions"),
    "pow": _one("POW", "PowOptions", (1, 3, 4), (1, 3, 4), np.float32(3).reshape(())),
    "squared_difference": _one("SQUARED_DIFFERENCE", "SquaredDifferenceOptions", (1, 3, 4), (1, 3, 4), _floats(4)),
    "maximum": _one("MAXIMUM", "MaximumMinimumOptions", (1, 3, 4), (1, 3, 4), _floats(3, 1)),
    "minimum": _one("MINIMUM", "MaximumMinimumOptions", (1, 3, 4), (1, 3, 4), _floats(4)),
    "sum": _one("SUM", "ReducerOptions", (1, 3, 4), (1, 4), _ints(1)),
    "sum_keeping": _one("SUM", "ReducerOptions", (1, 3, 4), (1, 3, 1), _ints(-1), keepDims=True),
    "reduce_max": _one("REDUCE_MAX", "ReducerOptions", (1, 3, 4, 5), (1, 5), _ints(1, 2)),
    "reduce_max_keeping": _one("REDUCE_MAX", "ReducerOptions", (1, 3, 4, 5), (1, 1, 1, 5), _ints(2, 1), keepDims=True),
    "pad": _one("PAD", "PadOptions", (1, 3, 4, 2), (1, 4, 7, 2), _ints(0, 0, 0, 1, 2, 1, 0, 0).reshape(4, 2)),
    "pad_width": _one("PAD", "PadOptions", (1, 3, 4, 2), (1, 3, 6, 2), _ints(0, 0, 0, 0, 1, 1, 0, 0).reshape(4, 2)),
    "pad_value": _one("PADV2", "PadV2Options", (1, 3, 2), (1, 4, 5), _ints(0, 0, 1, 0, 2, 1).reshape(3, 2),
                      np.float32(1.5).reshape(1)),
    "mirror_pad": _one("MIRROR_PAD", "MirrorPadOptions", (1, 4, 5, 2), (1, 6, 9, 2),
                       _ints(0, 0, 1, 1, 2, 2, 0, 0).reshape(4, 2), mode=0),
    "slice": _one("SLICE", "SliceOptions", (1, 5, 6), (1, 3, 2), _ints(0, 1, 4), _ints(1, 3, -1)),
    "strided_slice": _one("STRIDED_SLICE", "StridedSliceOptions", (1, 6, 5), (1, 3), _ints(0, 1, -2),
                          _ints(1, 6, 0), _ints(1, 2, 1), shrinkAxisMask=4, endMask=0),
    "strided_slice_open": _one("STRIDED_SLICE", "StridedSliceOptions", (1, 6, 5), (1, 4, 2), _ints(0, 2, 1),
                               _ints(0, 0, -2), _ints(1, 1, 1), beginMask=1, endMask=3),
    "strided_slice_offset": _slice((1, 5, 3), (1, 2, 3), (0, 1, 0), (1, 2, 3), offset=True),
    "strided_slice_backwards": _slice((1, 5, 3), (1, 5, 3), (0, 0, 0), (0, 0, 0), (1, -1, 1), beginMask=7, endMask=7),
    "strided_slice_from_3": _slice((1, 5, 3), (1, 4, 3), (0, 3, 0), (0, 0, 0), (1, -1, 1), beginMask=5, endMask=7),
    "strided_slice_first": _slice((1, 5, 3), (1, 3), (0, 2, 0), (1, 3, 3), beginMask=2, shrinkAxisMask=2),
    "gather": _one("GATHER", "GatherOptions", (1, 5, 3), (1, 3, 3), _ints(4, 0, 2), axis=1),
    "batch_matmul": _one("BATCH_MATMUL", "BatchMatMulOptions", (1, 3, 4), (1, 3, 5), _floats(1, 4, 5)),
    "batch_matmul_adjoint": _one("BATCH_MATMUL", "BatchMatMulOptions", (1, 3, 4), (1, 3, 5), _floats(5, 4), adjY=True),
    "tile": _one("TILE", "TileOptions", (1, 2, 3), (1, 4, 9), _ints(1, 2, 3)),
    "broadcast_to": _one("BROADCAST_TO", "BroadcastToOptions", (1, 1, 3), (1, 4, 3), _ints(1, 4, 3), version=2),
    "pack": _one("PACK", "PackOptions", (1, 3), (1, 3, 2), _floats(1, 3), axis=-1, valuesCount=2),
    "split": _joined(Op("SPLIT", ("axis", "x"), "a", "SplitOptions", {"numSplits": 2}, more=("b",)),
                     {"a": (1, 2), "b": (1, 2)}, (1, 4), (1, 4), {"axis": np.int32(1).reshape(())}),
    "split_v": _joined(Op("SPLIT_V", ("x", "sizes", "axis"), "a", "SplitVOptions", {"numSplits": 3}, more=("b", "c")),
                       {"a": (1, 2), "b": (1, 3), "c": (1, 1)}, (1, 6), (1, 6),
                       {"sizes": _ints(2, -1, 1), "axis": np.int32(-1).reshape(())}),
    "unpack": _joined(Op("UNPACK", ("x",), "a", "UnpackOptions", {"num": 2, "axis": 1}, more=("b",)),
                      {"a": (1, 3), "b": (1, 3)}, (1, 2, 3), (1, 6), {}),
    "nearest": _resize(NEAREST, (8, 10)),
    "nearest_uneven": _resize(NEAREST, (7, 3)),
    "nearest_centers": _resize(NEAREST, (7, 3), centers=True),
    "nearest_corners": _resize(NEAREST, (7, 9), corners=True),
    "bilinear": _resize(BILINEAR, (8, 10)),
    "bilinear_centers": _resize(BILINEAR, (7, 3), centers=True),
    "bilinear_corners": _resize(BILINEAR, (7, 9), corners=True),
    "transpose_conv_same": _transposed((1, 8, 6, 5), padding=SAME, strideH=2, strideW=2),
    "transpose_conv_valid": _transposed((1, 9, 5, 5), padding=VALID, strideH=2, strideW=1),
    **{
        f"transpose_conv_{name}": _transposed((1, 6, 5, 5), padding=VALID, version=4, strideH=1, strideW=1,
                                              fusedActivationFunction=kind)
        for name, kind in (("relu", RELU), ("relu6", RELU6), ("relu_n1_to_1", RELU_N1_TO_1))
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_agrees_with_litert(name: str, tmp_path: Path) -> None:
    """Each operator, in the forms that converters write, as imported and in its canonical form."""
    ops, shapes, constants = SINGLE[name]
    path = write(tmp_path / "model.tflite", ops, shapes, constants)
    x = 2 * _floats(*shapes["x"])
    (wanted,) = predicted(path, [x])
    for graph in (check(import_tflite(path)), api.load(path)):
        found = graph.outputs[0].to_user(run(graph, [graph.inputs[0].from_user(x)])[graph.outputs[0].value.name])
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_positive_numbers_only(tmp_path: Path) -> None:
    """Logarithm, root and its inverse, on positive numbers."""
    for op, options in (("LOG", ""), ("SQRT", ""), ("RSQRT", "")):
        path = write(tmp_path / "model.tflite", [Op(op, ("x",), "y", options)], {"x": (1, 7), "y": (1, 7)})
        x = np.abs(_floats(1, 7)) + 0.1
        (wanted,) = predicted(path, [x])
        graph = api.load(path)
        np.testing.assert_allclose(run(graph, [x])[graph.outputs[0].value.name], wanted, rtol=1e-5)


def test_arg_max(tmp_path: Path) -> None:
    """An index at the end."""
    ops = [Op("ARG_MAX", ("x", "axis"), "y", "ArgMaxOptions", {"outputType": 2})]
    shapes, kinds = {"x": (1, 3, 5), "y": (1, 3)}, {"y": "INT32"}
    path = write(tmp_path / "model.tflite", ops, shapes, {"axis": np.int32(2).reshape(())}, kinds)
    (wanted,) = predicted(path, [_floats(1, 3, 5)])
    graph = api.load(path)
    np.testing.assert_array_equal(run(graph, [_floats(1, 3, 5)])[graph.outputs[0].value.name], wanted)
