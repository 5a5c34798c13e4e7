"""Which int8 operator each operator of real numbers becomes between codes. A rule says whether it made one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from micrograft.ir.graph import Param
from micrograft.ir.types import Quantization, Value
from micrograft.ops.average_pool import AveragePoolAttrs
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.fixed_point import LOW, Rounding, float_factor, multiplier_of
from micrograft.ops.quantize import RequantizeAttrs
from micrograft.ops.quantized_add import QuantizedAddAttrs
from micrograft.ops.quantized_conv import QuantizedConvAttrs
from micrograft.ops.quantized_linear import QuantizedLinearAttrs
from micrograft.ops.quantized_mul import QuantizedMulAttrs
from micrograft.ops.quantized_pool import QuantizedAveragePoolAttrs, QuantizedMeanAttrs, mean_factor
from micrograft.ops.quantized_resize import QuantizedResizeAttrs, fits, in_1024ths
from micrograft.ops.quantized_softmax import QuantizedSoftmaxAttrs
from micrograft.ops.requantization import Codes, factors_table
from micrograft.ops.resize import ResizeAttrs
from micrograft.ops.wrapping_add import WrappingAttrs
from micrograft.passes.int8_site import Fusion, Site, meaning
from micrograft.passes.move_codes import in_codes

Rule = Callable[[Fusion, Site], bool]

_NEARLY = 0.9
"""The least step of a softmax's output that is computed in steps of 1/256, in these."""


def _conv(fusion: Fusion, site: Site) -> bool:
    depthwise = site.node.op == "depthwise_conv"
    layer = fusion.layer(site, -1 if depthwise else 0)
    if layer is None:
        return False
    assert isinstance(site.node.attrs, ConvAttrs)
    attrs = QuantizedConvAttrs(site.node.attrs, site.x.zero, site.y)
    return fusion.define(site, f"quantized_{site.node.op}", (site.codes[0], *layer), attrs)


def _linear(fusion: Fusion, site: Site) -> bool:
    layer = fusion.layer(site, 0)
    if layer is None:
        return False
    return fusion.define(site, "quantized_linear", (site.codes[0], *layer), QuantizedLinearAttrs(site.x.zero, site.y))


def _pair(fusion: Fusion, site: Site) -> bool:
    """A sum, a difference or a product of two tensors, of which one may be constant."""
    if fusion.wraps(site) and (parts := _in_one_range(fusion, site)) is not None:
        return fusion.define(site, f"wrapping_{site.node.op}", parts, WrappingAttrs(site.y.quant))
    a, b = (fusion.constant(each) if isinstance(each, Param) else each for each in site.operands)
    if a is None or b is None:
        return False
    if site.node.op == "mul":
        return fusion.define(site, "quantized_mul", (a, b), QuantizedMulAttrs(meaning(a), meaning(b), site.y))
    sign = 1 if site.node.op == "add" else -1
    return fusion.define(site, "quantized_add", (a, b), QuantizedAddAttrs(meaning(a), meaning(b), site.y, sign))


def _average_pool(fusion: Fusion, site: Site) -> bool:
    """In the input's scale where that is the output's; else a depthwise convolution, which rounds to any scale once."""
    pool = site.node.attrs
    assert isinstance(pool, AveragePoolAttrs)
    padded = any(pads != (0, 0) for pads in pool.padding)
    if pool.count_include_pad if padded else not site.keeps_scale:
        return _pool_as_layer(fusion, site, pool)
    pool = replace(pool, count_include_pad=False)
    if site.keeps_scale:
        return fusion.define(site, "quantized_average_pool", site.codes, QuantizedAveragePoolAttrs(pool, site.y))
    own = QuantizedAveragePoolAttrs(pool, Codes(site.x, rounding=site.y.rounding))
    y = fusion.add(site, "quantized_average_pool", site.codes, own)
    return fusion.define(site, "requantize", (y,), RequantizeAttrs(site.x, site.y))


def _pool_as_layer(fusion: Fusion, site: Site, pool: AveragePoolAttrs) -> bool:
    """Weights of one, and what the mean divides by in the factors; padding is zeros, which count."""
    channels, spatial = site.codes[0].shape[-1], len(pool.kernel)
    if pool.window.places * 255 * 255 > 1 << 30:
        return False
    weight = np.ones((1, *pool.kernel, channels), np.int8)
    divided = np.full(channels, 1.0 / pool.window.places)
    real = site.x.scale * divided / site.y.quant.scale
    if site.y.rounding is Rounding.ONCE:
        real = float_factor(site.x.scale, divided, site.y.quant.scale)
    origin = site.node.origin
    tables = (
        fusion.table(weight, f"{origin}.ones"),
        fusion.table(np.zeros(channels, np.int32), f"{origin}.zeros"),
        fusion.table(factors_table(real), f"{origin}.factors"),
    )
    conv = ConvAttrs(pool.stride, pool.padding, (1,) * spatial)
    attrs = QuantizedConvAttrs(conv, site.x.zero, site.y)
    return fusion.define(site, "quantized_depthwise_conv", (site.codes[0], *tables), attrs)


