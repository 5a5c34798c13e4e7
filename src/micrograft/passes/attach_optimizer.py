"""Optimizers as nodes of the graph: each trainable parameter gets one that updates it where it lies.

Because an update is an ordinary node, the scheduler can run it as soon as the gradient exists, and the
gradient's buffer dies there. Clipping by the global norm is the exception: it reads all gradients first.

Of a parameter of codes (an int8 weight, an int32 bias) the gradient is first made that of the real numbers that the
codes stand for. Clipping, accumulation, momentum, moments and weight decay are of real numbers, as for any other
parameter; the update alone knows of codes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Attrs, Block, Param, Phase, State, TrainStep, param_of
from micrograft.ir.types import Array, DType, Quantization, Shape, TensorType, Value
from micrograft.ops import check
from micrograft.ops.block import SCALE, BlockAddAttrs, short_factor
from micrograft.ops.block_elements import BlockDequantizeAttrs
from micrograft.ops.block_update import BlockSgdAttrs, BlockSquareSumAttrs, paces, square_weights
from micrograft.ops.builder import Builder
from micrograft.ops.codes_optimizers import CodesAdamAttrs, CodesMomentumAttrs, CodesSgdAttrs
from micrograft.ops.codes_update import RANGES, Layout, RealGradientAttrs, hashed
from micrograft.ops.optimizers import (
    AccumulateAttrs,
    AdamAttrs,
    AdamRateAttrs,
    ClipScaleAttrs,
    SgdAttrs,
    SgdMomentumAttrs,
)

LEARNING_RATE = "learning_rate"


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent as `torch.optim.SGD`: w ← w − lr·(g + weight_decay·w), g through momentum.

    With momentum μ > 0 the optimizer holds one float32 per trained parameter: v ← μ·v + g (of codes whose gradients are
    integers: one int16). qas: quantization-aware
    scaling of what is trained as codes (arXiv:2206.15472); without it codes are treated as if they were the weights.
    residue: keep for each int8 weight what its steps left of a code, in one byte; without momentum alone.
    """

    name: ClassVar[str] = "sgd"
    lr: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    qas: bool = True
    residue: bool = False

    @property
    def floats_per_parameter(self) -> int:
        """float32 numbers of optimizer state for each trained parameter."""
        return 1 if self.momentum else 0


