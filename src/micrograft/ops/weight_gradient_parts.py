"""Gradients of weights that kernels can compute part by part, for who reads each element once and needs no more.

A part is the rows of four outputs or, of a depthwise weight, one tap. There are two kinds: of a float32 weight, and of
the int8 codes of a layer on codes, whose gradient becomes that of real numbers as in `real_gradient`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, Shape, TensorType, Value
from micrograft.ops.codes_update import REAL_GRADIENT, Layout, RealGradientAttrs
from micrograft.ops.conv import CONV_WEIGHT_GRADIENT, ConvAttrs, ConvWeightGradientAttrs
from micrograft.ops.conv_of_codes import CONV_OF_CODES_WEIGHT_GRADIENT, ConvOfCodesWeightGradientAttrs
from micrograft.ops.depthwise_conv import DEPTHWISE_CONV_WEIGHT_GRADIENT
from micrograft.ops.depthwise_conv_of_codes import DEPTHWISE_CONV_OF_CODES_WEIGHT_GRADIENT
from micrograft.ops.linear import LINEAR_WEIGHT_GRADIENT, rows
from micrograft.ops.linear_of_codes import LINEAR_OF_CODES_WEIGHT_GRADIENT, ROWS, OfCodesAttrs
from micrograft.ops.operator import Content, Field, Group

_FLOATS = (LINEAR_WEIGHT_GRADIENT, CONV_WEIGHT_GRADIENT, DEPTHWISE_CONV_WEIGHT_GRADIENT)
_CODES = (
    LINEAR_OF_CODES_WEIGHT_GRADIENT,
    CONV_OF_CODES_WEIGHT_GRADIENT,
    DEPTHWISE_CONV_OF_CODES_WEIGHT_GRADIENT,
)

WEIGHT_GRADIENTS = {each.name: each for each in (*_FLOATS, *_CODES)}
"""The gradients that can be computed part by part."""

_OUTPUTS = 4
"""Whose rows are one part, at most; the kernels' own number."""


def of_codes(gradient: str) -> bool:
    """Whether it is the gradient of codes."""
    return gradient in {each.name for each in _CODES}


def _depthwise(gradient: str) -> bool:
    return gradient.startswith("depthwise")


@dataclass(frozen=True)
class PartsAttrs(Attrs):
    """gradient, attrs: the operator that computes the gradient as a whole. layout: where the scales apply that make a
    gradient of codes that of real numbers; None: it stays that of codes."""

    gradient: str
    attrs: Attrs
    layout: Layout | None = None

    @property
    def dtype(self) -> DType:
        """Of x, and of the weight."""
        return DType.INT8 if of_codes(self.gradient) else DType.FLOAT32

    def infer(self, x: TensorType, dy: TensorType) -> TensorType:
        """The type of the gradient. Raises ShapeError."""
        (gradient,) = WEIGHT_GRADIENTS[self.gradient].infer(self.attrs, (x, dy))
        return gradient

    def evaluate(self, x: Array, dy: Array, scales: Array | None = None) -> Array:
        """The gradient."""
        (gradient,) = WEIGHT_GRADIENTS[self.gradient].evaluate(self.attrs, (x, dy))
        if self.layout is not None:
            assert scales is not None
            (gradient,) = REAL_GRADIENT.evaluate(RealGradientAttrs(self.layout), (gradient, scales))
        return gradient


def scales_axis(gradient: str, weight: TensorType) -> int:
    """The axis that scales may apply along, so that a part has whole channels, or one element of each."""
    return len(weight.shape) - 1 if _depthwise(gradient) else 0


def part_size(gradient: Node) -> int:
    """float32 numbers of the largest part. gradient: the node that would compute all of it."""
    whole = gradient.outputs[0]
    if _depthwise(gradient.op):
        return whole.shape[-1]
    return whole.type.size // whole.shape[0] * min(_OUTPUTS, whole.shape[0])


def work(gradient: Node, layout: Layout | None) -> int:
    """Estimated instructions of all parts, made real or not."""
    own, real = WEIGHT_GRADIENTS[gradient.op].work(gradient), replace(gradient, inputs=gradient.outputs)
    return own if layout is None else own + REAL_GRADIENT.work(real)


def source(gradient: Node, scales: Value | None, part: Value) -> Group:
    """What the kernels read, and where they write a part."""
    x, dy = gradient.inputs
    if of_codes(gradient.op):
        return Group("mg_gradient_int8", (("x", x), ("dy", dy), ("scales", scales), ("part", part)))
    return Group("mg_gradient_float32", (("x", x), ("dy", dy), ("part", part)))


def params(gradient: Node, layout: Layout | None) -> Field:
    """The kernels' parameters, as a member `gradient`. layout: of the scales that they are given."""
    if of_codes(gradient.op):
        return "gradient", _params_of_codes(gradient, layout or Layout())
    return "gradient", _params_of_floats(gradient)


def _values(*fields: Field) -> tuple[Content, ...]:
    return tuple(value for _, value in fields)


def _params_of_floats(gradient: Node) -> tuple[Content, ...]:
    (x, dy), attrs, depthwise = gradient.inputs, gradient.attrs, _depthwise(gradient.op)
    linear = not isinstance(attrs, ConvWeightGradientAttrs) or (not depthwise and attrs.conv.is_linear(attrs.kernel))
    if linear:
        attrs = _LINEAR
    assert isinstance(attrs, ConvWeightGradientAttrs)
    conv, shape = attrs.conv, (1, rows(x.shape), x.shape[-1]) if linear else x.shape
    groups = x.shape[-1] if depthwise else conv.groups
    window = _values(*conv.window(attrs.kernel).fields(shape))
    flags = int(linear), int(depthwise)
    return (*window, x.shape[-1], dy.shape[-1], groups, *flags, gradient.outputs[0].type.size)


_LINEAR = ConvWeightGradientAttrs(ConvAttrs((1,), ((0, 0),), (1,)), (1,))
"""A linear layer as a convolution along its rows."""


def _params_of_codes(gradient: Node, layout: Layout) -> tuple[Content, ...]:
    (x, dy), (whole,), attrs = gradient.inputs, gradient.outputs, gradient.attrs
    depthwise = _depthwise(gradient.op)
    shape: Shape
    if isinstance(attrs, OfCodesAttrs):
        window, shape, groups = ROWS, (1, rows(x.shape), x.shape[-1]), 1
    else:
        assert isinstance(attrs, ConvOfCodesWeightGradientAttrs)
        window, shape = attrs.conv.window(attrs.kernel), x.shape
        groups = x.shape[-1] if depthwise else attrs.conv.groups
    meaning = attrs.x.zero, float(attrs.x.scale)
    conv = (*_values(*window.fields(shape)), x.shape[-1], dy.shape[-1], groups, *meaning)
    _, channels, inner = layout.split(whole.shape)
    return conv, int(depthwise), whole.type.size, channels, inner
