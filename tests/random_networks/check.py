"""Runs a case in C and in PyTorch and compares what both learned.

A case is put aside only for what PyTorch does on its own: where its training diverges in float64; where in float32,
from numbers rounded in several ways, it gets as far off as we are (Adam makes a step of what rounding leaves of a
gradient that is zero); or where numbers moved by 1e-5 of their size send float64 as far off, across the kink of a relu
or to another maximum.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from micrograft import api
from micrograft.codegen.artifact import Artifact, Library
from micrograft.codegen.emit import emit
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.merge_adapters import merge_adapters, with_values
from micrograft.planning.lifetimes import live_bytes
from micrograft.planning.plan import Plan
from micrograft.reference import run
from micrograft.spec import parse_clip, parse_methods, parse_optimizer
from micrograft.toolchain.build import RUNTIME, build_library
from micrograft.toolchain.host import HostLibrary
from micrograft.toolchain.runner import Runner
from tests.random_networks.case import Case, Network, network
from tests.random_networks.training import UPDATES, Run, Training, trained_names

TOLERANCE = 1e-4
PERTURBATION = 1e-5
ROUNDING = 1e-7
Samples = Sequence[tuple[Array, Array]]
GUARD = 64
"""Bytes behind the block of memory that nobody may touch."""


class MismatchError(AssertionError):
    """The C does not do what PyTorch does, or the plan is not what it promises."""


@dataclass(frozen=True)
class Outcome:
    """verdict: "agreed", or why the case was put aside. arena, bound: bytes, of the plan that is furthest above."""

    verdict: str
    arena: int = 1
    bound: int = 1

    @property
    def excess(self) -> float:
        """The arena over its lower bound."""
        return self.arena / self.bound


class Workbench:
    """Builds libraries on the host with the kernels compiled once, and runs cases."""

    def __init__(self, directory: Path, kernels: Path) -> None:
        self._directory = directory
        self._kernels = kernels
        self._count = itertools.count()

    def check(self, case: Case) -> Outcome:
        """Raises MismatchError, or whatever our code raises that it should not."""
        (result,) = self.check_all([case])
        if isinstance(result, Exception):
            raise result
        return result

    def check_all(self, cases: Sequence[Case]) -> list[Outcome | Exception]:
        """Cases of one and the same network, imported once and compiled together; what fails does so on its own."""
        torch.set_num_threads(1)
        module = network(cases[0])
        try:
            graph = self._load(cases[0], module)
        except Exception as error:
            return [error] * len(cases)
        directory = self._directory / str(next(self._count))
        artifacts = [_written(case, module, graph, directory / f"net{index}") for index, case in enumerate(cases)]
        sources = [_in_one(each) for each in artifacts if isinstance(each, Artifact)]
        built = directory / "networks.so"
        if sources:
            build_library([*sources, self._kernels], [], built, optimize="-O0")
        found = [
            _checked(case, module, artifact, built) if isinstance(artifact, Artifact) else artifact
            for case, artifact in zip(cases, artifacts, strict=True)
        ]
        shutil.rmtree(directory, ignore_errors=True)
        return found

    def _load(self, case: Case, module: Network) -> Graph:
        """The network as micrograft imports it. Raises MismatchError where it answers differently then."""
        x = _inputs(case)[0]
        if case.exporter == "torch":
            graph = api.load(module, example=[x])
        else:
            path = self._directory / f"{next(self._count)}.onnx"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    module, (torch.from_numpy(x),), str(path), dynamo=False, opset_version=17,
                    do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
                )  # fmt: skip
            graph = api.load(path)
            path.unlink()
        _require(_near(_answer(graph, x), _forward(module, x)), "the imported network answers differently")
        return graph


def build_kernels(directory: Path) -> Path:
    """All kernels, compiled once for any number of networks."""
    return build_library(sorted((RUNTIME / "kernels").glob("*.c")), [], directory / "kernels.so")


@contextmanager
def workbench(kernels: Path | None = None) -> Iterator[Workbench]:
    """A workbench in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        yield Workbench(Path(directory), kernels or build_kernels(Path(directory)))


def _in_one(artifact: Artifact) -> Path:
    """One file for the compiler, which takes longer to start than to compile it."""
    path = artifact.directory / "one.c"
    path.write_text("".join(f'#include "{source.name}"\n' for source in artifact.sources))
    return path


