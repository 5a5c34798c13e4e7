"""Runs the node tests that ship inside the onnx wheel through import, C on this computer, and comparison.

A node test is one operator with its inputs and outputs. It becomes networks as a person would bring them: one float
input comes from outside, the others are constants; each in its turn, and all of them from outside at once. The one
from outside arrives with a batch of 1 in front, which a Reshape takes away, so that operators see the test's own
shapes. A test passes if every output of it is computed right, and is WRONG as soon as any network is accepted and
computes something else, or fails with anything but a refusal.

    python benchmarks/onnx_node_tests.py [part of a test's name] [processes, 2 unless told otherwise]
"""

from __future__ import annotations

import enum
import multiprocessing
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

import micrograft.frontends.onnx  # noqa: F401 -- it imports all handlers
from micrograft import api
from micrograft.codegen.artifact import Artifact
from micrograft.codegen.emit import emit
from micrograft.errors import MicrograftError
from micrograft.frontends.onnx_operators import HANDLERS
from micrograft.toolchain.build import build_library
from micrograft.toolchain.host import HostLibrary
from micrograft.toolchain.runner import Runner

Array = npt.NDArray[Any]
OUTSIDE = "outside"


class Outcome(enum.Enum):
    """What became of a test."""

    PASSED = "passed"
    REFUSED = "refused"
    WRONG = "WRONG"


@dataclass(frozen=True, eq=False)
class Case:
    """A node test. inputs, outputs: None for what is no tensor (a sequence, an optional)."""

    name: str
    model: Any
    inputs: tuple[Array | None, ...]
    outputs: tuple[Array | None, ...]
    rtol: float
    atol: float

    @property
    def operators(self) -> tuple[str, ...]:
        """The kinds of its nodes, with their domain where it is not ONNX's own."""
        return tuple(dict.fromkeys(".".join(filter(None, (n.domain, n.op_type))) for n in self.model.graph.node))

    @property
    def is_float(self) -> bool:
        """Whether all that it computes with is float32: the tests that a float network can be asked to pass.

        The first input, which is the data, and every output are; inputs of integers are indices, axes and shapes.
        """
        if None in (*map(_kind, self.inputs), *map(_kind, self.outputs)) or not self.inputs:
            return False
        numbers = [each for each in self.inputs if each is not None and each.dtype.kind not in "iub"]
        every = [self.inputs[0], *numbers, *self.outputs]
        return all(each is not None and each.dtype == np.float32 for each in every)

    @property
    def is_claimed(self) -> bool:
        """Whether it is a float test, of static shapes, of operators that the ONNX frontend claims."""
        static = all(each.size for each in (*self.inputs, *self.outputs) if each is not None)
        return self.is_float and static and all(each in HANDLERS for each in self.operators)


@dataclass(frozen=True, eq=False)
class Trial:
    """One network made of a case: its file, what goes in, and what must come out."""

    case: Case
    path: Path
    x: Array
    wanted: Array
    output: int


@dataclass(frozen=True)
class Result:
    """What became of one case, and why it did not pass."""

    name: str
    operators: tuple[str, ...]
    outcome: Outcome
    why: str
    is_float: bool
    is_claimed: bool


def node_cases(part: str = "") -> list[Case]:
    """All node tests of the installed onnx whose name contains `part`; the random ones always the same."""
    from onnx.backend.test.loader import load_model_tests

    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some tests overflow or divide by zero on purpose
        tests = load_model_tests(kind="node")
    return [
        Case(test.name, test.model, _tensors(inputs), _tensors(outputs), test.rtol, test.atol)
        for test in sorted(tests, key=lambda test: test.name)
        for inputs, outputs in test.data_sets
        if part in test.name
    ]


