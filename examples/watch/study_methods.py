"""Which way of adapting to a new person works best on the watch data, and with which settings?

    python examples/watch/study_methods.py        # about 15 minutes; trains ten base networks first

Each person in turn is new: a base network is trained on the other nine, then adapted sample by sample (batch 1, plain
SGD, in the order of `watch.split_person`) and tested on the person's later windows. Tuning is fair: for each method
and way of clipping the learning rate is the one with the best mean accuracy over the nine people other than the
demo's, and is then applied to the demo person. LoRA's A is drawn with the variance 1 / (fan-in · mean square of the
layer's input), measured on the first windows that the person learns from.
"""

import copy
import itertools
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from train_base import WatchNet, accuracy, base_without

from micrograft.demo import watch

LEARNING_RATES = (0.01, 0.03, 0.1)
CLIPS = ("none", "global", "per tensor")
EPOCHS = 4
SEEDS = (0, 1, 2, 3, 4)  # of LoRA's A, for the spread on the demo person
CALIBRATION = 14  # windows to learn from, one of each recording, that also tell the scale of the layers' inputs


@dataclass(frozen=True)
class Person:
    """A new person: the base network that has never seen them, each layer's mean square input, their windows."""

    number: int
    base: WatchNet
    mean_squares: dict[str, float]
    learn: watch.Windows
    test: watch.Windows


@dataclass(frozen=True)
class Settings:
    """How to take a step. A gradient is scaled down to norm 1 when longer: all together, or each tensor alone."""

    learning_rate: float
    clip: str
    epochs: int = EPOCHS


Method = Callable[[Person, int], nn.Module]
"""Takes a person and a seed; returns a copy of the base network in which just the right tensors are trainable."""


class LowRank(nn.Module):
    """W + alpha/rank · B A, for a convolution's or a linear layer's weight W: (out, in, ...)."""

    def __init__(self, weight: Tensor, rank: int, alpha: float, mean_square: float) -> None:
        super().__init__()
        fan_in = weight[0].numel()
        self.a = nn.Parameter(torch.randn(rank, fan_in) / math.sqrt(fan_in * mean_square))
        self.b = nn.Parameter(torch.zeros(len(weight), rank))
        self.scale = alpha / rank

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.b @ self.a).view_as(weight)


def chosen(*endings: str) -> Method:
    """Train the parameters whose names end so."""

    def prepare(person: Person, seed: int) -> nn.Module:
        network: nn.Module = copy.deepcopy(person.base)
        for name, parameter in network.named_parameters():
            parameter.requires_grad = name.endswith(endings)
        return network

    return prepare


def lora(rank: int, alpha: float, freeze_a: bool = False, head: bool = False) -> Method:
    """Train low-rank changes of every layer; with `head`, the head itself instead of a change of it."""

    def prepare(person: Person, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        network = chosen("head.weight", "head.bias")(person, seed) if head else chosen("nothing")(person, seed)
        for name, mean_square in person.mean_squares.items():
            if head and name == "head":
                continue
            change = LowRank(network.get_parameter(f"{name}.weight"), rank, alpha, mean_square)
            change.a.requires_grad = not freeze_a
            parametrize.register_parametrization(network.get_submodule(name), "weight", change)
        return network

    return prepare


METHODS: dict[str, Method] = {
    "head-only": chosen("head.weight", "head.bias"),
    "bias-only": chosen("bias"),
    "LoRA rank 4, alpha 4": lora(4, 4),
    "LoRA rank 4, alpha 8": lora(4, 8),
    "LoRA-FA rank 4, alpha 4": lora(4, 4, freeze_a=True),
    "LoRA rank 4, alpha 4 + head": lora(4, 4, head=True),
    "full": chosen("weight", "bias"),
}


def adapt(network: nn.Module, learn: watch.Windows, settings: Settings) -> None:
    """Take one step of plain SGD per window, in the given order, in place."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    x, y = torch.from_numpy(learn.x), torch.from_numpy(learn.y)
    for _, row in itertools.product(range(settings.epochs), range(len(y))):
        loss = F.cross_entropy(network(x[row : row + 1]), y[row : row + 1])
        gradients = torch.autograd.grad(loss, trainable)
        norms = [float(gradient.norm()) for gradient in gradients]
        together = math.hypot(*norms)
        with torch.no_grad():
            for parameter, gradient, alone in zip(trainable, gradients, norms, strict=True):
                norm = {"none": 1.0, "global": together, "per tensor": alone}[settings.clip]
                parameter.sub_(gradient, alpha=settings.learning_rate / max(1.0, norm))


def adapted_accuracy(person: Person, method: Method, settings: Settings, seed: int = 0) -> float:
    """Accuracy on the person's later windows after learning from the early ones."""
    network = method(person, seed)
    adapt(network, person.learn, settings)
    return accuracy(network, person.test)


def mean_accuracy(people: list[Person], method: Method, settings: Settings) -> float:
    """The mean over people of `adapted_accuracy`."""
    return statistics.mean(adapted_accuracy(person, method, settings) for person in people)


@torch.no_grad()
def mean_squares(network: WatchNet, windows: Tensor) -> dict[str, float]:
    """The mean square of what enters each layer with weights, by the layer's name."""
    observed = copy.deepcopy(network)
    found: dict[str, float] = {}
    for name, layer in observed.named_modules():
        if isinstance(layer, nn.Conv1d | nn.Linear):
            layer.register_forward_pre_hook(
                lambda _, inputs, name=name: found.update({name: float(inputs[0].square().mean())})
            )
    observed(windows)
    return found


def meet(recordings: tuple[watch.Recording, ...], number: int) -> Person:
    """Train the base network without this person, and keep the person's windows aside."""
    base = base_without(recordings, number)
    learn, test = watch.split_person(recordings, number)
    return Person(number, base, mean_squares(base, torch.from_numpy(learn.x[:CALIBRATION])), learn, test)


def main() -> None:
    torch.set_num_threads(1)
    recordings = watch.load_recordings()
    everyone = [meet(recordings, number) for number in watch.people(recordings)]
    demo = next(person for person in everyone if person.number == watch.DEMO_PERSON)
    others = [person for person in everyone if person is not demo]
    before = statistics.mean(accuracy(person.base, person.test) for person in others)
    print(f"before: {before:.1%} (mean of nine), {accuracy(demo.base, demo.test):.1%} (demo person)")
    for name, method in METHODS.items():
        print(f"\n{name}: mean accuracy of nine people after {EPOCHS} epochs")
        for clip in CLIPS:
            means = {rate: mean_accuracy(others, method, Settings(rate, clip)) for rate in LEARNING_RATES}
            best = max(LEARNING_RATES, key=lambda rate: means[rate])
            after = [adapted_accuracy(demo, method, Settings(best, clip), seed) for seed in SEEDS]
            row = "  ".join(f"{rate:g}: {mean:.1%}" for rate, mean in means.items())
            print(f"  clip {clip:10}  {row}  demo person at {best:g}: {min(after):.1%} to {max(after):.1%}", flush=True)


if __name__ == "__main__":
    main()
