"""Transformers as PyTorch users write them: a vision transformer, a plain encoder, and one with odd parts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Packed queries, keys and values, as timm has them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, rows, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, rows, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, rows, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, ratio * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions; 356,938 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 96, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 96) * 0.1)
        self.position = nn.Parameter(torch.randn(1, 17, 96) * 0.1)
        self.blocks = nn.Sequential(*(Block(96, 3, 4) for _ in range(3)))
        self.norm = nn.LayerNorm(96)
        self.head = nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class CompactTransformer(nn.Module):
    """A convolutional stem instead of patches, and a learned mean of all tokens (arXiv:2104.05704)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()
        )
        self.position = nn.Parameter(torch.randn(1, 16, 32) * 0.1)
        self.blocks = nn.Sequential(Block(32, 2, 2), Block(32, 2, 2))
        self.norm = nn.LayerNorm(32)
        self.pool = nn.Linear(32, 1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(-2, -1) + self.position
        x = self.norm(self.blocks(x))
        x = torch.matmul(F.softmax(self.pool(x), dim=1).transpose(-1, -2), x).squeeze(-2)
        return self.head(x)


class Encoder(nn.Module):
    """PyTorch's own layers, the mean of all tokens and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.position = nn.Parameter(torch.randn(1, 12, 16) * 0.1)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x) + self.position).mean(1))


class Causal(nn.Module):
    """Separate projections, fewer heads of keys than of queries, a causal and a banded mask, RMS norm, silu."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.norm = nn.RMSNorm(16)
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 8), nn.Linear(16, 8)
        self.o = nn.Linear(16, 16, bias=False)
        self.gate, self.up, self.down = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 16)
        self.register_buffer("band", torch.ones(12, 12).tril().triu(-3).bool())
        self.head = nn.Linear(16, 5)

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (layer(x).unflatten(2, (-1, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=True)
        return self.o(y.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.attend(self.norm(x), None)
        x = x + self.attend(self.norm(x), self.band)
        x = x + self.down(F.silu(self.gate(x)) * self.up(x))
        return self.head(x[:, -1])


class Masked(nn.Module):
    """One of PyTorch's layers with a mask: causal, true where a key is hidden, or added to the scores."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        causal = nn.Transformer.generate_square_subsequent_mask(6)
        masks = {"causal": causal, "hidden": causal.roll(2, 1) < 0, "added": causal + torch.randn(6, 6)}
        self.register_buffer("mask", masks[kind])

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, src_mask=self.mask)


class Words(nn.Module):
    """Tokens in: a table of words, one of positions, and the last layers."""

    def __init__(self) -> None:
        super().__init__()
        self.word = nn.Embedding(20, 8)
        self.place = nn.Embedding(6, 8)
        self.block = Block(8, 2, 2)
        self.head = nn.Linear(8, 5)
        self.register_buffer("places", torch.arange(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.word(x) + self.place(self.places)).mean(1))


SHAPES: dict[type[nn.Module], tuple[int, ...]] = {
    VisionTransformer: (1, 3, 32, 32),
    CompactTransformer: (1, 3, 32, 32),
    Encoder: (1, 12, 6),
    Causal: (1, 12, 6),
}


def make(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """The network with parameters that no exporter takes for one another."""
    torch.manual_seed(seed)
    module = kind()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape) * 0.05)
            elif "TransformerEncoder" in str(module):
                parameter.add_(torch.randn(parameter.shape) * 0.02)
    return module.eval()
