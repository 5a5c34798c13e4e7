"""The pipeline, from a model file to a network that learns on a board, readable from top to bottom.

    load -> adapt -> plan -> build -> train / predict

Everything that the command line does goes through these functions.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from micrograft import precision
from micrograft.boards import Board, find_board
from micrograft.codegen.artifact import Artifact, Library
from micrograft.codegen.emit import check_name, emit
from micrograft.codegen.start import same_nodes, starting_as
from micrograft.codegen.weights import tables
from micrograft.errors import MicrograftError
from micrograft.frontends import import_model
from micrograft.ir.graph import Graph, Param, Phase, TrainStep
from micrograft.ir.text import to_text
from micrograft.ir.types import Array, DType
from micrograft.ops import operator_of
from micrograft.passes.attach_optimizer import attach_optimizer
from micrograft.passes.canonicalize import canonicalize
from micrograft.passes.differentiate import attach_loss, differentiate
from micrograft.passes.eliminate_transposes import eliminate_transposes
from micrograft.passes.float_head import float_head
from micrograft.passes.fold_batch_norm import fold_batch_norm
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.passes.fuse_updates import fusable, fuse_updates
from micrograft.passes.prune import prune
from micrograft.passes.quantize_additions import quantize_additions
from micrograft.passes.quantize_gradients import left_to_floats, quantize_gradients
from micrograft.passes.recompute_parameters import recompute_parameters
from micrograft.passes.replace_head import replace_head
from micrograft.passes.reverse import reverse
from micrograft.passes.truncate import truncate
from micrograft.peft.method import Start, apply_methods
from micrograft.planning.backpropagation import backpropagation_ram
from micrograft.planning.effort import Effort
from micrograft.planning.memory import Ram, lay_out
from micrograft.planning.plan import Plan
from micrograft.planning.planner import Orders, fit_plan, make_plan, peak
from micrograft.planning.work import work
from micrograft.quantization.observers import Observer
from micrograft.recipe import Recipe as Recipe
from micrograft.report.record import Bill, Flash, Macs, Share, TrainRecord
from micrograft.samples import Samples, check_inputs, check_targets
from micrograft.spec import methods_text, optimizer_text
from micrograft.statistics import measure
from micrograft.toolchain.build import Firmware, build_firmware, build_library
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.host import HostLibrary
from micrograft.toolchain.runner import Runner, count_instructions, measure_ram
from micrograft.toolchain.stack import worst_case_stack

if TYPE_CHECKING:
    import torch

CALIBRATION_SAMPLES = 16
"""How many samples tell the scale of each layer's input, unless more are asked for."""

Where = Literal["host", "emulator"]
Progress = Callable[[str, int, int, float | None], None]
"""Called after each step of long work with (what it is, steps done, steps in all, loss)."""


def load(
    model: Path | str | torch.nn.Module | torch.export.ExportedProgram,
    *,
    example: Sequence[Array] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    classes: int | None = None,
    seed: int = 0,
) -> Graph:
    """Import a network: an ONNX or TFLite file, a `.pt2` archive, or a PyTorch module with example inputs.

    shapes: for inputs whose shape the file leaves open. classes: give the network a new head of so many classes,
    drawn from `seed`. Raises MicrograftError in one sentence for whatever cannot be imported.
    """
    graph = import_model(model, example=example, shapes=shapes)
    if broken := next((param for param in graph.params if np.isnan(param.data).any()), None):
        raise MicrograftError("it has an element that is no number", where=f"weight {broken.source!r}")
    graph = fuse_quantization(eliminate_transposes(canonicalize(graph)))
    return replace_head(float_head(graph), classes, seed) if classes is not None else graph


def quantize(graph: Graph, samples: Array, *, observer: Observer | None = None) -> Graph:
    """The network in int8, calibrated with samples: (n, *input shape) in its own layout.

    observer: MinMax() unless told otherwise, Percentile() or MSE(). `precision.quantize` tells the noise too. Raises
    MicrograftError where the network cannot be quantized or the samples do not fit it.
    """
    return precision.quantize(graph, samples, observer=observer).graph


def adapt(graph: Graph, recipe: Recipe, samples: Array | None = None, effort: Effort | None = None) -> Library:
    """The network with its training step, planned, ready to be written as C.

    samples: (n, *input shape) in the network's own layout, a few of them; they tell the scale of each layer's
    input, from which new parameters are drawn. effort: of the solver, where the recipe limits the arena. Raises
    MicrograftError.
    """
    return next(draws(graph, recipe, [recipe.seed], samples, effort))


