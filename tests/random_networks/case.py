"""A case: a network, how it is trained, and the seed of all its numbers, as plain data that can be printed and run.

`cases()` is the hypothesis strategy that draws them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.random_networks import modules
from tests.random_networks.blocks import BLOCKS, Block, Pick, Shape, broadcasts, elements, text

LARGEST = 700
"""Elements that a tensor may have, so that a case takes milliseconds."""


def _text(one: object) -> str:
    """How a dataclass is written, without what is as usual."""
    parts = [
        repr(getattr(one, field.name)) if field.default is MISSING else f"{field.name}={getattr(one, field.name)!r}"
        for field in fields(one)  # type: ignore[arg-type]  # a dataclass
        if getattr(one, field.name) != field.default
    ]
    return f"{type(one).__name__}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class Call:
    """A layer that runs. inputs: of what, 0 being the network's input and i + 1 the result of call i.

    again: the call whose layer this is, run once more; `layer` then says nothing. tied: the call of another layer
    whose weight this one shares.
    """

    layer: str
    inputs: tuple[int, ...]
    again: int | None = None
    tied: int | None = None
    __repr__ = _text


@dataclass(frozen=True, repr=False)
class Case:
    """All that a run needs. methods, optimizer, clip: in the words of the command line."""

    shape: Shape
    calls: tuple[Call, ...]
    loss: str = "mse"
    methods: str = "full"
    optimizer: str = "sgd"
    clip: str = "none"
    accumulate: int = 1
    exporter: str = "torch"
    calibrated: bool = False
    seed: int = 0
    __repr__ = _text


class Network(nn.Module):
    """The network of a case; its layers are called by their kind and the number of their call."""

    def __init__(self, calls: Sequence[Call]) -> None:
        super().__init__()
        self.calls = tuple(calls)
        self.names: list[str] = []
        self.shown = -1  # which result is the output
        for index, call in enumerate(self.calls):
            if call.again is not None:
                self.names.append(self.names[call.again])
                continue
            layer = make(call.layer)
            if call.tied is not None:
                layer.weight = self.layer(call.tied).weight
            self.names.append(f"{re.split(r'[^a-z0-9]', call.layer.lower())[0]}_{index}")
            self.add_module(self.names[-1], layer)

    def layer(self, index: int) -> nn.Module:
        """The layer of a call."""
        return self.get_submodule(self.names[index])

    def forward(self, x: Tensor) -> Tensor:
        return self.results(x)[self.shown]

    def results(self, x: Tensor) -> list[Tensor]:
        """The input and the result of every call."""
        found = [x]
        for index, call in enumerate(self.calls):
            found.append(self.layer(index)(*(found[position] for position in call.inputs)))
        return found

    @property
    def alive(self) -> list[int]:
        """The calls that the output depends on."""
        needed = {len(self.calls)}
        for position in range(len(self.calls), 0, -1):
            if position in needed:
                needed.update(self.calls[position - 1].inputs)
        return sorted(position - 1 for position in needed if position > 0)


def make(layer: str) -> nn.Module:
    """The layer that a text names."""
    names = {**vars(nn), **vars(modules)}
    module: nn.Module = eval(layer, {"__builtins__": {}}, names)  # our own text, from blocks.py
    return module


def network(case: Case) -> Network:
    """The case's network in evaluation mode, float32: tensors of about unit size, statistics like trained ones."""
    torch.manual_seed(case.seed)
    module = Network(case.calls)
    for name, tensor in module.named_parameters():
        if tensor.dim() > 1 and name.endswith("weight"):
            nn.init.normal_(tensor, 0.0, 1.2 / elements(tuple(tensor.shape[1:])) ** 0.5)
        else:
            nn.init.normal_(tensor, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.4)
    for name, tensor in module.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(tensor, 0.5, 2.0)
        elif tensor.is_floating_point():
            nn.init.normal_(tensor, 0.0, 0.5)
    return module.eval()