def run_cases(cases: Sequence[Case], folder: Path) -> list[Result]:
    """Import, compile (all networks into one library) and run the cases; `folder` is scratch, made here."""
    folder.mkdir(parents=True, exist_ok=True)
    reasons: dict[str, list[tuple[Trial | None, Outcome, str]]] = {case.name: [] for case in cases}
    accepted: list[tuple[Trial, Artifact]] = []
    for case in cases:
        for trial in _trials(case, folder):
            try:
                library = api.freeze(api.load(trial.path), f"network_{len(accepted)}")
                accepted.append((trial, emit(library, folder / "library")))
            except MicrograftError as error:
                reasons[case.name].append((trial, Outcome.REFUSED, str(error)))
            except Exception as error:  # whatever it is, it should have been a refusal
                reasons[case.name].append((trial, Outcome.WRONG, f"{type(error).__name__}: {error}"))
    for trial, artifact, path in _built(accepted, folder):
        reasons[trial.case.name].append((trial, *_compared(trial, artifact, path)))
    return [_result(case, reasons[case.name]) for case in cases]


def _kind(array: Array | None) -> str | None:
    return None if array is None else array.dtype.kind


def _tensors(values: Iterable[Any]) -> tuple[Array | None, ...]:
    return tuple(np.asarray(each) if isinstance(each, (np.ndarray, np.generic)) else None for each in values)


def _trials(case: Case, folder: Path) -> Iterator[Trial]:
    """The networks of a case: each float input from outside, then all of them, for each output."""
    names = [port.name for port in case.model.graph.input]
    given = dict(zip(names, case.inputs, strict=False))
    arrays = {name: array for name, array in given.items() if array is not None}
    floats = [name for name, array in arrays.items() if array.dtype == np.float32 and array.size]
    if len(arrays) < len(given):
        return
    choices = [[name] for name in floats] + ([floats] if len(floats) > 1 else [])
    for index, wanted in enumerate(case.outputs):
        for chosen in choices:
            if wanted is not None:
                path = folder / f"{case.name}.{index}.{'_'.join(chosen)[:80]}.onnx"
                onnx.save(_network(case.model, arrays, chosen, index), path)
                x = np.concatenate([arrays[name].reshape(-1) for name in chosen])
                x = x.reshape(1, *arrays[chosen[0]].shape) if len(chosen) == 1 else x[None]
                yield Trial(case, path, x, wanted, index)


def _network(model: Any, arrays: dict[str, Array], chosen: Sequence[str], output: int) -> Any:
    """The model with the chosen inputs from outside, as one, and the others as constants."""
    network = type(model)()
    network.CopyFrom(model)
    graph = network.graph
    shapes = {name: arrays[name].shape for name in chosen}
    size = [sum(arrays[name].size for name in chosen)] if len(chosen) > 1 else shapes[chosen[0]]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(OUTSIDE, TensorProto.FLOAT, [1, *size]))
    kept = graph.output[output]
    del graph.output[:]
    graph.output.append(kept)
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items() if name not in chosen)
    parts = [f"{OUTSIDE}_{name}" for name in chosen] if len(chosen) > 1 else [OUTSIDE]
    nodes = [_reshape(part, name, shapes[name], graph) for part, name in zip(parts, chosen, strict=True)]
    if len(chosen) > 1:
        lengths = np.array([arrays[name].size for name in chosen])
        graph.initializer.append(numpy_helper.from_array(lengths, f"{OUTSIDE}_lengths"))
        nodes.insert(0, helper.make_node("Split", [OUTSIDE, f"{OUTSIDE}_lengths"], parts, axis=1))
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    return network


def _reshape(source: str, name: str, shape: Sequence[int], graph: Any) -> Any:
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"{OUTSIDE}_shape_{name}"))
    return helper.make_node("Reshape", [source, f"{OUTSIDE}_shape_{name}"], [name])


def _built(accepted: Sequence[tuple[Trial, Artifact]], folder: Path) -> Iterator[tuple[Trial, Artifact, Path]]:
    """All libraries compiled as one: they share their folder, and so their kernels."""
    if not accepted:
        return
    files = sorted({file for _, artifact in accepted for file in (*artifact.sources, *artifact.kernels)})
    path = build_library(files, [], folder / "networks.so", optimize="-O1")
    for trial, artifact in accepted:
        yield trial, artifact, path