def draws(
    graph: Graph, recipe: Recipe, seeds: Iterable[int], samples: Array | None = None, effort: Effort | None = None
) -> Iterator[Library]:
    """`adapt` with each seed in turn. Steps that differ in nothing but what they start from share one plan."""
    as_it_came = prune(fold_batch_norm(prepared(graph, recipe)))
    ordinary = backpropagation_ram(as_it_came, recipe.optimizer.floats_per_parameter)
    planned: list[tuple[TrainStep, Library]] = []
    for seed in seeds:
        adapted, step = differentiated(graph, replace(recipe, seed=seed), samples)
        if recipe.gradients != "float32":
            step = quantize_gradients(step, DType(recipe.gradients))
        step = attach_optimizer(step, recipe.optimizer, recipe.clip, recipe.accumulate, seed)
        alike = next((library for other, library in planned if same_nodes(other, step)), None)
        if alike is None:
            library = _planned(adapted, step, recipe.arena, recipe.reversible, effort)
            planned.append((step, library))
        else:
            library = starting_as(alike, adapted, step)
        yield replace(library, digest=_digest(library.graph), backpropagation_ram=ordinary)


def prepared(graph: Graph, recipe: Recipe) -> Graph:
    """The network as methods are applied to it: float32 logits, and gradients that flow back as far as it says."""
    graph = float_head(_with_one_input(graph))
    return truncate(graph, recipe.truncate) if recipe.truncate else graph


def differentiated(graph: Graph, recipe: Recipe, samples: Array | None = None) -> tuple[Graph, TrainStep]:
    """The network as the recipe adapts it, and its step as far as the gradients, which are in float32 and name values
    of the step. samples: as in `adapt`. Raises MicrograftError."""
    graph = prepared(graph, recipe)
    mean_square = _mean_squares(graph, samples) if samples is not None else {}
    adapted = apply_methods(graph, recipe.methods, Start(recipe.seed, mean_square))
    own = {param.name for param in graph.params}
    adapted = prune(fold_batch_norm(adapted, keep={param.name for param in adapted.params} - own))
    if recipe.additions != "float32":
        adapted = quantize_additions(adapted, DType(recipe.additions))
    adapted = replace(adapted, name=check_name(recipe.name))
    return adapted, recompute_parameters(differentiate(attach_loss(adapted, recipe.loss)))


def freeze(graph: Graph, name: str = "model") -> Library:
    """The network as it is, for prediction only."""
    frozen = tuple(replace(param, trainable=False) for param in graph.params)
    graph = prune(fold_batch_norm(replace(_with_one_input(graph), name=check_name(name), params=frozen)))
    plan = make_plan(graph, [port.value for port in graph.outputs])
    return Library(graph, plan, lay_out((), (), [plan.arena]), _digest(graph))


def with_parameters(library: Library, values: Mapping[str, Array]) -> Library:
    """The same library, starting from other parameters.

    values: by the user's names, in the user's layout; every trained parameter, and whatever frozen ones are to be
    replaced. Raises MicrograftError where one is missing, has another shape or an element that is no number.
    """

    def placed(param: Param) -> Param:
        if param.source not in values:
            if not param.trainable:
                return param
            raise MicrograftError(f"the adapter has no {param.source!r}; it belongs to another network or method")
        given, shape = values[param.source], param.to_user(param.data).shape
        if given.shape != shape:
            raise MicrograftError(f"the adapter's {param.source!r} has shape {given.shape}, not {shape}")
        if given.dtype.kind == "f" and np.isnan(given).any():
            raise MicrograftError(f"the adapter's {param.source!r} has an element that is no number")
        return replace(param, data=param.stored(given))

    graph = replace(library.graph, params=tuple(map(placed, library.graph.params)))
    initial = {param.name: param.data for param in graph.params}
    slots = tuple(replace(slot, initial=initial[slot.value.name]) for slot in library.memory.parameters)
    memory = replace(library.memory, parameters=slots)
    step = library.step
    if step is not None:
        step = replace(step, graph=replace(step.graph, params=tuple(map(placed, step.graph.params))))
    return replace(library, graph=graph, step=step, memory=memory, digest=_digest(graph))


