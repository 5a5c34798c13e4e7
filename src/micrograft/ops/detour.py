"""What `adapted_conv` and `adapted_linear` share: a low-rank float32 detour that enters int32 sums in their own units.

down: (..., r) float32, what A makes of the layer's input; up: (outputs, r) float32, B. Changes smaller than a step of
the output count, as the sum is rounded once, with the detour in it.
"""

from __future__ import annotations

import numpy as np

from micrograft.ir.types import Array, TensorType, Value
from micrograft.ops.fixed_point import factor_of
from micrograft.ops.operator import Backward, Group, require
from micrograft.ops.requantization import MULTIPLIER, SHIFT, Codes
from micrograft.ops.scale import ScaleAttrs

_LIMIT = 1 << 29
"""What the detour may add to a sum, either way."""


def check_detour(y: TensorType, down: TensorType, up: TensorType) -> None:
    """Raise ShapeError unless the detour leads to a layer's output."""
    rank = down.shape[-1]
    require(down == TensorType((*y.shape[:-1], rank)), f"the detour has shape {down.shape}, but the output {y.shape}")
    require(up == TensorType((y.shape[-1], rank)), f"{up} does not take {rank} values to {y.shape[-1]} channels")


def detour_units(y: Codes, factors: Array, down: Array, up: Array) -> Array:
    """What the detour adds to the int32 sums."""
    precision = down.dtype.type
    factor = factor_of(factors[:, MULTIPLIER], factors[:, SHIFT]).astype(np.float32).astype(precision)
    steps = (down @ up.T) * precision(np.float32(1.0 / y.quant.scale))
    units = np.divide(steps, factor, out=np.zeros_like(steps), where=factor > 0)
    rounded = np.trunc(units + np.where(units < 0, precision(-0.5), precision(0.5)))
    return np.asarray(np.clip(rounded, -_LIMIT, _LIMIT), np.int64)


def detour_gradients(
    backward: Backward, y: Codes, passed: Value, down: Value, up: Value
) -> tuple[Value | None, Value | None]:
    """Gradients of down and up from that of what was rounded to codes."""
    steps = ScaleAttrs(1.0 / y.quant.scale)  # codes in one unit of the detour; the small results are scaled
    d_down = d_up = None
    if backward.needs(down):
        d_down = backward.emit("scale", backward.emit("linear_input_gradient", passed, up), attrs=steps)
    if backward.needs(up):
        d_up = backward.emit("scale", backward.emit("linear_weight_gradient", down, passed), attrs=steps)
    return d_down, d_up


def detour_group(down: Value, up: Value, columns: Value) -> Group:
    """The detour, as the kernels take it, which have no argument left for their columns."""
    return Group("mg_detour", (("down", down), ("up", up), ("columns", columns)))