def result_shape(layer: nn.Module, shapes: Sequence[Shape]) -> Shape | None:
    """The shape that a layer gives; None where it refuses these inputs, gives more than a case should hold, or gives
    what is not finite: the largest of nothing, where a window lies wholly in the padding."""
    try:
        with torch.no_grad():
            result = layer.eval()(*map(torch.zeros, shapes))
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None
    shape = tuple(result.shape)
    if not result.isfinite().all():
        return None
    return shape if shape and shape[0] == 1 and 0 < elements(shape) <= LARGEST and 2 <= len(shape) <= 4 else None


INPUTS: Sequence[Shape] = (
    (1, 5), (1, 12), (1, 3, 7), (1, 4, 12), (1, 9, 5), (1, 1, 16),
    (1, 2, 5, 5), (1, 3, 6, 4), (1, 1, 8, 7), (1, 5, 4, 4), (1, 4, 6, 6), (1, 3, 1, 9),
)  # fmt: skip
METHODS = (
    "full", "full", "head", "bias", "lora", "lora", "ia3", "lora+head", "head+bias", "ia3+head", "lora+bias",
    "lora+ia3", "lora+ia3+bias+head",
)  # fmt: skip
ALONE = ("full", "head", "lora", "ia3", "lora+ia3")
OPTIMIZERS = (
    "sgd:lr=0.03", "sgd:lr=0.03,weight_decay=0.02", "sgd:lr=0.01,momentum=0.9",
    "sgd:lr=0.01,momentum=0.8,weight_decay=0.05", "adam:lr=0.01", "adam:lr=0.003,beta1=0.8,weight_decay=0.02",
    "adamw:lr=0.01", "adamw:lr=0.003,beta2=0.95,eps=1e-06,weight_decay=0.1",
)  # fmt: skip
CLIPS = ("none", "none", "1", "0.1", "tensor:1", "tensor:0.1")
WEIGHTED = ("Conv", "Linear", "BatchNorm")
COMPOSED = ("Recurrent", "SelfAttention", "TransformerEncoderLayer")
"""Layers of several weights: none is a head, and ONNX has other names and orders for some of them."""

SIMPLE = ("Conv1d", "Conv2d", "Linear")
EXPORTERS = ("torch",) * 8 + ("onnx",)


def draw_cases(pick: Pick, count: int) -> list[Case]:
    """Networks of one to a dozen layers with branches, joins, shared tensors, layers that run twice, tied weights.

    count: how many ways to train the one network.
    """
    sketch = _Sketch(pick)
    for _ in range(pick(*range(1, 13))):
        sketch.step()
    sketch.finish()
    shape, calls, exporter, seed = sketch.shapes[0], tuple(sketch.calls), sketch.exporter(), pick(*range(1000))
    return [
        Case(
            shape, calls, sketch.loss(), sketch.methods(), pick(*OPTIMIZERS), pick(*CLIPS), pick(1, 1, 2, 3), exporter,
            pick(False, True), seed,
        )
        for _ in range(count)
    ]  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """The same as a strategy, which reduces a failing case to a small one."""
    return draw_cases(lambda *options: draw(st.sampled_from(options)), 1)[0]


def random_cases(seed: int, count: int) -> list[Case]:
    """The cases of a number, drawn evenly: one network, trained in so many ways."""
    generator = random.Random(seed)
    return draw_cases(lambda *options: generator.choice(options), count)