def plan(library: Library, recipe: Recipe, board: Board) -> Bill:
    """What the library costs on a board: linked for it, so that code and stack are exact, and not run."""
    with tempfile.TemporaryDirectory() as scratch:
        firmware, stack = _link(emit(library, Path(scratch)), _roomy(board))
    assert library.train is not None, "only a library that trains has a bill"
    table_bytes = sum(value.type.bytes for value, _, _ in tables(library).values())
    memory = library.memory
    return Bill(
        network=library.name,
        board=board.name,
        method=methods_text(recipe.methods),
        optimizer=optimizer_text(recipe.optimizer),
        ram=Ram(memory.arena, memory.state_bytes, memory.optimizer_bytes, stack, library.runtime_bytes),
        ram_available=board.ram.size,
        flash=Flash(firmware.flash - table_bytes, table_bytes),
        flash_available=board.flash.size,
        arena_lower_bound=max(each.lower_bound for each in _plans(library)),
        backpropagation_ram=library.backpropagation_ram,
        trainable_parameters=sum(param.value.type.size for param in library.graph.trainable),
        parameters=sum(param.value.type.size for param in library.graph.params if param.learnable),
        macs=_macs(library.train, library.graph.trainable),
        peak=_peak(library.train),
        arena_least=max(each.least_arena for each in _plans(library)),
        recomputation=library.train.recomputation,
        instructions=sum(map(work, library.train.schedule)) if board.fpu else None,
    )


def build(library: Library, directory: Path, board: Board | None = None) -> Artifact:
    """Write the C library below `directory`, and link an image for `board` beside it where one is given.

    Raises MicrograftError where the image does not fit the board.
    """
    artifact = emit(library, directory)
    if board is not None:
        _link(artifact, board)
    return artifact


@contextmanager
def host(library: Library) -> Iterator[Runner]:
    """The library compiled for this computer and loaded into this process."""
    with tempfile.TemporaryDirectory() as scratch:
        artifact = emit(library, Path(scratch))
        files = [*artifact.sources, *artifact.kernels]
        path = build_library(files, [], Path(scratch) / f"{library.name}.so")
        yield Runner(artifact, HostLibrary(path))


@contextmanager
def emulated(library: Library, board: Board) -> Iterator[Runner]:
    """The library linked for a board and booted in its emulator, with exactly the stack that the plan grants.

    Raises MicrograftError where it does not fit.
    """
    with tempfile.TemporaryDirectory() as scratch:
        artifact = emit(library, Path(scratch))
        firmware, _ = _link(artifact, board)
        yield Runner(artifact, Emulator(firmware))


def running(library: Library, board: Board | None) -> AbstractContextManager[Runner]:
    """The library on an emulated board, or on this computer where there is none."""
    return host(library) if board is None else emulated(library, board)


def train(
    runner: Runner,
    samples: Samples,
    *,
    test: Samples | None = None,
    epochs: int = 1,
    shuffle: int | None = None,
    bill: Bill | None = None,
    progress: Progress | None = None,
) -> TrainRecord:
    """Show the samples to the network one by one, and judge it before and after.

    samples, test: as `check_samples` returns them; judged on `test` where it is given, else on `samples`.
    shuffle: seed of another order in each epoch; None keeps the order given. Raises MicrograftError where the
    loss stops being finite.
    """
    assert samples.y is not None
    judged = test if test is not None else samples
    before = judge(runner, judged, "judging before", progress)
    instructions, ram = _measure(runner, samples)
    losses: list[float] = []
    total = epochs * len(samples)
    generator = np.random.default_rng(shuffle)
    for _ in range(epochs):
        order = np.arange(len(samples)) if shuffle is None else generator.permutation(len(samples))
        for index in order:
            loss = runner.train_step(samples.x[index], samples.y[index])
            losses.append(loss)
            _check_loss(loss, f"at step {len(losses)}")
            if progress is not None:
                progress("training", len(losses), total, loss)
    after = judge(runner, judged, "judging after", progress)
    _check_loss(after[1], f"after {total:,} steps")
    on = "emulator" if isinstance(runner.device, Emulator) else "host"
    return TrainRecord(bill, on, total, tuple(losses), before[0], after[0], before[1], after[1], instructions, ram)


def _check_loss(loss: float, when: str) -> None:
    if not np.isfinite(loss):
        fix = "lower the learning rate, or clip gradients to a smaller norm"
        raise MicrograftError(f"the loss is {loss} {when}", where="training", fix=fix)


def predict(runner: Runner, x: Array, progress: Progress | None = None) -> Array:
    """The network's answers to samples as `check_inputs` returns them: (n, *output shape without its batch)."""
    answers = []
    for sample in x:
        answers.append(runner.predict(sample))
        if progress is not None:
            progress("predicting", len(answers), len(x), None)
    every = np.stack(answers)
    return every[:, 0] if every.ndim > 1 and every.shape[1] == 1 else every


