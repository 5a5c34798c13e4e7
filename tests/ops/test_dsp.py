"""Kernels that have a way of their own on cores with DSP instructions take it here, the instructions being plain C."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from micrograft.codegen.runtime import runtime_files
from micrograft.ir.graph import Node
from micrograft.ops import operators
from micrograft.ops.operator import Sample
from micrograft.toolchain.build import RUNTIME, build_library
from tests.ops.c_kernels import Kernels, node_of


def _functions(node: Node) -> list[str]:
    return [call.function for call in operators()[node.op].kernels[node.outputs[0].dtype](node)]


def _nodes() -> Iterator[tuple[Node, Sample]]:
    """Each sample whose kernels include mg_dsp.h."""
    for operator in operators().values():
        for sample in operator.samples() if operator.kernels else ():
            node = node_of(operator.name, sample.attrs, sample.inputs)
            if "mg_dsp.h" in runtime_files(_functions(node)):
                yield node, sample


def test_the_ways_give_the_same_bits(kernels: Kernels, tmp_path: Path) -> None:
    """A kernel gives the same bits with DSP instructions and without a float unit, and has no undefined behaviour."""
    found = list(_nodes())
    assert {node.op for node, _ in found} >= {"quantized_conv", "quantized_depthwise_conv", "quantized_linear"}
    names = runtime_files(function for node, _ in found for function in _functions(node))
    files = [RUNTIME / "kernels" / name for name in names if name.endswith(".c")]
    out = tmp_path / "dsp.so"
    defines = ["MG_DSP=1", "MG_FLOAT_UNIT=0"]
    with_dsp = Kernels(build_library(files, [], out, strict=True, sanitize=True, defines=defines))
    for node, sample in found:
        mutates = operators()[node.op].mutates
        expected, given = (which.run(node, sample.inputs, mutates)[0] for which in (kernels, with_dsp))
        for one, other in zip(expected, given, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"{node.op} {sample.attrs}")
