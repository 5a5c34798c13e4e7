"""A float network beside what became of it in int8: noise layer by layer, bytes, and accuracy on labelled samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from micrograft.api import Progress, freeze, host, predict
from micrograft.codegen.artifact import Library
from micrograft.codegen.weights import tables
from micrograft.ir.graph import Graph, Port, identity
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.precision import Quantized
from micrograft.report.record import QuantizationRecord
from micrograft.samples import Samples, check_inputs, check_targets


def compare(
    graph: Graph, quantized: Quantized, judge: Samples | None = None, progress: Progress | None = None
) -> QuantizationRecord:
    """What a float network loses in int8: noise by layer and, on labelled samples, accuracy. Raises MicrograftError."""
    before, after = freeze(graph), freeze(quantized.graph)
    noise = quantized.noise()
    sizes = [sum(value.type.bytes for value, _, _ in tables(each).values()) for each in (before, after)]
    record = QuantizationRecord(tuple(noise), len(quantized.samples), *sizes)
    if judge is None or judge.y is None:
        return record
    *rows, classes = before.output.value.shape
    labels = Port(Value("labels", TensorType(tuple(rows), DType.INT32)), identity(len(rows)))
    x = check_inputs(judge.x, before.input)
    y = check_targets(judge.y, labels, classes, len(x))
    found = [_classes(before, x, progress), _classes(after, check_inputs(judge.x, after.input), progress)]
    shares = [float(np.mean(each == y)) for each in found]
    return replace(
        record, judged=len(x), accuracy_float32=shares[0], accuracy_int8=shares[1],
        same_class=float(np.mean(found[0] == found[1])),
    )  # fmt: skip


def _classes(library: Library, x: Array, progress: Progress | None) -> Array:
    """The class of the largest logit in each row of the output: (samples, *rows)."""
    with host(library) as runner:
        answers = predict(runner, x, progress)
    port = library.output
    return np.stack([port.from_user(each.reshape(port.user_shape)).argmax(axis=-1) for each in answers])
