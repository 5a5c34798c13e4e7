"""Short names for the layers of a TFLite file, whose tensors carry the paths of all operators fused into them.

model/activation_2/Relu;model/add/add -> add          (an ADD)
model/block_1/conv2d/Conv2D           -> block_1.conv2d
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ALIASES = {
    "add": ("addv2", "biasadd"),
    "averagepool2d": ("avgpool",),
    "conv2d": ("convolution", "conv1d"),
    "depthwiseconv2d": ("depthwise", "depthwiseconv2dnative"),
    "fullyconnected": ("matmul", "tensordot"),
    "maxpool2d": ("maxpool",),
}
"""What else the converter calls an operator, in letters and digits alone."""

_EMPTY = re.compile(r"(Stateful)?PartitionedCall.*|Identity\w*|arith\.constant\d*|tfl\..*|Const\w*|", re.IGNORECASE)
"""Names that say nothing."""


def root(names: Iterable[str]) -> str:
    """The first step that all paths of several steps share, "" where there is none: the model's own name.

    >>> root(["input", "model/conv/Conv2D;model/relu/Relu", "model/dense/MatMul"])
    'model'
    """
    paths = (piece.split("/") for name in names for piece in name.split(";"))
    first = {path[0] for path in paths if len(path) > 1}
    return first.pop() if len(first) == 1 else ""


def short(name: str, kind: str, root: str) -> str:
    """The layer that a tensor called `name` of an operator `kind` belongs to, "" where its name tells nothing.

    >>> short("m/bn/FusedBatchNormV3;m/stem/depthwise;m/stem/BiasAdd", "DEPTHWISE_CONV_2D", "m")
    'stem'
    >>> short("StatefulPartitionedCall:0", "SOFTMAX", "m")
    ''
    """
    plain = _plain(kind)
    pieces = [piece.split("/") for piece in name.split(";")]
    path = next((each for each in pieces if _plain(each[-1]) in (plain, *_ALIASES.get(plain, ()))), pieces[0])
    if path[0] == root and len(path) > 1:
        path = path[1:]
    if len(path) > 1:
        path = path[:-1]
    return "" if _EMPTY.fullmatch(path[-1]) else ".".join(path)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