def judge(
    runner: Runner, samples: Samples, what: str = "judging", progress: Progress | None = None
) -> tuple[float | None, float]:
    """Accuracy (None without classes) and mean loss of samples as `check_samples` returns them.

    Where the loss reads the network's answer itself, it is computed here from that answer: one pass per sample.
    """
    library = runner.library
    assert samples.y is not None and library.step is not None and library.target is not None
    loss_node = library.step.graph.producers[library.step.loss.name]
    reads_answer = loss_node.inputs[0].name == library.output.value.name
    has_classes = library.target.value.dtype is DType.INT32
    losses: list[float] = []
    hits: list[Array] = []
    for x, y in zip(samples.x, samples.y, strict=True):
        answer = library.output.from_user(runner.predict(x)) if has_classes or reads_answer else None
        if answer is not None and has_classes:
            classes = answer if answer.dtype.kind == "i" else answer.argmax(axis=-1)
            hits.append(classes.ravel() == y.ravel())
        if answer is not None and reads_answer:
            target = library.target.from_user(y.reshape(library.target.user_shape))
            losses.append(float(operator_of(loss_node).evaluate(loss_node.attrs, [answer, target])[0]))
        else:
            losses.append(runner.evaluate(x, y))
        if progress is not None:
            progress(what, len(losses), len(samples), losses[-1])
    return float(np.mean(hits)) if has_classes else None, float(np.mean(losses))


def check_samples(library: Library, samples: Samples, where: str = "") -> Samples:
    """The samples as the library takes them. Raises MicrograftError for whatever does not fit the network."""
    x = check_inputs(samples.x, library.input, f"{where}x")
    if samples.y is None or library.target is None:
        return Samples(x)
    loss = library.step.graph.producers[library.step.loss.name] if library.step is not None else None
    classes = loss.inputs[0].shape[-1] if loss is not None else 0
    return Samples(x, check_targets(samples.y, library.target, classes, len(x), f"{where}y"))


def board(name: str) -> Board:
    """The board of this name. Raises MicrograftError with the names that there are."""
    return find_board(name)


def _planned(
    graph: Graph, step: TrainStep, budget: int | float | None, reversible: bool, effort: Effort | None = None
) -> Library:
    """Plans for the three functions of a library that trains, and one block of memory for all of them."""
    predict = make_plan(graph, [port.value for port in graph.outputs])
    forward = [node for node in step.graph.nodes if node.phase is Phase.FORWARD]
    first_outputs = [replace(node, outputs=node.outputs[:1]) for node in forward]
    loss_only = prune(replace(step.graph, nodes=tuple(first_outputs)), [step.loss])
    evaluate = make_plan(loss_only, [step.loss])
    step = replace(step, graph=prune(step.graph, [step.loss]))
    rebuilt = reverse(step) if reversible else step
    enough = max(predict.arena, evaluate.arena)
    ways = [_fused(each, enough) for each in ([step] if rebuilt is step else [step, rebuilt])]
    plans = ((each, make_plan(each.graph, [each.loss], orders=orders)) for each, orders in ways)
    step, whole = min(plans, key=lambda each: each[1].arena)
    if budget is not None:
        limit = int(budget * whole.arena) if isinstance(budget, float) else budget
        _require_room(limit, predict, evaluate)
        whole = fit_plan(whole, [step.loss], limit, effort)
    memory = lay_out(graph.trainable, step.states, [each.arena for each in (predict, evaluate, whole)])
    return Library(graph, predict, memory, _digest(graph), step, evaluate, whole)


def _fused(step: TrainStep, enough: int) -> tuple[TrainStep, Orders]:
    """The step with updates fused whose gradients make its peak, as long as that lowers it and it is above `enough`
    bytes; and its orders."""
    top, orders = peak(step.graph, [step.loss])
    while top.size > enough:
        chosen = {param for param, gradient in fusable(step).items() if gradient.makes(top.alive, top.later)}
        if not chosen:
            break
        fused = fuse_updates(step, chosen)
        smaller, others = peak(fused.graph, [step.loss])
        if smaller.size >= top.size:
            break
        step, top, orders = fused, smaller, others
    return step, orders


def _with_one_input(graph: Graph) -> Graph:
    """The graph. Raises MicrograftError where a sample is more than one tensor."""
    if len(graph.inputs) != 1:
        names = ", ".join(port.label or port.value.name for port in graph.inputs)
        fix = "let the network take one tensor and split it"
        raise MicrograftError(f"the network has {len(graph.inputs)} inputs ({names}), not one", fix=fix)
    return graph


def _require_room(budget: int, *plans: Plan) -> None:
    """Predicting and evaluating keep nothing that could be computed again. Raises MicrograftError."""
    needed = max(plan.arena for plan in plans)
    if needed > budget:
        fix = "allow a larger arena, or take a network with smaller activations"
        raise MicrograftError(f"predicting alone needs an arena of {needed:,} bytes, not {budget:,}", fix=fix)


