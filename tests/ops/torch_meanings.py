"""What PyTorch calls the operators, on tensors in our layout (channels last): a network's, the losses, our own."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from micrograft.ops.sparse_layer import SparseAttrs
from micrograft.quantization import torch_meanings

Tensor = torch.Tensor


def _sparse_layer(
    attrs: SparseAttrs, x: Tensor, frozen: Tensor, part: Tensor, index: Tensor, bias: Tensor | None = None
) -> Tensor:
    axis = 0 if attrs.side == "output" else -1
    return MEANINGS[attrs.base](attrs.attrs, x, frozen.index_copy(axis, index.long(), part), bias)


MEANINGS: dict[str, Callable[..., Tensor]] = {
    **torch_meanings.MEANINGS,
    "sparse_layer": _sparse_layer,
    "take_channels": lambda attrs, x, index: x[..., index.long()],
    "put_channels": lambda attrs, x, part, index: x.index_copy(-1, index.long(), part),
    "mul_sum_to": lambda attrs, a, b: (a * b).sum_to_size(attrs.shape),
    "cross_entropy": lambda attrs, logits, target: F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), target.reshape(-1).long()
    ),
    "mean_squared_error": lambda attrs, y, target: F.mse_loss(y, target),
    "binary_cross_entropy": lambda attrs, logits, target: F.binary_cross_entropy_with_logits(logits, target),
}