def _written(case: Case, module: Network, graph: Graph, directory: Path) -> Artifact | Outcome | Exception:
    """The library as C, or what became of the case before that."""
    expected = trained_names(case, module)
    recipe = api.Recipe(
        parse_methods(case.methods), parse_optimizer(case.optimizer), case.loss, parse_clip(case.clip),
        case.accumulate, case.seed, directory.name,
    )  # fmt: skip
    try:
        library = api.adapt(graph, recipe, _inputs(case)[:2] if case.calibrated else None)
        return emit(library, directory)
    except MicrograftError as error:
        without_bias = "bias" in case.methods.split("+") and not any(name.endswith(".bias") for name in expected or ())
        if expected and not without_bias:
            return MismatchError(f"a case that PyTorch trains is refused: {error}")
        return Outcome("refused: nothing to train")
    except Exception as error:
        return error


def _checked(case: Case, module: Network, artifact: Artifact, built: Path) -> Outcome | Exception:
    """Runs a compiled case."""
    library = artifact.library
    try:
        plans = [check_plan(plan) for plan in (library.predict, library.evaluate, library.train) if plan]
        worst = max((plan for plan in plans if plan.arena), key=lambda plan: plan.arena / plan.lower_bound)
        samples = list(zip(_inputs(case), _targets(case, library), strict=True))
        ours, initial = _train(artifact, built, samples)
        _check_names(case, module, set(ours.end))
        return Outcome(_compare(case, module, ours, initial, samples), worst.arena, worst.lower_bound)
    except Exception as error:
        return error


def _check_names(case: Case, module: Network, trained: set[str]) -> None:
    """A learned constant may or may not count as a bias."""
    expected = trained_names(case, module) or set()
    constants = {name for name in trained if name.endswith(".value")} if "bias" in case.methods else set()
    _require(trained - constants == expected - constants, f"{sorted(trained)} are trained, not {sorted(expected)}")


def _train(artifact: Artifact, built: Path, samples: Samples) -> tuple[Run, Mapping[str, Array]]:
    """Our run, and what its trained tensors and adapters started from."""
    library = artifact.library
    adapters = {p.source: p.to_user(p.data) for p in library.graph.params if "lora_" in p.source}
    with _running(artifact, built) as runner:
        start = runner.parameters()
        answer = runner.predict(samples[0][0])
        losses = []
        for x, target in samples:
            before = runner.evaluate(x, target)
            losses.append(runner.train_step(x, target))
            _require(before == losses[-1], f"evaluate gives {before} and train_step {losses[-1]}")
        end = runner.parameters()
        answer_then = runner.predict(samples[0][0])
    merged = merge_adapters(with_values(library.graph, end))
    finite = bool(np.isfinite(answer_then).all())
    same = not finite or _near(_answer(merged, samples[0][0]), answer_then)
    _require(same, "merged, the network answers differently")
    return Run(np.array(losses), start, end, answer), adapters | start


@contextmanager
def _running(artifact: Artifact, built: Path) -> Iterator[Runner]:
    """The library on this computer, its memory full of NaNs at first, and nobody writing behind it."""
    device = HostLibrary(built)
    size = artifact.library.memory.total
    memory = device.buffer("memory", size + GUARD)
    device.write(memory, b"\xff" * (size + GUARD))
    yield Runner(artifact, device)
    guard = device.read(memory + size, GUARD)
    _require(guard == b"\xff" * GUARD, "something was written behind the library's memory")


def check_plan(plan: Plan) -> Plan:
    """The plan. Raises MismatchError where buffers overlap or its figures are not true."""
    for index, one in enumerate(plan.buffers):
        for other in plan.buffers[index + 1 :]:
            together = one.first <= other.last and other.first <= one.last
            apart = one.end <= other.offset or other.end <= one.offset
            _require(apart or not together, f"{one} and {other} overlap")
    _require(all(buffer.offset == 0 for buffer in plan.buffers if buffer.fixed), "the sample has no fixed place")
    reached = max((buffer.end for buffer in plan.buffers), default=0)
    bound = max(live_bytes(plan.buffers), default=0)
    _require(plan.arena == reached and plan.lower_bound == bound <= reached, "the arena is not what the plan says")
    return plan


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise MismatchError(message)


def _inputs(case: Case) -> Array:
    generator = np.random.default_rng(case.seed)
    return generator.standard_normal((UPDATES * case.accumulate, *case.shape)).astype(np.float32)


