"""The small layers that PyTorch has as functions or operators only, so that a case can name each in a few words."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Add(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Sub(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b


class Mul(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b


class Concat(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, self.axis)


class Maximum(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)


class Minimum(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.minimum(a, b)


class Ratio(nn.Module):
    """Of the one by the other, which is kept from zero."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a / (1 + b * b)


class Choice(nn.Module):
    """The one where it is above a third, else the other."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.where(a > 1 / 3, a, b)


class Matmul(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b


class Gram(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ x.transpose(-1, -2)


class Gaussian(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-x.square())


class Logarithm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(1 + x * x)


class Root(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x**2 + 1)


class Inverse(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.rsqrt(x * x + 0.5)


class Absolute(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


class Cube(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.1 * x**3


class Part(nn.Module):
    """Some of an axis."""

    def __init__(self, axis: int, start: int, stop: int, step: int) -> None:
        super().__init__()
        self.axis, self.places = axis, slice(start, stop, step)

    def forward(self, x: Tensor) -> Tensor:
        return x[(slice(None),) * self.axis + (self.places,)]


class Repeat(nn.Module):
    def __init__(self, *counts: int) -> None:
        super().__init__()
        self.counts = counts

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(self.counts)


class Roll(nn.Module):
    def __init__(self, shift: int, axis: int) -> None:
        super().__init__()
        self.shift, self.axis = shift, axis

    def forward(self, x: Tensor) -> Tensor:
        return x.roll(self.shift, self.axis)


class Flip(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(self.axis)


class Largest(nn.Module):
    def __init__(self, axis: int, keepdim: bool) -> None:
        super().__init__()
        self.axis, self.keepdim = axis, keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(self.axis, self.keepdim)


class Attend(nn.Module):
    """Rows of the one look at rows of the other."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(a, b, b)


class SelfAttention(nn.Module):
    """Four projections and several heads, as people write it out."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if self.causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), float("-inf"))
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Recurrent(nn.Module):
    """A recurrent layer: its outputs at all steps, or at the last one."""

    def __init__(self, kind: str, inputs: int, units: int, last: bool, **settings: bool) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(inputs, units, batch_first=True, **settings)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(x)[0]
        return y[:, -1] if self.last else y


class View(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.shape)


class Permute(nn.Module):
    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)


class Mean(nn.Module):
    def __init__(self, *axes: int, keepdim: bool = False) -> None:
        super().__init__()
        self.axes, self.keepdim = axes, keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes, keepdim=self.keepdim)


class Plus(nn.Module):
    """A learned constant, added."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.value


class Times(nn.Module):
    """A learned constant, multiplied by."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.value


class Affine(nn.Module):
    """Fixed numbers: shift + factor · x."""

    def __init__(self, factor: float, shift: float) -> None:
        super().__init__()
        self.factor, self.shift = factor, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.shift + x * self.factor


class Without(nn.Module):
    """A fixed tensor, taken away."""

    centre: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.centre