def _compared(trial: Trial, artifact: Artifact, path: Path) -> tuple[Outcome, str]:
    """Runs a network, and compares as onnx's own runner does."""
    got = Runner(artifact, HostLibrary(path)).predict(trial.x)
    wanted = trial.wanted
    if got.shape != wanted.shape or got.dtype.kind != wanted.dtype.kind:  # indices are int32 in C, int64 in ONNX
        return Outcome.WRONG, f"gives {got.dtype}{got.shape}, not {wanted.dtype}{wanted.shape}"
    if np.allclose(got, wanted, trial.case.rtol, trial.case.atol, equal_nan=True):
        return Outcome.PASSED, ""
    with np.errstate(invalid="ignore"):
        return Outcome.WRONG, f"is off by up to {np.nanmax(np.abs(got - wanted)):.3g} ({trial.path.stem})"


def _result(case: Case, reasons: Sequence[tuple[Trial | None, Outcome, str]]) -> Result:
    result = Result(case.name, case.operators, Outcome.REFUSED, "it has no float32 input", case.is_float,
                    case.is_claimed)  # fmt: skip
    wrong = [why for _, outcome, why in reasons if outcome is Outcome.WRONG]
    if wrong:
        return replace(result, outcome=Outcome.WRONG, why=wrong[0])
    passed = {trial.output for trial, outcome, _ in reasons if outcome is Outcome.PASSED and trial is not None}
    if passed and len(passed) == len(case.outputs):
        return replace(result, outcome=Outcome.PASSED, why="")
    missing = [why for trial, _, why in reasons if trial is not None and trial.output not in passed]
    return replace(result, why=missing[0] if missing else result.why)


def share_passed(results: Sequence[Result]) -> float:
    """Of the claimed tests, the share that passes."""
    claimed = [each for each in results if each.is_claimed]
    return sum(each.outcome is Outcome.PASSED for each in claimed) / max(1, len(claimed))


def report(results: Sequence[Result]) -> str:
    """The counts, and one line for each test that is wrong or is claimed and refused."""
    rows = {
        "all": results,
        "float": [r for r in results if r.is_float],
        "claimed": [r for r in results if r.is_claimed],
    }
    lines = [f"{'tests':<10}{'all':>8}{'passed':>10}{'refused':>10}{'WRONG':>10}"]
    for title, chosen in rows.items():
        counts = [sum(each.outcome is outcome for each in chosen) for outcome in Outcome]
        lines.append(f"{title:<10}{len(chosen):>8}" + "".join(f"{count:>10}" for count in counts))
    lines.append(f"of the claimed ones {100 * share_passed(results):.1f} % pass")
    lines += [f"{each.outcome.value} {each.name}: {each.why}" for each in results if each.outcome is Outcome.WRONG]
    lines += [
        f"{each.outcome.value} {each.name}: {each.why}"
        for each in results
        if each.is_claimed and each.outcome is Outcome.REFUSED
    ]
    return "\n".join(lines)


def run_in_processes(part: str, jobs: int) -> list[Result]:
    """The tests whose name contains `part`, shared among so many processes; each of them draws its own."""
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        shares = pool.starmap(_run_share, [(part, index, jobs) for index in range(jobs)])
    return sorted((result for share in shares for result in share), key=lambda result: result.name)


def _run_share(part: str, index: int, count: int) -> list[Result]:
    with tempfile.TemporaryDirectory() as scratch:
        return run_cases(node_cases(part)[index::count], Path(scratch))


def main() -> None:
    """Print the report; exit status 1 where a test is wrong."""
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    results = run_in_processes(part, int(sys.argv[2]) if len(sys.argv) > 2 else 2)
    print(report(results))
    raise SystemExit(any(each.outcome is Outcome.WRONG for each in results))


if __name__ == "__main__":
    main()