def _targets(case: Case, library: Library) -> list[Array]:
    """Targets in the user's layout, one for each sample."""
    assert library.step is not None and library.target is not None
    generator = np.random.default_rng(case.seed + 1)
    shape = (UPDATES * case.accumulate, *library.target.user_shape)
    if case.loss == "cross_entropy":
        classes = library.step.graph.producers[library.step.loss.name].inputs[0].shape[-1]
        return list(generator.integers(0, classes, shape).astype(np.int32))
    return list(generator.random(shape).astype(np.float32))


def _forward(module: Network, x: Array) -> Array:
    with torch.no_grad():
        answer: Array = module(torch.from_numpy(x)).numpy()
    return answer


def _answer(graph: Graph, x: Array) -> Array:
    port = graph.outputs[0]
    return port.to_user(run(graph, [graph.inputs[0].from_user(x)])[port.value.name])


def _near(found: Array, expected: Array) -> bool:
    scale = max(float(np.abs(expected).max()), 1e-3)
    return found.shape == expected.shape and float(np.abs(found - expected).max()) <= TOLERANCE * scale


def _compare(case: Case, module: Network, ours: Run, initial: Mapping[str, Array], samples: Samples) -> str:
    """The verdict on our run. Raises MismatchError."""
    moving = set(ours.end)
    expected = Training(case, module, initial, moving, torch.float64).run(samples)
    sizes = [float(np.abs(each).max()) for each in (expected.losses, *expected.end.values())]
    if not np.all(np.isfinite(sizes)) or max(sizes) > 1e4:
        return "diverged"
    _require(_near(ours.answer, expected.answer), "the adapted network does not answer as PyTorch's at first")
    wrong = {name: error for name, error in _errors(ours, expected).items() if error > 1}
    if not wrong:
        return "agreed"
    theirs = _wobble(case, module, initial, moving, samples, expected, ROUNDING, torch.float32)
    if all(error <= 2 * theirs[name] for name, error in wrong.items()):
        return "float32 is too coarse, PyTorch's too"
    wobble = _wobble(case, module, initial, moving, samples, expected, PERTURBATION, torch.float64)
    if all(error <= max(wobble[name], 2 * theirs[name]) for name, error in wrong.items()):
        return "kink"
    found = ", ".join(
        f"{name}: {error:.3g} (PyTorch in float32 {theirs[name]:.2g}, perturbed {wobble[name]:.2g})"
        for name, error in wrong.items()
    )
    raise MismatchError(f"errors in units of the tolerance: {found}")


def _errors(found: Run, expected: Run) -> dict[str, float]:
    """For the losses and each tensor's movement, the largest difference over what is tolerated.

    That is 1e-4 of the largest movement, and what float32 rounds off in the tensor itself.
    """
    errors = {}
    for name, wanted in expected.tensors.items():
        rounding = np.finfo(np.float32).eps * UPDATES * max(1e-2, np.abs(expected.end.get(name, wanted)).max())
        tolerance = TOLERANCE * np.abs(wanted).max() + rounding
        errors[name] = float(np.nan_to_num(np.abs(found.tensors[name] - wanted).max() / tolerance, nan=np.inf))
    return errors


def _wobble(
    case: Case, module: Network, initial: Mapping[str, Array], moving: set[str], samples: Samples, expected: Run,
    size: float, dtype: torch.dtype,
) -> dict[str, float]:  # fmt: skip
    """How far, in units of the tolerance, PyTorch moves when all numbers move by `size` of the largest."""
    generator = np.random.default_rng(0)

    def moved(array: Array) -> Array:
        noise = generator.uniform(-size, size, array.shape)
        return array.astype(np.float64) + noise * float(np.abs(array).max(initial=0.0))

    worst = dict.fromkeys(expected.tensors, 0.0)
    for _ in range(24):
        start = {name: moved(array) for name, array in initial.items()}
        other = network(case).double()
        with torch.no_grad():
            for tensor in (*other.parameters(), *other.buffers()):
                if tensor.is_floating_point():
                    tensor.copy_(torch.from_numpy(moved(tensor.numpy())))
        run = Training(case, other, start, moving, dtype).run([(moved(x), y) for x, y in samples])
        worst = {name: max(worst[name], error) for name, error in _errors(run, expected).items()}
    return worst
