"""int8 networks: the published ones with real inputs, where `../shared` is there, and a small one of our own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from micrograft.ir.graph import Attrs, Graph, Param, Port, identity, param_of
from micrograft.ir.types import Array, Quantization, Shape, TensorType, Value
from micrograft.ops.builder import Builder
from micrograft.ops.conv import ConvAttrs
from micrograft.ops.fixed_point import Rounding
from micrograft.ops.max_pool import PoolAttrs
from micrograft.ops.quantize import DequantizeAttrs, QuantizeAttrs
from micrograft.ops.requantization import Codes
from micrograft.ops.reshape import ReshapeAttrs

SHARED = Path(__file__).parents[2] / "shared"
KEYWORDS = "kws_dscnn_int8.tflite"
RESNET = "resnet8_cifar10_int8.tflite"
MCUNET = "mcunet_5fps_imagenet_int8.onnx"


def model(name: str) -> Path:
    """The path of a published network; skips the test where it is not there."""
    path = SHARED / "models" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


def inputs(name: str, count: int) -> Array:
    """So many real inputs of a network, spread over their data set, in its own layout without the batch.

    Spoken digits for the keyword network; photographs of hands, shrunk to 32×32 pixels, for ResNet-8, and as they
    are, as multiples of 1/127.5 from −1 to 1, channels first, for MCUNet.
    """
    file = "spoken_digits_mfcc.npz" if name == KEYWORDS else "sign_digits_128.npz"
    path = SHARED / "data" / file
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    with np.load(path) as archive:
        x = archive["x"]
    x = x[:: len(x) // count][:count].astype(np.float32)
    if name == RESNET:
        x = np.round(x.reshape(count, 32, 4, 32, 4, 3).mean(axis=(2, 4)))
    if name == MCUNET:
        x = np.ascontiguousarray((np.round((x / 255 * 2 - 1) * 127.5) / 127.5).transpose(0, 3, 1, 2))
    return x.astype(np.float32)


def drawn(rounding: Rounding = Rounding.TWICE) -> Graph:
    """A small residual network as an importer draws it: real numbers between codes. (1, 8, 8, 3) to 5 logits."""
    builder = Builder()
    generator = np.random.default_rng(5)
    params: list[Param] = []

    def code(x: Value, scale: float, zero: int) -> Value:
        codes = Codes(Quantization((scale,), (zero,)), rounding=rounding)
        coded = builder.add("quantize", (x,), QuantizeAttrs(codes), origin="net")
        return builder.add("dequantize", (coded,), DequantizeAttrs(codes.quant), origin="net")

    def param(name: str, shape: Shape, axis: int, spread: float) -> Value:
        """A parameter on a grid of one scale per output."""
        scales = generator.uniform(0.5, 1.5, shape[axis]) * spread
        quant = Quantization(tuple(map(float, scales.astype(np.float32))), (0,) * shape[axis], axis % len(shape))
        data = quant.real(generator.integers(-127, 128, shape).astype(np.int32))
        params.append(replace(param_of(builder.unique(name), data), source=name, grid=quant))
        return params[-1].value

    def layer(op: str, x: Value, name: str, shape: Shape, attrs: Attrs, axis: int = 0) -> Value:
        weight = param(f"{name}.weight", shape, axis, 0.004)
        bias = param(f"{name}.bias", (shape[axis],), 0, 0.001)
        return builder.add(op, (x, weight, bias), attrs, origin=name)

    same, none = ((1, 1), (1, 1)), ((0, 0), (0, 0))
    image = Value(builder.unique("image"), TensorType((1, 8, 8, 3)))
    x = code(image, 1 / 64, 5)
    x = builder.add("relu", (layer("conv", x, "stem", (8, 3, 3, 3), ConvAttrs((1, 1), same, (1, 1))),), origin="stem")
    skip = x = code(x, 1 / 32, -128)
    x = layer("depthwise_conv", x, "depthwise", (1, 3, 3, 8), ConvAttrs((1, 1), same, (1, 1)), -1)
    x = code(builder.add("relu6", (x,), origin="depthwise"), 1 / 40, -128)
    x = code(layer("conv", x, "pointwise", (8, 1, 1, 8), ConvAttrs((1, 1), none, (1, 1))), 1 / 50, 3)
    x = code(builder.add("add", (skip, x), origin="add"), 1 / 30, -20)
    pool = PoolAttrs((2, 2), (2, 2), none)
    x = code(builder.add("max_pool", (x,), pool, origin="pool"), 1 / 30, -20)
    x = code(builder.add("global_average_pool", (x,), origin="mean"), 1 / 45, -9)
    flat = builder.add("reshape", (x,), ReshapeAttrs((1, 8)), origin="flatten")
    x = code(flat, 1 / 45, -9)
    x = code(layer("linear", x, "head", (5, 8), Attrs()), 1 / 20, 11)
    ports = ((Port(image, identity(4), "image"),), (Port(x, identity(2), "logits"),))
    return Graph("small", *ports, tuple(params), tuple(builder.nodes))