def _plans(library: Library) -> list[Plan]:
    return [each for each in (library.predict, library.evaluate, library.train) if each is not None]


def _mean_squares(graph: Graph, samples: Array) -> dict[str, float]:
    port = graph.inputs[0]
    x = check_inputs(samples[:CALIBRATION_SAMPLES], port, "calibration samples")
    statistics = measure(graph, [{port.value.name: port.from_user(sample)} for sample in x])
    return {name: each.mean_square for name, each in statistics.items()}


def _digest(graph: Graph) -> bytes:
    """8 bytes that tell a network and what is trained in it from any other; what was learned does not count."""
    found = hashlib.sha256(to_text(graph).encode())
    for param in graph.params:
        found.update(param.source.encode() if param.trainable else np.ascontiguousarray(param.data).tobytes())
    return found.digest()[:8]


def _link(artifact: Artifact, board: Board) -> tuple[Firmware, int]:
    """The image for a board with exactly the stack that it can need, and that stack, in bytes.

    Raises MicrograftError where it does not fit.
    """
    _check_floats(artifact.library, board)
    files = [*artifact.sources, *artifact.kernels, artifact.harness]
    out = artifact.directory / f"{artifact.library.name}.elf"
    keep = (*artifact.functions, *artifact.buffers)
    roomy = build_firmware(files, [], out, _roomy(board), stack=8192, keep=keep)
    depths = worst_case_stack(roomy.elf, artifact.functions)
    stack = -(-max(depths.values()) // 8) * 8  # the architecture keeps the stack aligned to 8
    for memory, needed, there in (
        ("RAM", roomy.ram - roomy.stack + stack, board.ram.size),
        ("flash", roomy.flash, board.flash.size),
    ):
        if needed > there:
            fix = "take a larger board, or a method that keeps less: head keeps least, then bias and lora:freeze_a=true"
            problem = f"the library needs {needed:,} bytes of {memory}, and there are {there:,}"
            raise MicrograftError(problem, where=board.name, fix=fix)
    firmware = build_firmware(files, [], out, board, stack=stack, keep=keep)
    return firmware, stack


def _check_floats(library: Library, board: Board) -> None:
    """Raise MicrograftError where gradients in integers would go into updates in soft float, unnoticed."""
    slow = left_to_floats(library.step) if library.step is not None and not board.fpu else []
    if slow:
        problem = f"{board.name} has no float unit, and Adam, weight decay and residue update codes in float32"
        fix = "use sgd, with momentum or without, or `--gradients float32` to have it computed in software"
        raise MicrograftError(problem, where=slow[0], fix=fix)


def _roomy(board: Board) -> Board:
    """The same board with memories that hold anything, to measure what does not fit."""
    large = 256 * 1024 * 1024
    return replace(board, flash=replace(board.flash, size=large), ram=replace(board.ram, size=large))


def _macs(plan: Plan, params: Sequence[Param]) -> Macs:
    counts = dict.fromkeys(Phase, 0)
    trained = {param.name for param in params}
    for node in plan.schedule:
        counts[node.phase] += operator_of(node).macs(node)
    moved = sum(
        node.inputs[0].type.size
        for node in plan.schedule
        if node.phase is not Phase.FORWARD and node.inputs[0].name in trained and operator_of(node).mutates
    )
    return Macs(counts[Phase.FORWARD], counts[Phase.BACKWARD], moved)


def _peak(plan: Plan) -> tuple[Share, ...]:
    """What is alive at the peak, largest first."""
    shares: dict[tuple[str, str], int] = {}
    for buffer in plan.live(plan.peak_position):
        key = (buffer.layer, buffer.purpose.value)
        shares[key] = shares.get(key, 0) + buffer.size
    found = [Share(layer, purpose, size) for (layer, purpose), size in shares.items()]
    return tuple(sorted(found, key=lambda share: (-share.bytes, share.layer, share.purpose)))


def _measure(runner: Runner, samples: Samples) -> tuple[int | None, Ram | None]:
    """Instructions of a step and RAM reached, where the device is emulated; the network is left as it was."""
    if not isinstance(runner.device, Emulator):
        return None, None
    assert samples.y is not None and runner.library.step is not None
    x, y = samples.x[0], samples.y[0]
    ram = measure_ram(runner, runner.device, x, y)
    count = runner.library.step.accumulate

    def steps() -> None:
        for _ in range(count):
            runner.train_step(x, y)

    instructions = count_instructions(runner.device, steps) // count
    runner.reset()
    return instructions, ram
