"""Every int8 operator of TensorFlow Lite gives the bits of TensorFlow Lite Micro, whatever the scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micrograft import api
from micrograft.ir.types import DType
from micrograft.passes.float_head import float_head
from micrograft.reference import run
from tests.frontends.tflite_models import RELU, RELU6, SAME, VALID, Array, Op, Stored, write

Shape = tuple[int, ...]
IMAGE, EVERY = (1, 6, 5, 4), (1, 256)
Q = tuple[float, int]
FIRST, SECOND, THIRD, FINE = (0.031, -11), (0.047, 23), (0.0127, -70), (0.5, 4)
UNIT, HALF = (1 / 256, -128), (1 / 128, 0)


def _codes(shape: Shape, seed: int = 1) -> Array:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


def _numbers(*numbers: int) -> Array:
    return np.array(numbers, np.int32)


@dataclass(frozen=True, eq=False)
class Case:
    """ops: the last one's output is the network's. tensors: name of each to its shape and its codes' meaning."""

    name: str
    ops: tuple[Op, ...]
    tensors: Mapping[str, tuple[Shape, Q]]
    constants: Mapping[str, Any] = field(default_factory=dict)


def _one(kind: str, y: Q = SECOND, x: Q = FIRST, options: str = "", name: str = "", **fields: Any) -> Case:
    """A function of each of the 256 codes."""
    return Case(name or kind, (Op(kind, ("x",), "y", options, fields),), {"x": (EVERY, x), "y": (EVERY, y)})


def _pair(kind: str, other: Shape | None, activation: int = 0, y: Q = SECOND, constant: Q = THIRD) -> Case:
    """x and a constant of this shape; None for x and its own sigmoid."""
    options = {"MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions"}
    name = options.get(kind, f"{kind.capitalize()}Options")
    fields = {} if kind in options else {"fusedActivationFunction": activation}
    tensors = {"x": (IMAGE, UNIT if kind in options else FIRST), "y": (IMAGE, UNIT if kind in options else y)}
    if other is None:
        ops = (Op("LOGISTIC", ("x",), "a"), Op(kind, ("x", "a"), "y", name, fields))
        return Case(f"{kind} of two", ops, {**tensors, "a": (IMAGE, UNIT)})
    scale, zero = UNIT if kind in options else constant
    stored = Stored(_codes(other), (scale,), 0, zero)
    return Case(f"{kind} {other} {activation}", (Op(kind, ("x", "c"), "y", name, fields),), tensors, {"c": stored})


def _moved(kind: str, y: Shape, options: str, constants: Mapping[str, Any], y_is: Q = FIRST, **fields: Any) -> Case:
    tensors = {"x": (IMAGE, FIRST), "y": (y, y_is)}
    return Case(f"{kind} {y} {fields}", (Op(kind, ("x", *constants), "y", options, fields),), tensors, constants)


def _layer(kind: str, x: Shape, y: Shape, weight: Shape, more: Mapping[str, Any], options: str, **fields: Any) -> Case:
    scales = tuple(float(np.float32(0.01 * (1 + index))) for index in range(weight[0]))
    bias = np.random.default_rng(2).integers(-900, 900, weight[0]).astype(np.int32)
    constants = {
        **more,
        "w": Stored(np.maximum(_codes(weight), -127), scales),
        "b": Stored(bias, tuple(float(np.float32(FIRST[0] * scale)) for scale in scales)),
    }
    inputs = (*more, "w", "x", "b") if more else ("x", "w", "b")
    op = Op(kind, inputs, "y", options, fields, version=3)
    return Case(f"{kind} {y} {fields}", (op,), {"x": (x, FIRST), "y": (y, (FIRST[0] * 9, 5))}, constants)


def _upsampled(height: int, width: int, stride_w: int, padding: int) -> Case:
    return _layer("TRANSPOSE_CONV", IMAGE, (1, height, width, 3), (3, 3, 3, 4), {"o": _numbers(1, height, width, 3)},
                  "TransposeConvOptions", padding=padding, strideH=2, strideW=stride_w)  # fmt: skip


def _joined(axis: int, y: Shape) -> Case:
    ops = (Op("TANH", ("x",), "a"), Op("CONCATENATION", ("x", "a"), "y", "ConcatenationOptions", {"axis": axis}))
    return Case(f"CONCATENATION {axis}", ops, {"x": (IMAGE, HALF), "a": (IMAGE, HALF), "y": (y, HALF)})


_SPLIT = Case(
    "SPLIT",
    (
        Op("SPLIT", ("s", "x"), "y", "SplitOptions", {"numSplits": 2}, more=("z",)),
        Op("CONCATENATION", ("z", "y"), "w", "ConcatenationOptions", {"axis": 3}),
    ),
    {"x": (IMAGE, FIRST), "y": ((1, 6, 5, 2), FIRST), "z": ((1, 6, 5, 2), FIRST), "w": (IMAGE, FIRST)},
    {"s": np.array(3, np.int32)},
)
_PACKED = Case(
    "PACK",
    (Op("TANH", ("x",), "a"), Op("PACK", ("x", "a"), "y", "PackOptions", {"axis": 1, "valuesCount": 2})),
    {"x": ((1, 6), HALF), "a": ((1, 6), HALF), "y": ((1, 2, 6), HALF)},
)

