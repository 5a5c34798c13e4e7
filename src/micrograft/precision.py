"""A float network in int8: calibrate or train, draw, fuse; and what that costs layer by layer.

What came of it depends on the network and the ranges of its activations alone, so that an adapter's record can bring
the same int8 network back from the model file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array, DType
from micrograft.passes.fold_batch_norm import fold_batch_norm
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.passes.prune import prune
from micrograft.passes.recognize_means import recognize_means
from micrograft.passes.separate_channels import separate_channels
from micrograft.passes.separate_phases import separate_phases
from micrograft.quantization.calibrate import Progress, calibrate
from micrograft.quantization.noise import LayerNoise, layer_noise
from micrograft.quantization.observers import MinMax, Observer, Ranges
from micrograft.quantization.quantize import quantize as draw
from micrograft.quantization.scheme import scheme, with_room
from micrograft.reference import Inputs
from micrograft.samples import check_inputs

if TYPE_CHECKING:
    from micrograft.quantization.training import Augment, Loss
    from micrograft.quantization.training import Progress as TrainingProgress

CALIBRATION_SAMPLES = 128
"""How many samples the ranges are taken from, evenly spread over those given."""

NOISE_SAMPLES = 16
"""How many the noise of each layer is measured on."""


@dataclass(frozen=True, eq=False)
class Quantized:
    """graph: the int8 network. floats: the float one with its batch norms folded. drawn: real numbers between codes.

    ranges: of the activations. samples: the calibration samples, as `reference.run` takes them.
    """

    graph: Graph
    floats: Graph
    drawn: Graph
    ranges: Ranges
    samples: Sequence[Inputs] = ()

    def noise(self) -> list[LayerNoise]:
        """Signal-to-noise ratios layer by layer, over a few of the calibration samples."""
        few = spread(len(self.samples), NOISE_SAMPLES)
        return layer_noise(self.floats, self.drawn, self.graph, [self.samples[index] for index in few])


def quantize(
    graph: Graph, samples: Array, *, observer: Observer | None = None, progress: Progress | None = None
) -> Quantized:
    """Post-training quantization: int8 weights per channel and activations per tensor, int32 biases.

    samples: (n, *input shape) in the network's own layout, real ones; their activations give the ranges, by min-max
    unless `observer` says otherwise. The streams of reversible blocks get one range, from which nothing is cut off, and
    sums that wrap, so that training rebuilds the very codes. Raises MicrograftError where the network is int8 already,
    has no layer that could be, or the samples do not fit it.
    """
    floats = _floats(graph)
    x = check_inputs(samples, floats.inputs[0], "calibration samples")
    port = floats.inputs[0]
    chosen = [[port.from_user(x[index])] for index in spread(len(x), CALIBRATION_SAMPLES)]
    plan = scheme(floats)
    ranges = plan.ranges(calibrate(floats, chosen, plan.observed, observer or MinMax(), progress))
    if plan.streams:
        everything = plan.ranges(calibrate(floats, chosen, plan.observed, MinMax()))
        ranges = {**ranges, **with_room(plan, everything)}
    return replace(_coded(floats, ranges), samples=chosen)


def quantize_in_training(
    graph: Graph,
    x: Array,
    y: Array,
    *,
    epochs: int = 5,
    batch: int = 32,
    lr: float = 1e-3,
    loss: str | Loss | None = None,
    observer: Observer | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    progress: TrainingProgress | None = None,
) -> Quantized:
    """Quantization-aware training on this computer, in PyTorch: weights and ranges learn on the grid that the C uses.

    x, y: (n, *input shape) in the network's own layout and their targets; x gives the ranges to start from too. loss:
    "cross_entropy" for class indices, "mse" or "bce" for numbers, or a function of logits and targets (tensors, a batch
    of them in our layout); None picks the first for integers and the second for others. augment: takes a batch and a
    generator to a batch. Raises MicrograftError as `quantize` does, and where the loss stops being finite.
    """
    from micrograft.quantization.training import Schedule, train

    start = quantize(graph, x, observer=observer)
    samples, targets = check_inputs(x, start.floats.inputs[0]), np.asarray(y)
    if len(targets) != len(samples):
        raise MicrograftError(f"there are {len(targets)} targets for {len(samples)} samples", where="y")
    kind = loss or ("cross_entropy" if np.issubdtype(targets.dtype, np.integer) else "mse")
    targets = targets.astype(np.int64 if np.issubdtype(targets.dtype, np.integer) else np.float32)
    classes = start.floats.outputs[0].value.shape[-1]
    if kind == "cross_entropy" and not (targets.min() >= 0 and targets.max() < classes):
        raise MicrograftError(f"labels reach from {targets.min()} to {targets.max()}, and there are {classes} classes")
    schedule = Schedule(epochs, batch, lr, seed)
    floats, ranges = train(
        start.floats, start.ranges, samples, targets, schedule, kind, augment=augment, progress=progress
    )
    return replace(_coded(floats, _held(floats, ranges, start.samples)), samples=start.samples)


def quantize_as(graph: Graph, ranges: Ranges) -> Graph:
    """The int8 network of ranges that are known. Raises MicrograftError where they are another network's."""
    floats = _floats(graph)
    missing = [name for name in scheme(floats).measured if name not in ranges]
    if missing:
        raise MicrograftError(f"the ranges are another network's: {missing[0]} has none", where=graph.name)
    return _coded(floats, ranges).graph


def spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices, evenly over `count`.

    >>> spread(10, 3), spread(2, 5)
    ([0, 4, 9], [0, 1])
    """
    return sorted({int(index) for index in np.linspace(0, count - 1, min(count, wanted))})


def _floats(graph: Graph) -> Graph:
    """The network as it is quantized. Raises MicrograftError where it cannot be."""
    if any(value.dtype is DType.INT8 for value in graph.values):
        raise MicrograftError("the network is int8 already", where=graph.name, fix="take it as it is")
    if len(graph.inputs) != 1:
        raise MicrograftError(f"a network of {len(graph.inputs)} inputs cannot be calibrated", where=graph.name)
    floats = prune(fold_batch_norm(separate_channels(separate_phases(fold_batch_norm(recognize_means(graph))))))
    if not scheme(floats).order:
        raise MicrograftError("the network has no layer with an int8 operator", where=graph.name)
    return floats


def _held(floats: Graph, ranges: Ranges, samples: Sequence[Inputs]) -> Ranges:
    """The ranges, those of streams as wide as what the network now makes of the samples, with room."""
    plan = scheme(floats)
    if not plan.streams:
        return ranges
    seen = with_room(plan, plan.ranges(calibrate(floats, samples, plan.observed, MinMax())))
    wider = {name: (min(ranges[name][0], low), max(ranges[name][1], high)) for name, (low, high) in seen.items()}
    return {**ranges, **wider}


def _coded(floats: Graph, ranges: Ranges) -> Quantized:
    drawn = draw(floats, ranges)
    return Quantized(fuse_quantization(drawn, scheme(floats).wrapping), floats, drawn, ranges)
