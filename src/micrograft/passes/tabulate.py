"""The table of a function of one int8 code: what it gives for each of the 256, and how steep it is there.

Networks of TensorFlow Lite get its bits, operator by operator (`ops.tflite_functions`); all others the codes nearest to
the real function. The slope is that from below: of a kink the left one, as of a ReLU at zero.
"""

from __future__ import annotations

import numpy as np

from micrograft.functions import computed
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array, Quantization, Value
from micrograft.ops.fixed_point import HIGH, LOW, Rounding
from micrograft.ops.lookup import Slopes
from micrograft.ops.requantization import Codes
from micrograft.ops.tflite_functions import FUNCTIONS, half_away

_STEP = 2.0**-20
"""Of a code, between the two points of a slope."""


def tabulated(value: Value, source: str, graph: Graph, x: Quantization, y: Codes) -> tuple[Array, Slopes]:
    """Table, (256,) int8, and slopes of `value` as a function of `source`, which are codes of `x`."""
    codes = np.arange(LOW, HIGH + 1)
    points = x.real(codes).astype(np.float64)
    with np.errstate(all="ignore"):
        real = computed(value, source, graph, points)
        before = computed(value, source, graph, points - _STEP * x.scale)
        steep = np.nan_to_num((real - before) / (_STEP * y.quant.scale), posinf=0.0, neginf=0.0)
        steps = np.nan_to_num(real.astype(np.float32) / np.float32(y.quant.scale), nan=LOW - y.quant.zero)
    low, high = y.low - y.quant.zero - 0.5, y.high - y.quant.zero + 0.5
    slopes = Slopes.of(np.where((steps < low) | (steps > high), 0.0, steep))
    node = graph.producers[value.name]
    if y.rounding is Rounding.ONCE:
        nearest = np.rint(steps) + y.quant.zero
    elif node.op in FUNCTIONS and node.inputs[0].name == source:
        constants = [param.data for each in node.inputs[1:] if (param := graph.param(each.name)) is not None]
        nearest = FUNCTIONS[node.op](codes.astype(np.int64), x, y, *constants)
    else:
        nearest = half_away(steps) + y.quant.zero
    return np.clip(nearest, y.low, y.high).astype(np.int8), slopes
