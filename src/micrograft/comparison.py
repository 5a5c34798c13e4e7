"""A float network beside what became of it in int8: noise layer by layer, bytes, and accuracy on labelled samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from micrograft.api import Progress, freeze, host, predict
from micrograft.codegen.weights import tables
from micrograft.ir.graph import Graph, Port
from micrograft.ir.types import DType, TensorType, Value
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
    classes = before.output.value.shape[-1]
    label = Port(Value("label", TensorType((1,), DType.INT32)), (0,))
    x = check_inputs(judge.x, before.input)
    y = check_targets(judge.y, label, classes, len(x)).ravel()
    found = []
    for library, samples in ((before, x), (after, check_inputs(judge.x, after.input))):
        with host(library) as runner:
            found.append(predict(runner, samples, progress).reshape(len(x), classes).argmax(axis=-1))
    shares = [float(np.mean(each == y)) for each in found]
    return replace(
        record, judged=len(x), accuracy_float32=shares[0], accuracy_int8=shares[1],
        same_class=float(np.mean(found[0] == found[1])),
    )  # fmt: skip