def _mean(fusion: Fusion, site: Site) -> bool:
    count = site.codes[0].type.size // site.codes[0].shape[-1]
    if site.y.rounding is Rounding.ONCE:
        once = float_factor(site.x.scale, np.ones(1), float(np.float32(site.y.quant.scale) * np.float32(count)))
        multiplier, shift = multiplier_of(float(once[0]))
    else:
        multiplier, shift = mean_factor(*multiplier_of(site.x.scale / site.y.quant.scale), count)
    return fusion.define(site, "quantized_mean", site.codes, QuantizedMeanAttrs(site.x.zero, multiplier, shift, site.y))


def _moved(fusion: Fusion, site: Site) -> bool:
    """Operators that only move or choose codes: as they are where they mean the same, else requantized.

    What becomes smaller is requantized behind, what becomes larger before, so that fewer codes are.
    """
    (x,) = site.operands
    if not isinstance(x, Value):
        return False
    if site.keeps_scale and not site.clamps:
        return fusion.define(site, site.node.op, (x,), in_codes(site.node.attrs, site.x))
    if x.type.size >= site.result.type.size:
        y = fusion.add(site, site.node.op, (x,), in_codes(site.node.attrs, site.x))
        return fusion.define(site, "requantize", (y,), RequantizeAttrs(site.x, site.y))
    y = fusion.add(site, "requantize", (x,), RequantizeAttrs(site.x, site.y))
    return fusion.define(site, site.node.op, (y,), in_codes(site.node.attrs, site.y.quant))


def _resize(fusion: Fusion, site: Site) -> bool:
    """To the nearest it moves codes; between neighbours it rounds their weighted mean, in the input's steps."""
    attrs = site.node.attrs
    assert isinstance(attrs, ResizeAttrs)
    if not attrs.linear:
        return _moved(fusion, site)
    if site.y.rounding is Rounding.TWICE:
        attrs = replace(attrs, axes=tuple(map(in_1024ths, attrs.axes)))
    if not fits(attrs):
        return False
    own = QuantizedResizeAttrs(attrs, Codes(site.x, rounding=site.y.rounding))
    if site.keeps_scale and not site.clamps:
        return fusion.define(site, "quantized_resize", site.codes, own)
    y = fusion.add(site, "quantized_resize", site.codes, own)
    return fusion.define(site, "requantize", (y,), RequantizeAttrs(site.x, site.y))


def _in_one_range(fusion: Fusion, site: Site) -> tuple[Value, ...] | None:
    """The inputs as codes of the output, requantized where they mean something else; None where one is no codes."""
    parts: list[Value] = []
    for each in site.operands:
        part = fusion.constant(each, site.y.quant) if isinstance(each, Param) else each
        if part is None:
            return None
        if isinstance(each, Value) and (meaning(each) != site.y.quant or site.clamps):
            part = fusion.add(site, "requantize", (each,), RequantizeAttrs(meaning(each), site.y))
        parts.append(part)
    return tuple(parts)


def _chosen(fusion: Fusion, site: Site) -> bool:
    """Operators that copy or choose among several tensors: in the range of the output."""
    parts = None if site.clamps and len(site.codes) < len(site.operands) else _in_one_range(fusion, site)
    return parts is not None and fusion.define(site, site.node.op, parts, site.node.attrs)


def _softmax(fusion: Fusion, site: Site) -> bool:
    """TensorFlow Lite's, whose codes are of 1/256; nearly as coarse ones come from it, finer ones do not."""
    attrs, codes = QuantizedSoftmaxAttrs(site.x.scale), Quantization((1 / 256,), (LOW,))
    if site.y.quant == codes and not site.clamps:
        return fusion.define(site, "quantized_softmax", site.codes, attrs)
    if site.y.quant.scale < _NEARLY / 256:
        return False
    y = fusion.add(site, "quantized_softmax", site.codes, attrs)
    return fusion.define(site, "requantize", (y,), RequantizeAttrs(codes, site.y))


RULES: Mapping[str, Rule] = {
    "add": _pair,
    "average_pool": _average_pool,
    "concat": _chosen,
    "conv": _conv,
    "depthwise_conv": _conv,
    "expand": _moved,
    "global_average_pool": _mean,
    "linear": _linear,
    "max_pool": _moved,
    "maximum": _chosen,
    "minimum": _chosen,
    "mul": _pair,
    "pad": _moved,
    "reshape": _moved,
    "resize": _resize,
    "softmax": _softmax,
    "slice": _moved,
    "sub": _pair,
    "transpose": _moved,
}
"""Name of an operator to what makes its int8 sister."""
