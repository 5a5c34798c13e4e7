"""The same training in PyTorch: autograd, torch.optim, and the adapters as a reparametrisation of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call

from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD, Adam, AdamW, Clip, Optimizer
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method

LOSSES = {
    "cross_entropy": lambda y, target: F.cross_entropy(y.reshape(-1, y.shape[-1]), target.reshape(-1).long()),
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy_with_logits,
}


def make_optimizer(optimizer: Optimizer, tensors: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
    """torch.optim's counterpart."""
    if isinstance(optimizer, SGD):
        return torch.optim.SGD(tensors, optimizer.lr, momentum=optimizer.momentum, weight_decay=optimizer.weight_decay)
    assert isinstance(optimizer, Adam)
    kind = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
    return kind(
        tensors,
        optimizer.lr,
        (optimizer.beta1, optimizer.beta2),
        optimizer.eps,
        optimizer.weight_decay,
    )


def wide(x: Array) -> torch.Tensor:
    """A sample as the module takes it in float64; tokens stay whole numbers."""
    return torch.from_numpy(x) if x.dtype.kind == "i" else torch.from_numpy(x).double()


class TorchTraining:
    """Trains the tensors in `initial` (by the user's names, adapters included) of a module in eval mode."""

    def __init__(self, module: torch.nn.Module, initial: Mapping[str, Array], methods: Sequence[Method]) -> None:
        self.module = module.eval().double()
        self.tensors = {
            name: torch.from_numpy(np.array(data)).double().requires_grad_() for name, data in initial.items()
        }
        self._lora = next((method for method in methods if isinstance(method, LoRA)), None)

    def weights(self) -> dict[str, torch.Tensor]:
        """The module's own parameters, with what is trained put in and the adapters worked in."""
        found = {name: tensor.detach() for name, tensor in self.module.named_parameters()}
        found |= {name: tensor for name, tensor in self.tensors.items() if name in found}
        for name, tensor in self.tensors.items():
            layer, _, kind = name.rpartition(".")
            if kind == "ia3_l":
                weight, bias = f"{layer}.weight", f"{layer}.bias"
                factor = tensor.reshape(-1, *(1 for _ in found[weight].shape[1:]))
                found[weight] = found[weight] * factor
                if bias in found:
                    found[bias] = found[bias] * tensor.reshape(-1)
            elif kind == "chosen":
                axis = [a == b for a, b in zip(tensor.shape, found[layer].shape, strict=True)].index(False)
                found[layer] = found[layer].index_copy(axis, self.tensors[f"{layer}.channels"].long(), tensor)
            elif name.endswith(".lora_B.weight"):
                layer = name.removesuffix(".lora_B.weight")
                assert self._lora is not None
                rank = tensor.shape[1]
                a = self.tensors[f"{layer}.lora_A.weight"]
                factor = (self._lora.alpha or rank) / rank
                weight = next(name for name in (f"{layer}.weight", f"{layer}_weight", layer) if name in found)
                change = tensor.reshape(-1, rank) @ a.reshape(rank, -1)
                found[weight] = found[weight] + factor * change.reshape(found[weight].shape)
        return found

    def loss(self, x: Array, target: Array, loss: str) -> torch.Tensor:
        y = functional_call(self.module, self.weights(), (wide(x),))
        aim = torch.from_numpy(target)
        return LOSSES[loss](y, aim if loss == "cross_entropy" else aim.double())

    def run(
        self,
        samples: Sequence[tuple[Array, Array]],
        optimizer: Optimizer,
        loss: str,
        clip: Clip | None,
        accumulate: int = 1,
        frozen: Sequence[str] = (),
    ) -> list[float]:
        """One step per sample; the losses. frozen: adapter tensors that do not move (LoRA-FA's A)."""
        moving = [tensor for name, tensor in self.tensors.items() if name not in frozen]
        torch_optimizer = make_optimizer(optimizer, moving)
        losses = []
        for index, (x, target) in enumerate(samples):
            value = self.loss(x, target, loss)
            (value / accumulate).backward()
            losses.append(float(value.detach()))
            if (index + 1) % accumulate == 0:
                if clip is not None:
                    groups = [moving] if clip.scope == "global" else [[tensor] for tensor in moving]
                    for group in groups:
                        torch.nn.utils.clip_grad_norm_(group, clip.norm)
                torch_optimizer.step()
                torch_optimizer.zero_grad()
        return losses

    def parameters(self) -> dict[str, Array]:
        return {name: tensor.detach().numpy() for name, tensor in self.tensors.items()}
