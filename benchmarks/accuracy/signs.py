"""Photographs of hands signing 0 to 9, on MCUNet-5FPS as published in int8 with ImageNet's weights.

Of each digit's 60 photographs 40 are to learn from, in five folds of 12 to judge by; the head of ten classes starts
from nothing. The scheme is the one that the paper of the 256-KB training trains within 49 KB (arXiv:2206.15472).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from benchmarks.accuracy.trials import SHARED, Row, Trial, learn
from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.samples import Samples

FOLDS = 3
"""Of five."""

LORA = "lora:rank=4,targets=block[789]*|block1[0123]*"
"""On the blocks from the eighth on, with which a step fits the 320 KB of an STM32F746 (benchmarks/mcunet_lora.py)."""

SCHEME = "examples/mcunet/sparse_49kb.toml"
"""Where the command is run, at the repository's root."""


@cache
def _data() -> tuple[Array, Array]:
    """x: (600, 3, 128, 128) from -1 to 1; y: (600,)."""
    with np.load(SHARED / "data" / "sign_digits_128.npz") as archive:
        x, y = archive["x"].astype(np.float32), archive["y"].astype(np.int64)
    return np.ascontiguousarray(np.round((x / 255 * 2 - 1) * 127.5).transpose(0, 3, 1, 2) / 127.5).astype(np.float32), y


def groups() -> list[str]:
    return [f"fold {fold}" for fold in range(FOLDS)]


def rows() -> list[Row]:
    start, rates, sparse = "ImageNet", (0.05, 0.1, 0.2), f"sparse:file={SCHEME}"
    return [
        Row(start, "head", "int8", "head", (0.1, 0.3, 1.0), 5),
        Row(start, "LoRA and head", "int8", f"{LORA}+head", rates, 5),
        Row(start, "sparse, 49 KB", "int8", sparse, (0.02, 0.05, 0.1), 5),
        Row(start, "sparse, 49 KB, without QAS", "int8", sparse, (0.3, 1.0), 5, optimizer="sgd:qas=false"),
    ]


def run(trial: Trial) -> float:
    x, y = _data()
    fold = int(trial.group.split()[1])
    places = np.concatenate([np.flatnonzero(y == digit) for digit in range(10)]).reshape(10, 5, 12)
    asked = places[:, fold].ravel()
    given = np.delete(places, fold, axis=1).reshape(10, 48)[:, :40].ravel()
    return learn(_network(), trial, Samples(x[given], y[given]), Samples(x[asked], y[asked]))


@cache
def _network() -> Graph:
    return api.load(SHARED / "models" / "mcunet_5fps_imagenet_int8.onnx", classes=10)
