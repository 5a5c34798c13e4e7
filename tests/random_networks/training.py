"""What PyTorch makes of a case: autograd and torch.optim, adapters as a reparametrisation of the user's weights.

It says on its own which tensors a method trains, so that it is no echo of what our code chose.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import Clip
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method, matches
from micrograft.spec import parse_clip, parse_methods, parse_optimizer
from tests.random_networks.case import Case, Network
from tests.torch_training import make_optimizer

UPDATES = 5
_ACTIVATIONS = {"cross_entropy": "Softmax(1)", "bce": "Sigmoid()"}
"""The activation that a loss on logits brings itself."""


@dataclass(frozen=True, eq=False)
class Run:
    """losses: of every step. start, end: the trained tensors by their names. answer: of the network, untrained."""

    losses: Array
    start: Mapping[str, Array]
    end: Mapping[str, Array]
    answer: Array

    @property
    def tensors(self) -> dict[str, Array]:
        """What two runs are compared by: the losses, and how far each tensor has moved."""
        return {"loss": self.losses} | {name: self.end[name] - self.start[name] for name in self.end}


def first_names(module: nn.Module) -> dict[str, str]:
    """Every name of a parameter to the first name of the same tensor."""
    first: dict[int, str] = {}
    named = module.named_parameters(remove_duplicate=False)
    return {name: first.setdefault(id(tensor), name) for name, tensor in named}


def trained_names(case: Case, module: Network) -> set[str] | None:
    """What the case's methods train, adapters included; None where one of them finds nothing to train.

    A learned constant may count as a bias, where it ends up as one: it is not named here.
    """
    methods = parse_methods(case.methods)
    first = first_names(module)
    layers = list(dict.fromkeys(module.names[index] for index in reversed(module.alive)))[::-1]  # by their last run
    found: set[str] = set()
    for method in methods:
        if not method.adds:
            own = _own(method.name, layers, first)
            if not own and method.name != "bias":
                return None
            found |= own
    adapters: set[str] = set()
    for method in methods:
        if method.adds:
            weights = {part: name for layer in layers for part, name in linear_weights(module, layer).items()}
            adapted = [part for part, name in weights.items() if _adapts(method, module, part, name, first, found)]
            if not adapted:
                return None
            adapters |= {f"{name}.{part}" for name in adapted for part in _parts(method)}
    return found | adapters


def _own(method: str, layers: Sequence[str], first: Mapping[str, str]) -> set[str]:
    """The user's own tensors that a method trains."""
    if method in ("full", "bias"):
        own = {name for name in first if name.partition(".")[0] in layers}
        return {first[name] for name in own if method == "full" or "bias" in name.rpartition(".")[2]}
    weighted = [layer for layer in layers if f"{layer}.weight" in first and not layer.startswith("prelu")]
    return {first[name] for name in first if weighted and name.rpartition(".")[0] == weighted[-1]}


def linear_weights(module: nn.Module, layer: str) -> dict[str, str]:
    """Each linear map or convolution of a layer to the name of its weight; a packed or recurrent layer has several."""
    found = {}
    for path, part in module.get_submodule(layer).named_modules(prefix=layer):
        if isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            found[path] = f"{path}.weight"
        elif isinstance(part, nn.MultiheadAttention):
            found[f"{path}.in_proj"] = f"{path}.in_proj_weight"
        elif isinstance(part, nn.RNNBase):
            own = [name for name, _ in part.named_parameters() if name.startswith("weight_ih")]
            found |= {f"{path}.{name}": f"{path}.{name}" for name in own}
    return found


def bias_of(weight: str) -> str:
    """The name of the bias beside a weight."""
    layer, _, own = weight.rpartition(".")
    return f"{layer}.{own.replace('weight', 'bias')}"


def _adapts(method: Method, module: nn.Module, layer: str, weight: str, first: Mapping[str, str], trained: set[str]
            ) -> bool:  # fmt: skip
    if first[weight] in trained:
        return False
    assert isinstance(method, (LoRA, IA3))
    part = module.get_submodule(layer) if weight == f"{layer}.weight" else module
    ungrouped = getattr(part, "groups", 1) == 1
    return matches(layer, method.targets) and (ungrouped or isinstance(method, IA3))


def _parts(method: Method) -> tuple[str, ...]:
    if isinstance(method, LoRA):
        return ("lora_B.weight",) if method.freeze_a else ("lora_A.weight", "lora_B.weight")
    return ("ia3_l",)