@dataclass(frozen=True)
class Adam:
    """Adam (arXiv:1412.6980) as `torch.optim.Adam`; two float32 of state for each trained parameter. qas: see SGD."""

    name: ClassVar[str] = "adam"
    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    qas: bool = True

    @property
    def decoupled(self) -> bool:
        """Whether weight decay acts on the weight alone, not through the gradient."""
        return False

    @property
    def floats_per_parameter(self) -> int:
        """float32 numbers of optimizer state for each trained parameter."""
        return 2


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (arXiv:1711.05101) as `torch.optim.AdamW`."""

    name: ClassVar[str] = "adamw"
    weight_decay: float = 0.01

    @property
    def decoupled(self) -> bool:
        return True


Optimizer = SGD | Adam
OPTIMIZERS: tuple[type[SGD] | type[Adam], ...] = (SGD, Adam, AdamW)


@dataclass(frozen=True)
class Clip:
    """Gradient clipping: a gradient longer than `norm` is scaled down to it.

    scope "tensor": each parameter's gradient by its own norm, which lets each update run at once. scope "global":
    all gradients as one vector, as `torch.nn.utils.clip_grad_norm_`; they must all be alive at once.
    """

    norm: float = 1.0
    scope: Literal["tensor", "global"] = "tensor"


def attach_optimizer(
    step: TrainStep, optimizer: Optimizer, clip: Clip | None = None, accumulate: int = 1, seed: int = 0
) -> TrainStep:
    """Append update nodes for every gradient of `step`.

    accumulate: gradients are averaged over so many samples before each update; that costs one float32 of state
    for each trained parameter. seed: of the rounding of codes. Raises MicrograftError on a setting out of range.
    """
    _check_settings(optimizer, clip, accumulate)
    attach = _Attach(step, seed, optimizer.qas, _reads_blocks(optimizer))
    rate = attach.state(LEARNING_RATE, (), optimizer.lr)
    gradients = {param.name: attach.gradient(param, step) for param in step.graph.trainable}
    sums = {name: attach.accumulated(name, each, accumulate) for name, each in gradients.items() if accumulate > 1}
    gradients |= sums
    scales = attach.clip(step.graph.trainable, gradients, clip)
    if isinstance(optimizer, Adam):
        rate = attach.adam_rate(rate, optimizer)
    for param in step.graph.trainable:
        scale = scales.get(param.name)
        attach.update(param, optimizer, gradients[param.name], rate, () if scale is None else (scale,))
    for param in step.graph.trainable if accumulate > 1 else ():
        total = sums[param.name]
        attach.node("clear", (total.codes if isinstance(total, Block) else total,), origin=param.source)
    params = (*step.graph.params, *attach.tables.values())
    graph = replace(step.graph, params=params, nodes=(*step.graph.nodes, *attach.builder.nodes))
    states = (*attach.states, *step.states)
    check(graph, "attach_optimizer", [state.value for state in states])
    return replace(step, graph=graph, states=states, accumulate=accumulate)


def _check_settings(optimizer: Optimizer, clip: Clip | None, accumulate: int) -> None:
    largest = float(np.finfo(np.float32).max)
    for name, word in (("lr", "learning rate"), ("weight_decay", "weight decay"), ("eps", "eps")):
        if not 0 <= (value := getattr(optimizer, name, 0.0)) <= largest:
            raise MicrograftError(f"The {word} {value} is not a finite number of at least 0.")
    for name in ("momentum", "beta1", "beta2"):
        if not 0 <= (value := getattr(optimizer, name, 0.0)) < 1:
            raise MicrograftError(f"The optimizer's {name} {value} is not a number from 0 to below 1.")
    if isinstance(optimizer, SGD) and optimizer.residue and optimizer.momentum:
        raise MicrograftError("residue goes with plain SGD, without momentum.")
    if clip is not None and not clip.norm > 0:
        raise MicrograftError(f"The clipping norm {clip.norm} is not above 0; write `none` to switch clipping off.")
    if accumulate < 1:
        raise MicrograftError(f"Gradients cannot be accumulated over {accumulate} samples; use 1 or more.")


def _reads_blocks(optimizer: Optimizer) -> bool:
    """Whether updates of codes take gradients in integers as they are: SGD's, with momentum or without."""
    return isinstance(optimizer, SGD) and not (optimizer.weight_decay or optimizer.residue)


