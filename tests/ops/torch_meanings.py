"""What PyTorch calls the operators: one line each, on tensors in our layout (channels last)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

MEANINGS: dict[str, Callable[..., torch.Tensor]] = {
    "linear": lambda attrs, x, weight, bias=None: F.linear(x, weight, bias),
    "relu": lambda attrs, x: F.relu(x),
    "relu6": lambda attrs, x: F.relu6(x),
    "reshape": lambda attrs, x: x.reshape(attrs.shape),
    "add": lambda attrs, a, b: a + b,
    "sub": lambda attrs, a, b: a - b,
    "mul": lambda attrs, a, b: a * b,
    "sum_to": lambda attrs, x: x.sum_to_size(attrs.shape),
    "scale": lambda attrs, x: x * attrs.factor,
    "sigmoid": lambda attrs, x: torch.sigmoid(x),
    "tanh": lambda attrs, x: torch.tanh(x),
    "softmax": lambda attrs, x: F.softmax(x, dim=-1),
    "transpose": lambda attrs, x: x.permute(attrs.permutation),
    "concat": lambda attrs, *xs: torch.cat(xs, dim=attrs.axis),
    "slice": lambda attrs, x: x.narrow(attrs.axis, attrs.start, attrs.stop - attrs.start),
    "cross_entropy": lambda attrs, logits, target: F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), target.reshape(-1).long()
    ),
    "mean_squared_error": lambda attrs, y, target: F.mse_loss(y, target),
    "binary_cross_entropy": lambda attrs, logits, target: F.binary_cross_entropy_with_logits(logits, target),
}