class Training:
    """Trains a copy of a network. initial: what adapters and trained tensors start from, by name."""

    def __init__(
        self, case: Case, module: Network, initial: Mapping[str, Array], moving: set[str], dtype: torch.dtype
    ) -> None:
        self._case = case
        self._module = copy.deepcopy(module).to(dtype)
        self._first = first_names(module)
        self._dtype = dtype
        self._tensors = {name: torch.tensor(data, dtype=dtype) for name, data in initial.items()}
        self._moving = {name: self._tensors[name].requires_grad_() for name in sorted(moving)}
        layers = {part: name for layer in module.names for part, name in linear_weights(module, layer).items()}
        self._layers = {weight: part for part, weight in layers.items()}
        self._biased = {bias_of(weight): part for part, weight in layers.items()}
        self._lora = next((method for method in parse_methods(case.methods) if isinstance(method, LoRA)), None)

    def run(self, samples: Sequence[tuple[Array, Array]]) -> Run:
        """One step for each sample, an update at every `accumulate`-th."""
        start = self._snapshot()
        with torch.no_grad():
            answer = functional_call(self._module, self._weights(), self._input(samples[0][0]), tie_weights=False)
        optimizer = make_optimizer(parse_optimizer(self._case.optimizer), list(self._moving.values()))
        losses = []
        for index, (x, target) in enumerate(samples, start=1):
            loss = self._loss(x, target)
            (loss / self._case.accumulate).backward()
            losses.append(float(loss.detach()))
            if index % self._case.accumulate == 0:
                self._clip(parse_clip(self._case.clip))
                optimizer.step()
                optimizer.zero_grad()
        return Run(np.array(losses), start, self._snapshot(), answer.numpy())

    def _input(self, x: Array) -> tuple[Tensor]:
        return (torch.tensor(x, dtype=self._dtype),)

    def _snapshot(self) -> dict[str, Array]:
        return {name: tensor.detach().numpy().copy() for name, tensor in self._moving.items()}

    def _clip(self, clip: Clip | None) -> None:
        if clip is not None:
            every = list(self._moving.values())
            for group in [every] if clip.scope == "global" else [[tensor] for tensor in every]:
                nn.utils.clip_grad_norm_(group, clip.norm)

    def _weights(self) -> dict[str, Tensor]:
        """All parameters under all their names, trained ones put in and adapters worked in."""
        own = dict(self._module.named_parameters(remove_duplicate=False))
        found = {name: self._tensors.get(self._first[name], own[name].detach()) for name in own}
        for name, weight in found.items():
            layer = self._layers.get(name) or self._biased.get(name, "")
            if name in self._layers and f"{layer}.lora_B.weight" in self._tensors:
                found[name] = weight = weight + self._detour(layer, weight)
            if f"{layer}.ia3_l" in self._tensors:
                factor = self._tensors[f"{layer}.ia3_l"].reshape(-1, *(1 for _ in weight.shape[1:]))
                found[name] = weight * factor
        return found

    def _detour(self, layer: str, weight: Tensor) -> Tensor:
        """alpha/rank · B·A in the shape of the weight."""
        assert self._lora is not None
        a, b = self._tensors[f"{layer}.lora_A.weight"], self._tensors[f"{layer}.lora_B.weight"]
        rank = self._lora.rank
        factor = (rank if self._lora.alpha is None else self._lora.alpha) / rank
        return factor * (b.reshape(-1, rank) @ a.reshape(rank, -1)).reshape(weight.shape)

    def _loss(self, x: Array, target: Array) -> Tensor:
        """The loss of one sample, on the logits where the network ends in the loss's own activation."""
        case = self._case
        self._module.shown = case.calls[-1].inputs[0] if _ACTIVATIONS.get(case.loss) == case.calls[-1].layer else -1
        y = functional_call(self._module, self._weights(), self._input(x), tie_weights=False)
        if case.loss == "cross_entropy":
            y = y.movedim(1, -1) if case.calls[-1].layer.startswith("Conv") else y
            return F.cross_entropy(y.reshape(-1, y.shape[-1]), torch.tensor(target).reshape(-1).long())
        aim = torch.tensor(target, dtype=self._dtype)
        return F.mse_loss(y, aim) if case.loss == "mse" else F.binary_cross_entropy_with_logits(y, aim)
