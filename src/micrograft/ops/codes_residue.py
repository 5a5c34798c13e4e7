"""codes_sgd_residue: plain SGD on int8 codes that keeps, in a byte for each, what of its steps was less than a code.

code + residue/256 moves by the step of `codes_sgd`, rounded at random to a 256th: sixteen bits in effect, of which the
network reads the upper eight, rounded to nearest. The noise of rounding to whole codes is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from micrograft.ir.graph import Node
from micrograft.ir.types import DType, TensorType
from micrograft.ops.codes_optimizers import CODES_SGD, CodesSgdAttrs, codes_call, sgd_steps
from micrograft.ops.cost import Cost
from micrograft.ops.operator import Arrays, KernelCall, Operator, Sample, Types, require

RESIDUE = 5
"""Which input the residues are."""


def _infer(attrs: CodesSgdAttrs, types: Types) -> Types:
    before, residue = types[:RESIDUE], types[RESIDUE]
    (codes,) = CODES_SGD.infer(attrs, (*before, *types[RESIDUE + 1 :]))
    require(codes.dtype is DType.INT8, f"the codes are {codes.dtype.value}, not int8")
    require(residue == TensorType(codes.shape, DType.INT8), f"the residue is {residue}")
    return codes, residue


def _evaluate(attrs: CodesSgdAttrs, arrays: Arrays) -> Arrays:
    codes, residue = arrays[0].astype(np.int64), arrays[RESIDUE].astype(np.int64)
    steps, random = sgd_steps(attrs, (*arrays[:RESIDUE], *arrays[RESIDUE + 1 :])), arrays[4]
    moved = 256 * codes + residue - attrs.whole(steps * 256, random)
    moved = np.clip(moved, 256 * attrs.low, 256 * attrs.high + 127)
    found = (moved + 128) >> 8
    return found.astype(np.int8), (moved - 256 * found).astype(np.int8)


def _call(node: Node) -> tuple[KernelCall, ...]:
    assert isinstance(node.attrs, CodesSgdAttrs)
    return codes_call("sgd_residue", node, ("weight_decay", float(node.attrs.weight_decay)), state=node.inputs[RESIDUE])


def _samples() -> Iterator[Sample]:
    generator = np.random.default_rng(5)
    for sample in CODES_SGD.samples():
        codes, *others = sample.inputs
        if codes.dtype == np.int8:
            residue = generator.integers(-128, 128, codes.shape).astype(np.int8)
            yield Sample((codes, *others[: RESIDUE - 1], residue, *others[RESIDUE - 1 :]), sample.attrs)


CODES_SGD_RESIDUE = Operator(
    name="codes_sgd_residue",
    inputs=("codes", "gradient", "learning_rate", "scales", "random", "residue", "scale?"),
    outputs=("codes", "residue"),
    infer=_infer,
    evaluate=_evaluate,
    samples=_samples,
    kernels={DType.INT8: _call},
    mutates=((0, 0), (1, RESIDUE)),
    macs=lambda node: node.inputs[0].type.size,
    cost=Cost(output=77),
)