CASES = (
    *(_one("LOGISTIC", UNIT, x, name=f"LOGISTIC {x}") for x in (FIRST, SECOND, THIRD, FINE)),
    *(_one("TANH", HALF, x, name=f"TANH {x}") for x in (FIRST, SECOND, THIRD, FINE)),
    *(_one("HARD_SWISH", y, x, name=f"HARD_SWISH {x}") for x, y in ((FIRST, SECOND), (FINE, THIRD), (SECOND, FIRST))),
    *(_one("LEAKY_RELU", options="LeakyReluOptions", alpha=a, name=f"LEAKY_RELU {a}") for a in (0.1, 0.37, 1.5)),
    _one("ELU"),
    _one("ABS"),
    _one("RELU"),
    _one("QUANTIZE"),
    *(_pair(kind, other) for kind in ("ADD", "SUB", "MUL") for other in (IMAGE, (4,), (1,), None)),
    *(_pair(kind, (4,), RELU6) for kind in ("ADD", "SUB", "MUL")),
    *(_pair(kind, other) for kind in ("MAXIMUM", "MINIMUM") for other in ((4,), None)),
    _joined(3, (1, 6, 5, 8)),
    _joined(1, (1, 12, 5, 4)),
    _SPLIT,
    _PACKED,
    _moved("PAD", (1, 9, 6, 4), "PadOptions", {"p": _numbers(0, 0, 1, 2, 0, 1, 0, 0).reshape(4, 2)}),
    _moved("TRANSPOSE", (1, 5, 4, 6), "TransposeOptions", {"p": _numbers(0, 2, 3, 1)}),
    _moved("DEPTH_TO_SPACE", (1, 12, 10, 1), "DepthToSpaceOptions", {}, blockSize=2),
    Case("SPACE_TO_DEPTH", (Op("SPACE_TO_DEPTH", ("x",), "y", "SpaceToDepthOptions", {"blockSize": 2}),),
         {"x": ((1, 6, 4, 2), FIRST), "y": ((1, 3, 2, 8), FIRST)}),
    _moved("SLICE", (1, 3, 4, 2), "SliceOptions", {"b": _numbers(0, 2, 1, 1), "e": _numbers(1, 3, 4, 2)}),
    _moved("STRIDED_SLICE", (1, 3, 4, 2), "StridedSliceOptions",
           {"b": _numbers(0, 0, 1, 1), "e": _numbers(1, 6, 5, 4), "s": _numbers(1, 2, 1, 2)}),
    _moved("RESIZE_NEAREST_NEIGHBOR", (1, 12, 9, 4), "ResizeNearestNeighborOptions", {"z": _numbers(12, 9)}),
    *(
        _moved("RESIZE_BILINEAR", (1, *size, 4), "ResizeBilinearOptions", {"z": _numbers(*size)}, halfPixelCenters=half,
               alignCorners=corners)
        for size, half, corners in (((12, 9), False, False), ((12, 10), True, False), ((11, 10), False, True),
                                    ((3, 3), True, False))
    ),
    *(_moved("MEAN", y, "ReducerOptions", {"a": _numbers(1, 2)}, SECOND, keepDims=len(y) > 2)
      for y in ((1, 1, 1, 4), (1, 4))),
    _layer("FULLY_CONNECTED", (1, 12), (1, 5), (5, 12), {}, "FullyConnectedOptions", fusedActivationFunction=RELU),
    _upsampled(12, 10, 2, SAME),
    _upsampled(13, 11, 2, VALID),
    _upsampled(12, 5, 1, SAME),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_bits_are_those_of_tensorflow_lite_micro(case: Case, tmp_path: Path) -> None:
    """And nothing of it is computed in float32."""
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro").runtime
    shapes = {name: shape for name, (shape, _) in case.tensors.items()}
    scales = {name: (float(np.float32(scale)), zero) for name, (_, (scale, zero)) in case.tensors.items()}
    path = tmp_path / "net.tflite"
    write(path, case.ops, shapes, case.constants, dict.fromkeys(shapes, "INT8"), scales)
    theirs, network = runtime.Interpreter.from_file(str(path)), api.load(path)
    assert all(node.outputs[0].dtype is DType.INT8 for node in network.nodes)
    (given,), (result,) = network.inputs, network.outputs
    every = np.arange(-128, 128, dtype=np.int8).reshape(EVERY)
    for seed in range(8):
        x = every if shapes["x"] == EVERY else _codes(shapes["x"], seed)
        theirs.set_input(x, 0)
        theirs.invoke()
        ours = run(network, [given.from_user(x.reshape(given.user_shape))])[result.value.name]
        expected = theirs.get_output(0)
        np.testing.assert_array_equal(result.to_user(ours).ravel(), expected.ravel())


def test_a_sigmoid_behind_the_head_is_one_of_real_numbers_again(tmp_path: Path) -> None:
    """So that a loss reads the logits before it, as in a float32 network."""
    case = _layer("FULLY_CONNECTED", (1, 12), (1, 5), (5, 12), {}, "FullyConnectedOptions")
    ops = (*case.ops, Op("LOGISTIC", ("y",), "z"))
    tensors = {**case.tensors, "z": ((1, 5), UNIT)}
    shapes = {name: shape for name, (shape, _) in tensors.items()}
    scales = {name: (float(np.float32(scale)), zero) for name, (_, (scale, zero)) in tensors.items()}
    path = write(tmp_path / "net.tflite", ops, shapes, case.constants, dict.fromkeys(shapes, "INT8"), scales)
    network = float_head(api.load(path))
    assert [node.op for node in network.nodes] == ["dequantize", "linear", "sigmoid"]
