"""Runs a case in C and in PyTorch and compares what both learned.

A case is put aside only for what PyTorch in float64 does on its own: where its training diverges, or where numbers
moved by 1e-5 of their size send it as far off as we are, across the kink of a relu or to another maximum.
"""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from micrograft import api
from micrograft.codegen.artifact import Library
from micrograft.codegen.emit import emit
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.planning.lifetimes import live_bytes
from micrograft.planning.plan import Plan
from micrograft.spec import parse_clip, parse_methods, parse_optimizer
from micrograft.toolchain.build import RUNTIME, build_library
from micrograft.toolchain.host import HostLibrary
from micrograft.toolchain.runner import Runner
from tests.random_networks.case import Case, Network, network
from tests.random_networks.training import UPDATES, Run, Training, trained_names

TOLERANCE = 1e-4
PERTURBATION = 1e-5
Samples = Sequence[tuple[Array, Array]]
GUARD = 64
"""Bytes behind the block of memory that nobody may touch."""


class MismatchError(AssertionError):
    """The C does not do what PyTorch does, or the plan is not what it promises."""


@dataclass(frozen=True)
class Outcome:
    """verdict: "agreed", or why the case was put aside. worst: largest arena over its lower bound of all plans."""

    verdict: str
    worst: float = 1.0


class Workbench:
    """Builds libraries on the host with the kernels compiled once, and runs cases."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = itertools.count()
        kernels = sorted((RUNTIME / "kernels").glob("*.c"))
        self._kernels = build_library(kernels, [], directory / "kernels.so")

    def check(self, case: Case) -> Outcome:
        """Raises MismatchError, or whatever our code raises that it should not."""
        torch.set_num_threads(1)
        module = network(case)
        x = _inputs(case)
        graph = self._load(case, module, x)
        _require(_near(_answer(graph, x[0]), _forward(module, x[0])), "the imported network answers differently")
        expected = trained_names(case, module)
        try:
            library = _adapted(case, graph, x)
        except MicrograftError as error:
            _require(not expected, f"a case that PyTorch trains is refused: {error}")
            return Outcome(f"refused: {str(error)[:60]}")
        worst = max(check_plan(plan) for plan in (library.predict, library.evaluate, library.train) if plan)
        assert library.target is not None
        samples = list(zip(x, _targets(case, library), strict=True))
        ours, initial = self._train(library, samples)
        constants = {name for name in ours.end if name.endswith(".value")} if "bias" in case.methods else set()
        trained = set(ours.end)
        _require(trained - constants == (expected or set()) - constants, f"{trained} are trained, not {expected}")
        return Outcome(_compare(case, module, ours, initial, samples), worst)

    def _load(self, case: Case, module: Network, x: Array) -> Graph:
        """The network as micrograft imports it."""
        if case.exporter == "torch":
            return api.load(module, example=[x[0]])
        path = self._directory / f"{next(self._count)}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, (torch.from_numpy(x[0]),), str(path), dynamo=False, opset_version=17,
                do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
            )  # fmt: skip
        graph = api.load(path)
        path.unlink()
        return graph

    def _train(self, library: Library, samples: Samples) -> tuple[Run, Mapping[str, Array]]:
        """Our run, and what its trained tensors and adapters started from."""
        adapters = {p.source: p.to_user(p.data) for p in library.graph.params if "lora_" in p.source}
        with self._running(library) as runner:
            start = runner.parameters()
            answer = runner.predict(samples[0][0])
            losses = []
            for x, target in samples:
                before = runner.evaluate(x, target)
                losses.append(runner.train_step(x, target))
                _require(before == losses[-1], f"evaluate gives {before} and train_step {losses[-1]}")
            end = runner.parameters()
        return Run(np.array(losses), start, end, answer), adapters | start

    @contextmanager
    def _running(self, library: Library) -> Iterator[Runner]:
        """The library on this computer, its memory full of NaNs at first, and nobody writing behind it."""
        directory = self._directory / str(next(self._count))
        artifact = emit(library, directory)
        built = build_library([*artifact.sources, self._kernels], [], directory / "net.so", optimize="-O1")
        device = HostLibrary(built)
        size = library.memory.total
        memory = device.buffer("memory", size + GUARD)
        device.write(memory, b"\xff" * (size + GUARD))
        yield Runner(artifact, device)
        guard = device.read(memory + size, GUARD)
        _require(guard == b"\xff" * GUARD, "something was written behind the library's memory")


@contextmanager
def workbench() -> Iterator[Workbench]:
    """A workbench in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        yield Workbench(Path(directory))


def check_plan(plan: Plan) -> float:
    """The arena over its lower bound. Raises MismatchError where buffers overlap or the figures are not true."""
    for index, one in enumerate(plan.buffers):
        for other in plan.buffers[index + 1 :]:
            together = one.first <= other.last and other.first <= one.last
            apart = one.end <= other.offset or other.end <= one.offset
            _require(apart or not together, f"{one} and {other} overlap")
    reached = max((buffer.end for buffer in plan.buffers), default=0)
    bound = max(live_bytes(plan.buffers), default=0)
    _require(plan.arena == reached and plan.lower_bound == bound <= reached, "the arena is not what the plan says")
    return reached / bound if bound else 1.0


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


def _adapted(case: Case, graph: Graph, x: Array) -> Library:
    recipe = api.Recipe(
        parse_methods(case.methods), parse_optimizer(case.optimizer), case.loss, parse_clip(case.clip),
        case.accumulate, case.seed, "net",
    )  # fmt: skip
    return api.adapt(graph, recipe, x[:2] if case.calibrated else None)


def _forward(module: Network, x: Array) -> Array:
    with torch.no_grad():
        answer: Array = module(torch.from_numpy(x)).numpy()
    return answer


def _answer(graph: Graph, x: Array) -> Array:
    from micrograft.reference import run

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
    wobble = _wobble(case, module, initial, moving, samples, expected)
    if all(error <= wobble[name] for name, error in wrong.items()):
        return "kink"
    theirs = _errors(Training(case, module, initial, moving, torch.float32).run(samples), expected)
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
    case: Case, module: Network, initial: Mapping[str, Array], moving: set[str], samples: Samples, expected: Run
) -> dict[str, float]:
    """How far, in units of the tolerance, PyTorch in float64 itself moves when all numbers move by 1e-5 of their size."""
    generator = np.random.default_rng(0)

    def moved(array: Array) -> Array:
        noise = generator.uniform(-PERTURBATION, PERTURBATION, array.shape)
        return array.astype(np.float64) + noise * float(np.abs(array).max(initial=0.0))

    worst = dict.fromkeys(expected.tensors, 0.0)
    for _ in range(24):
        start = {name: moved(array) for name, array in initial.items()}
        other = network(case).double()
        with torch.no_grad():
            for tensor in (*other.parameters(), *other.buffers()):
                if tensor.is_floating_point():
                    tensor.copy_(torch.from_numpy(moved(tensor.numpy())))
        run = Training(case, other, start, moving, torch.float64).run([(moved(x), y) for x, y in samples])
        worst = {name: max(worst[name], error) for name, error in _errors(run, expected).items()}
    return worst