class _Sketch:
    """A network while it is drawn, with the shape of every result."""

    def __init__(self, pick: Pick) -> None:
        self._pick = pick
        self.shapes: list[Shape] = [pick(*INPUTS)]
        self.calls: list[Call] = []

    def step(self) -> None:
        """One more layer, mostly behind the last one, now and then behind any other."""
        last = len(self.shapes) - 1
        position = self._pick(last, last, last, *range(len(self.shapes)))
        shape = self.shapes[position]
        kinds = [block for block in BLOCKS if len(shape) in block.ranks for _ in range(block.weight)]
        again = [i for i, call in enumerate(self.calls) if call.again is None and call.layer.startswith(WEIGHTED)]
        chosen = self._pick(*(again if again and self._pick(False, False, False, False, True) else kinds))
        if not isinstance(chosen, Block):
            layer = self.calls[chosen].layer
            tied = layer.startswith(("Conv", "Linear")) and self._pick(False, False, True)
            self._append(Call(layer, (position,), **{"tied" if tied else "again": chosen}))
        elif chosen.partners is None:
            self._append(Call(chosen.make(self._pick, shape), (position,)))
        else:
            others = [i for i, other in enumerate(self.shapes) if chosen.partners(shape, other)]
            if not others:
                return
            partner = self._pick(*others)
            pair = self._pick((position, partner), (partner, position))
            layer = chosen.make(self._pick, *(self.shapes[i] for i in pair))
            self._append(Call(layer, pair))

    def _append(self, call: Call) -> None:
        """Keep the call if its layer takes what it gets."""
        shape = result_shape(make(call.layer), [self.shapes[position] for position in call.inputs])
        if shape is not None:
            self.calls.append(call)
            self.shapes.append(shape)

    def finish(self) -> None:
        """A skip connection where one fits, then a head, and perhaps an activation behind it."""
        last = len(self.shapes) - 1
        same = [i for i in range(last) if broadcasts(self.shapes[last], self.shapes[i]) and i]
        if same and self._pick(False, True):
            self._append(Call("Add()", (last, self._pick(*same))))
        if self._pick(True, True, False) or not self._weighted() or self._ends_composed():
            if len(self.shapes[-1]) > 2:
                pool = [f"AdaptiveAvgPool{len(self.shapes[-1]) - 2}d(1)"] if self._pick(False, True) else []
                for layer in (*pool, "Flatten(1)"):
                    self._append(Call(layer, (len(self.shapes) - 1,)))
            self._append(Call(text("Linear", self.shapes[-1][-1], self._pick(3, 2, 5, 8)), (len(self.shapes) - 1,)))
        activation = self._pick(None, None, None, "Softmax(1)", "Sigmoid()")
        if activation is not None:
            self._append(Call(activation, (len(self.shapes) - 1,)))

    def loss(self) -> str:
        """A loss that the output can have: classes where a layer gives them, or rows of features do."""
        ends = self.calls[-1].layer.startswith(("Conv", "Linear"))
        classes = [*(["cross_entropy"] * 2 if len(self.shapes[-1]) == 2 or ends else [])]
        return self._pick("mse", "bce", *classes)

    def _weighted(self) -> list[str]:
        """The names of the linear layers and convolutions that the output depends on."""
        sketch = Network(self.calls)
        alive = [index for index in sketch.alive if self.calls[index].layer.startswith(SIMPLE)]
        return list(dict.fromkeys(sketch.names[index] for index in alive))

    def _ends_composed(self) -> bool:
        """Whether the last layer with a weight that the output depends on has several."""
        sketch = Network(self.calls)
        layers = [self.calls[index].layer for index in sketch.alive if list(sketch.layer(index).parameters())]
        return layers[-1].startswith(COMPOSED) if layers else False

    def methods(self) -> str:
        """Methods with their settings, in the words of the command line."""
        weighted = self._weighted()
        parts = []
        for method in self._pick(*(METHODS if len(weighted) > 1 else ALONE)).split("+"):
            settings = []
            if method in ("lora", "ia3"):
                targets = self._pick("", "", "", "", "*_*", "linear*|conv*", *weighted)
                settings += [f"targets={targets}"] if targets else []
            if method == "lora":
                settings += [f"rank={self._pick(1, 2, 3, 4, 5)}", *self._pick([], ["alpha=3"], ["alpha=0.5"])]
                settings += self._pick([], [], ["freeze_a=true"])
            parts.append(f"{method}:{','.join(settings)}" if settings else method)
        return "+".join(parts)

    def exporter(self) -> str:
        """ONNX has one name for tied weights and knows no fixed tensors, so it is told of networks without them."""
        unknown = ("Without", "RMSNorm", *COMPOSED)  # the second its exporter does not write
        known = all(call.tied is None and not call.layer.startswith(unknown) for call in self.calls)
        return self._pick(*EXPORTERS) if known else "torch"