class _Attach:
    """Collects the update nodes, the states that they need, and their tables: scales of codes and what follows."""

    def __init__(self, step: TrainStep, seed: int, qas: bool, reads_blocks: bool) -> None:
        states = (state.name for state in step.states)
        self.builder = Builder((*states, *(value.name for value in step.graph.values)))
        self.states: list[State] = []
        self.tables: dict[tuple[str, bytes], Param] = {}
        self._sources = {param.name: param.source for param in step.graph.params}
        self._seed = seed
        self._qas = qas
        self._reads_blocks = reads_blocks
        self._random: Value | None = None

    def state(
        self, name: str, shape: Shape, initial: float = 0.0, owner: str = "", dtype: DType = DType.FLOAT32
    ) -> Value:
        value = Value(self.builder.unique(name), TensorType(shape, dtype))
        self.states.append(State(value, np.full(shape, initial, dtype.numpy), owner))
        return value

    def node(
        self,
        op: str,
        inputs: Sequence[Value],
        attrs: Attrs | None = None,
        *,
        origin: str,
        outputs: int = 1,
        phase: Phase = Phase.UPDATE,
    ) -> Value:
        names = [f"{inputs[0].name}_{op}"] * outputs
        return self.builder.add_all(op, inputs, attrs, origin=origin, names=names, phase=phase)[0]

    def gradient(self, param: Param, step: TrainStep) -> Value | Block:
        """The gradient of the real numbers that a parameter holds or, as codes, stands for; a block is of the codes."""
        block = step.blocks.get(param.name)
        if block is None:
            return self._real_gradient(param, step.gradients[param.name])
        if self._reads_blocks and param.value.type.quant is not None:
            return block
        attrs = BlockDequantizeAttrs(block.unit)
        inputs = (block.codes, block.scale)
        real = self.node("block_dequantize", inputs, attrs, origin=param.source, phase=Phase.BACKWARD)
        return self._real_gradient(param, real)

    def _real_gradient(self, param: Param, gradient: Value) -> Value:
        if param.value.type.quant is None or not self._qas:
            return gradient
        layout, scales = self._scales_of(param)
        table, attrs = self._table(f"{param.name}_scales", scales), RealGradientAttrs(layout)
        return self.node("real_gradient", (gradient, table), attrs, origin=param.source, phase=Phase.BACKWARD)

    def _scales_of(self, param: Param) -> tuple[Layout, Array]:
        """Where the scales of a parameter of codes apply, and the scales; without scaling, ones."""
        quant = param.value.type.quant if self._qas else Quantization((1.0,), (0,))
        assert quant is not None, "codes have a meaning"
        return Layout(quant.axis), np.asarray(quant.scales, np.float32)

    def _table(self, wish: str, data: Array) -> Value:
        """A table in flash; tensors that need the same one share it."""
        key = (str(data.dtype), data.tobytes())
        if key not in self.tables:
            self.tables[key] = param_of(self.builder.unique(wish), data, learnable=False)
        return self.tables[key].value

    def _random_state(self) -> Value:
        """The random state of this update, moved on once for all tensors."""
        if self._random is None:
            start = hashed(np.array([self._seed & 0xFFFFFFFF], np.uint32)).astype(np.int32)
            state = self.state("random", (), int(start[0]), dtype=DType.INT32)
            self._random = self.node("next_random", (state,), origin="random")
        return self._random

    def accumulated(self, name: str, gradient: Value | Block, count: int) -> Value | Block:
        """The mean gradient over `count` samples; the node that adds to it runs at every sample."""
        if isinstance(gradient, Block):
            mean = BlockAddAttrs(short_factor(1.0), short_factor(1.0 / count))
            return self._added(f"{name}_accumulated", name, gradient, mean, Phase.BACKWARD)
        total = self.state(f"{name}_accumulated", gradient.shape, owner=name)
        attrs = AccumulateAttrs(weight=1.0 / count)
        return self.node("accumulate", (total, gradient), attrs, origin=self._sources[name], phase=Phase.BACKWARD)

    def _added(
        self, name: str, owner: str, gradient: Block, attrs: BlockAddAttrs, phase: Phase, scale: tuple[Value, ...] = ()
    ) -> Block:
        """A sum in integers that outlives the step, after a gradient, times the scale, is added."""
        total = self.state(name, gradient.codes.shape, owner=owner, dtype=DType.INT16)
        exponent = self.state(f"{name}_scale", SCALE.shape, dtype=DType.INT32)
        inputs = (total, exponent, gradient.codes, gradient.scale, *scale)
        names = [f"{total.name}_sum", f"{total.name}_sum_scale"]
        codes, changed = self.builder.add_all(
            "block_accumulate", inputs, attrs, origin=self._sources[owner], names=names, phase=phase
        )
        return Block(codes, changed, gradient.unit)

    def clip(
        self, trainable: Sequence[Param], gradients: Mapping[str, Value | Block], clip: Clip | None
    ) -> dict[str, Value]:
        """Name of a parameter to the factor on its gradient."""
        if clip is None:
            return {}
        attrs = ClipScaleAttrs(norm=clip.norm)
        if clip.scope == "tensor":
            return {
                param.name: self.node(
                    "clip_scale", (self._square_sum(param, gradients[param.name]),), attrs, origin=param.source
                )
                for param in trainable
            }
        total: tuple[Value, ...] = ()
        for param in trainable:
            total = (self._square_sum(param, gradients[param.name], *total),)
        scale = self.node("clip_scale", total, attrs, origin="clip")
        return dict.fromkeys(gradients, scale)

    def _square_sum(self, param: Param, gradient: Value | Block, *previous: Value) -> Value:
        """The sum of the squares of a real-valued gradient, added to that of others."""
        if isinstance(gradient, Value):
            return self.node("square_sum", (gradient, *previous), origin=param.source)
        layout, scales = self._scales_of(param)
        weights, exponent = square_weights(gradient.unit, scales)
        inputs = (gradient.codes, gradient.scale, self._table(f"{param.name}_square_weights", weights))
        attrs = BlockSquareSumAttrs(layout, exponent)
        total = self.node("block_square_sum", inputs, attrs, origin=param.source)
        return self.node("add", (total, *previous), origin=param.source) if previous else total

    def adam_rate(self, rate: Value, optimizer: Adam) -> Value:
        """The step sizes of this update, bias corrections included."""
        corrections = self.state("adam_corrections", (2,))
        attrs = AdamRateAttrs(optimizer.beta1, optimizer.beta2)
        return self.node("adam_rate", (rate, corrections), attrs, origin="adam", outputs=2)

    def update(
        self, param: Param, optimizer: Optimizer, gradient: Value | Block, rate: Value, scale: tuple[Value, ...]
    ) -> None:
        """The node that moves one parameter."""
        weight = param.value
        if isinstance(gradient, Block):
            if isinstance(optimizer, SGD) and optimizer.momentum:
                attrs = BlockAddAttrs(short_factor(optimizer.momentum), short_factor(1.0))
                name = f"{param.name}_momentum"
                gradient, scale = self._added(name, param.name, gradient, attrs, Phase.UPDATE, scale), ()
            self._update_by_block(param, gradient, rate, scale)
            return
        if weight.type.quant is not None:
            self._update_codes(param, optimizer, gradient, rate, scale)
            return
        if isinstance(optimizer, Adam):
            moments = self.state(f"{param.name}_moments", (2, *weight.shape), owner=param.name)
            adam = AdamAttrs(
                optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.weight_decay, optimizer.decoupled
            )
            self.node("adam", (weight, gradient, rate, moments, *scale), adam, origin=param.source, outputs=2)
        elif optimizer.momentum:
            momentum = self.state(f"{param.name}_momentum", weight.shape, owner=param.name)
            sgd = SgdMomentumAttrs(optimizer.momentum, optimizer.weight_decay)
            inputs = (weight, gradient, rate, momentum, *scale)
            self.node("sgd_momentum", inputs, sgd, origin=param.source, outputs=2)
        else:
            plain = SgdAttrs(optimizer.weight_decay)
            self.node("sgd", (weight, gradient, rate, *scale), plain, origin=param.source)

    def _base(self, param: Param) -> tuple[Layout, int, int, int]:
        """What every update of codes is told: where scales apply, the ends of the codes, the stream of random words."""
        low, high = RANGES[param.value.dtype]
        low, high = min(low, int(param.data.min())), max(high, int(param.data.max()))
        return self._scales_of(param)[0], low, high, zlib.crc32(param.source.encode()) >> 1

    def _update_by_block(self, param: Param, gradient: Block, rate: Value, scale: tuple[Value, ...]) -> None:
        """The node that moves one parameter of codes in integers."""
        table = self._table(f"{param.name}_paces", paces(gradient.unit, self._scales_of(param)[1]))
        inputs = (param.value, gradient.codes, gradient.scale, rate, table, self._random_state(), *scale)
        self.node("block_sgd", inputs, BlockSgdAttrs(*self._base(param)), origin=param.source)

    def _update_codes(
        self, param: Param, optimizer: Optimizer, gradient: Value, rate: Value, scale: tuple[Value, ...]
    ) -> None:
        """The node that moves one parameter of codes."""
        codes = param.value
        _, scales = self._scales_of(param)
        base = self._base(param)
        inputs = (codes, gradient, rate, self._table(f"{param.name}_scales", scales), self._random_state())
        if isinstance(optimizer, Adam):
            moments = self.state(f"{param.name}_moments", (2, *codes.shape), owner=param.name)
            adam = CodesAdamAttrs(
                *base, optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.weight_decay, optimizer.decoupled
            )
            self.node("codes_adam", (*inputs, moments, *scale), adam, origin=param.source, outputs=2)
            return
        if optimizer.momentum:
            velocity = self.state(f"{param.name}_momentum", codes.shape, owner=param.name)
            momentum = CodesMomentumAttrs(*base, optimizer.momentum, optimizer.weight_decay)
            self.node("codes_sgd_momentum", (*inputs, velocity, *scale), momentum, origin=param.source, outputs=2)
            return
        plain = CodesSgdAttrs(*base, optimizer.weight_decay)
        if optimizer.residue and codes.dtype is DType.INT8:
            residue = self.state(f"{param.name}_residue", codes.shape, owner=param.name, dtype=DType.INT8)
            self.node("codes_sgd_residue", (*inputs, residue, *scale), plain, origin=param.source, outputs=2)
        else:
            self.node("codes_sgd", (*inputs, *scale), plain, origin=param.source)
