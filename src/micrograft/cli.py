"""The command line: words in, one call of `model.py` or `api.py`, a table or JSON out.

A wrong input ends in one sentence on standard error and exit status 1; `plan` ends in 3 where a plan does not fit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
import numpy as np
from click.core import ParameterSource
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from micrograft import api, precision
from micrograft.adapter import Origin, read_adapter
from micrograft.boards import boards as known_boards
from micrograft.boards import find_board
from micrograft.comparison import compare
from micrograft.demo.run import run_demo
from micrograft.errors import MicrograftError
from micrograft.explore import Quest
from micrograft.explore import search as run_search
from micrograft.files import check_folder, writing_file, writing_folder
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array, DType
from micrograft.laboratory import running_trials
from micrograft.model import DEFAULT_BOARD, PeftModel, get_peft_model
from micrograft.passes.differentiate import LOSSES
from micrograft.peft import methods as known_methods
from micrograft.peft.head import Head
from micrograft.recipe import Additions, Gradients, Recipe, usual_additions, usual_gradients, usual_loss
from micrograft.report import text
from micrograft.report.choice import choice_text
from micrograft.report.findings import findings_text, write_findings
from micrograft.report.html import html_plan, html_search
from micrograft.report.layers import network_json
from micrograft.report.progress import showing_progress
from micrograft.report.record import Choice
from micrograft.report.timeline import explanation_text
from micrograft.samples import Samples, check_inputs, read_data
from micrograft.search.evolve import Evolution
from micrograft.search.holdout import episodes_of
from micrograft.search.limits import Limits
from micrograft.search.store import Store
from micrograft.spec import (
    observers,
    optimizers,
    parse_arena,
    parse_clip,
    parse_methods,
    parse_observer,
    parse_optimizer,
    parse_shapes,
    settings,
)

AUTO = "auto"
"""The word of `--method` that lets micrograft choose."""

DOES_NOT_FIT = 3
"""Exit status of `plan`."""

Command = TypeVar("Command", bound=Callable[..., Any])


class _Refusal(click.ClickException):
    """How a MicrograftError ends the program."""

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {' '.join(self.message.split())}", err=True)


class _Commands(click.Group):
    """Turns our errors into a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MicrograftError as error:
            raise _Refusal(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="micrograft")
def main() -> None:
    """Train neural networks on microcontrollers.

    MODEL is an ONNX file, a TFLite file or a torch.export archive (.pt2). Data are .npz files with x and y, one sample
    per row, in the model's own input layout.
    """


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which they are listed."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_PATH = click.Path(path_type=Path)
_MODEL = click.argument("model", type=_PATH)
_SHAPE = click.option(
    "--shape", "shapes", multiple=True, metavar="NAME=1,3,32,32", help="Shape of an input that the file leaves open."
)
_CLASSES = click.option("--classes", type=click.IntRange(min=2), help="Give the network a new head of so many classes.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
_ON = click.option("--on", type=click.Choice(["host", "emulator"]), help="Where to run.")
_BOARD = click.option("--board", metavar="BOARD", help="A name that `micrograft boards` lists.")
_PRECISION = click.option(
    "--precision", type=click.Choice(["float32", "int8"]), help="int8 quantizes MODEL first; by default as it comes."
)
_CALIBRATION = click.option(
    "--calibration",
    type=_PATH,
    metavar="C.npz",
    help="Samples x: int8's ranges, the scale of new parameters.",
)
_OBSERVER = click.option(
    "--observer", default="minmax", show_default=True, help="Of int8's ranges: minmax, percentile:percent=99.9, or mse."
)
_HOW = _options(
    click.option("--method", default="lora", show_default=True, help="As `micrograft methods` lists, or auto."),
    click.option("--optimizer", default="sgd", show_default=True, help="Such as sgd:lr=0.01,momentum=0.9."),
    click.option(
        "--clip", default="tensor:1", show_default=True, help="A norm for all gradients, tensor:NORM, or none."
    ),
    click.option("--accumulate", default=1, show_default=True, metavar="K", help="Samples for each update."),
    click.option(
        "--arena", metavar="BYTES|60%", help="What the step's arena may have; values are computed again to fit it."
    ),
    click.option(
        "--gradients",
        type=click.Choice(get_args(Gradients)),
        help="Of an int8 network; by default int16 where the board has no float unit, else float32.",
    ),
    click.option(
        "--additions",
        type=click.Choice(get_args(Additions)),
        help="What an int8 network's adapters and head are held in; by default as the gradients.",
    ),
    click.option(
        "--truncate",
        type=click.IntRange(min=1),
        metavar="STEPS",
        help="Cut the gradients of recurrent layers every so many steps; by default they flow through all.",
    ),
    click.option(
        "--reversible",
        type=click.Choice(["auto", "off"]),
        default="auto",
        show_default=True,
        help="Rebuild what reversible blocks read from what they gave, where that saves memory.",
    ),
    click.option("--seed", default=0, show_default=True, help="Of new parameters."),
    click.option("--name", default="model", show_default=True, help="Prefix of all names in the C library."),
    _PRECISION,
    _CALIBRATION,
    _OBSERVER,
    _CLASSES,
    _SHAPE,
)
_LIMITS = _options(
    click.option("--max-instructions", type=click.IntRange(min=1), metavar="N", help="With auto: of a step, emulated."),
    click.option("--max-seconds", type=float, metavar="S", help="With auto: of a step, one instruction a clock cycle."),
    click.option("--max-joules", type=float, metavar="J", help="With auto: of a step, those seconds at --watts."),
    click.option("--watts", type=float, metavar="W", help="What your board draws while it computes."),
    click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="With auto: processes; by default all cores."),
)
_LOSS = click.option("--loss", type=click.Choice(list(LOSSES)), help="By default what suits y.")


@main.command()
@_options(_MODEL, _CLASSES, _SHAPE, _JSON)
def inspect(model: Path, classes: int | None, shapes: tuple[str, ...], as_json: bool) -> None:
    """List the layers of MODEL: shapes, parameters, multiply-accumulates."""
    graph = Origin(classes, 0, parse_shapes(shapes)).load(model)
    _print_json(network_json(graph)) if as_json else _print(text.inspect_text(graph))


@main.command()
@_options(
    _MODEL,
    _HOW,
    _LOSS,
    click.option("--board", default=DEFAULT_BOARD, show_default=True),
    click.option("--explain", is_flag=True, help="Show what is alive when, and plan what would lower the peak."),
    click.option("--html", type=_PATH, metavar="FILE", help="Write a page with the bill and the explanation."),
    click.option("--data", type=_PATH, metavar="D.npz", help="With auto: x and y to learn from, to rank by accuracy."),
    _LIMITS,
    _JSON,
)
def plan(
    model: Path, board: str, explain: bool, html: Path | None, data: Path | None, as_json: bool, **words: Any
) -> None:
    """Tell whether training MODEL fits a board, and what it costs there. Exit status 3 where it does not fit.

    With `--method auto` the sensible methods are tried, and the best one that fits is taken.
    """
    find_board(board)
    if data is not None and words["method"] != AUTO:
        raise MicrograftError("a plan needs no data unless it chooses a method", fix="use --data with --method auto")
    samples = read_data(data).train if data is not None else None
    with showing_progress("planning") as progress:
        adapted = _adapted(model, words, board, auto=True)
        choice = _choose(adapted, board, samples, 1, words, progress)
        if choice is not None and not as_json:
            _print(choice_text(choice))
        if choice is not None and choice.taken is None:
            _print_json({"fits": False, "auto": choice.to_json()}) if as_json else None
            raise SystemExit(DOES_NOT_FIT)
        bill = adapted.plan(board)
        explanation = adapted.explain() if explain or html is not None else None
    if html is not None:
        assert explanation is not None and adapted.library.train is not None
        with writing_file(html) as new:
            new.write_text(html_plan(bill, adapted.library.train, explanation))
    if as_json:
        more = {"explanation": explanation.to_json()} if explanation else {}
        more |= {"auto": choice.to_json()} if choice else {}
        _print_json({**bill.to_json(), **more})
    else:
        _print(text.bill_text(bill))
        if explanation is not None:
            _print(explanation_text(explanation), width=80)
    if not bill.fits:
        raise SystemExit(DOES_NOT_FIT)


@main.command()
@_options(
    _MODEL,
    click.option("--data", type=_PATH, required=True, metavar="D.npz", help="x, y and perhaps x_test, y_test."),
    _HOW,
    _LOSS,
    click.option("--board", metavar="BOARD", help="Run there (emulated), unless --on says otherwise."),
    _ON,
    click.option("--epochs", type=click.IntRange(min=0), default=1, show_default=True, help="Times through the data."),
    click.option("--shuffle", type=int, metavar="SEED", help="Another order in each epoch; else the order given."),
    click.option("--out", type=_PATH, metavar="DIR", help="Write the adapter, the record and a report there."),
    click.option("--explain", is_flag=True, help="Plan what would lower the peak, for the report."),
    _LIMITS,
    _JSON,
)
def train(
    model: Path,
    data: Path,
    board: str | None,
    on: api.Where | None,
    epochs: int,
    shuffle: int | None,
    out: Path | None,
    explain: bool,
    as_json: bool,
    **words: Any,
) -> None:
    """Train MODEL sample by sample, on this computer or on an emulated board; the results are the same bits."""
    on = on or ("emulator" if board is not None else "host")
    find_board(board or DEFAULT_BOARD)
    if out is not None:
        check_folder(out)
    samples = read_data(data)
    learn, test = samples.train, samples.test
    assert learn.y is not None, "read_data sees to it"
    adapted = _adapted(model, words, board, auto=True)
    with showing_progress() as progress:
        choice = _choose(adapted, board or DEFAULT_BOARD, learn, epochs, words, progress)
        if choice is not None and choice.taken is None:
            raise MicrograftError(choice.why.rstrip("."), where="method auto")
        record = adapted.train(
            learn.x,
            learn.y,
            x_test=test.x if test else None,
            y_test=test.y if test else None,
            loss=words["loss"],
            epochs=epochs,
            shuffle=shuffle,
            on=on,
            board=board,
            progress=progress,
        )
    if out is not None:
        adapted.save(out, explanation=adapted.explain() if explain else None)
    if as_json:
        _print_json({**record.to_json(), "recipe": adapted.recipe_json})
    else:
        _print(Group(choice_text(choice), text.train_text(record)) if choice else text.train_text(record))
    if out is not None and not as_json:
        _print(f"Written to {out}.")


@main.command()
@_options(
    _MODEL,
    click.option("--calibration", type=_PATH, required=True, metavar="C.npz", help="Real samples x."),
    click.option("--data", type=_PATH, metavar="D.npz", help="x and y: how accurate both networks are."),
    _OBSERVER,
    _CLASSES,
    _SHAPE,
    click.option("--out", type=_PATH, metavar="DIR", help="Write the C library that predicts in int8."),
    _JSON,
)
def quantize(
    model: Path,
    calibration: Path,
    data: Path | None,
    observer: str,
    classes: int | None,
    shapes: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Tell what MODEL loses in int8, layer by layer, and how accurate it stays."""
    rule = parse_observer(observer)
    judge = read_data(data).judged if data is not None else None
    if out is not None:
        check_folder(out)
    graph = Origin(classes, 0, parse_shapes(shapes)).load(model)
    samples = read_data(calibration, targets=False).train.x
    with showing_progress("calibrating") as progress:
        quantized = precision.quantize(graph, samples, observer=rule, progress=_steps(progress, "calibrating"))
        record = compare(graph, quantized, judge, progress)
        if out is not None:
            with writing_folder(out, "library") as new:
                api.build(api.freeze(quantized.graph), new)
    _print_json(record.to_json()) if as_json else _print(text.quantization_text(record))
    if out is not None and not as_json:
        _print(f"Written to {out}.")


@main.command()
@_options(
    _MODEL,
    click.option("--adapter", type=_PATH, metavar="DIR", help="What `micrograft train --out` wrote."),
    click.option("--data", type=_PATH, required=True, metavar="D.npz", help="With x."),
    click.option("--out", type=_PATH, required=True, metavar="P.npz", help="Gets y, the network's outputs."),
    _BOARD,
    _ON,
    _PRECISION,
    _CALIBRATION,
    _OBSERVER,
    _CLASSES,
    _SHAPE,
)
@click.pass_context
def predict(
    context: click.Context,
    /,
    model: Path,
    adapter: Path | None,
    data: Path,
    out: Path,
    board: str | None,
    on: str | None,
    **words: Any,
) -> None:
    """Write what MODEL, with its adapter where one is given, answers to each sample."""
    place = find_board(board or DEFAULT_BOARD) if board is not None or on == "emulator" else None
    samples = read_data(data, targets=False).train
    if adapter is not None:
        _refuse_given(context, [word for word in words if word not in ("classes", "shapes")])
        saved = read_adapter(adapter)
        network = saved.origin.load(model)
        library = saved.graft(network)
    else:
        network, _, _ = _network(model, {**words, "seed": 0})
        library = api.freeze(network)
    x = check_inputs(samples.x, network.inputs[0])
    with showing_progress("building") as progress, api.running(library, place if on != "host" else None) as runner:
        y = api.predict(runner, x, progress)
    with writing_file(out) as new, new.open("wb") as stream:
        np.savez(stream, y=y)


@main.command()
@_options(
    _MODEL,
    _HOW,
    _LOSS,
    click.option("--adapter", type=_PATH, metavar="DIR", help="Start from what `micrograft train --out` wrote."),
    click.option("--board", metavar="BOARD", help="Link an image for it too."),
    click.option("--out", type=_PATH, required=True, metavar="DIR", help="Where the library goes."),
)
@click.pass_context
def build(
    context: click.Context, /, model: Path, adapter: Path | None, board: str | None, out: Path, **words: Any
) -> None:
    """Write the C library that trains MODEL: plain C99 without dependencies."""
    if board is not None:
        find_board(board)
    check_folder(out)
    with showing_progress("building"):
        if adapter is None:
            adapted = _adapted(model, words, board)
        else:
            _refuse_given(context, words)
            adapted = PeftModel.from_pretrained(read_adapter(adapter).origin.load(model), adapter)
        adapted.build(out, board)
    _print(f"Written to {out}.")


@main.command()
@_options(
    _MODEL,
    click.option("--data", type=_PATH, required=True, metavar="D.npz", help="x, y, perhaps task."),
    click.option("--board", default=DEFAULT_BOARD, show_default=True),
    click.option("--ram", type=click.IntRange(min=1), metavar="BYTES", help="By default all of it."),
    click.option("--max-written", type=click.IntRange(min=1), metavar="BYTES", help="By a save to flash."),
    click.option("--max-work", type=click.IntRange(min=1), metavar="N", help="Estimated instructions of a step."),
    click.option("--shots", type=click.IntRange(min=1), metavar="K", help="Learn from the first K of each class."),
    click.option("--episodes", default=3, show_default=True, type=click.IntRange(min=1), help="Learned in each trial."),
    click.option("--epochs", default=1, show_default=True, type=click.IntRange(min=1), help="Times over."),
    click.option("--judged", default=200, show_default=True, type=click.IntRange(min=1), help="Samples of an episode."),
    click.option("--generations", default=4, show_default=True, type=click.IntRange(min=0), help="Of the evolution."),
    click.option("--children", default=8, show_default=True, type=click.IntRange(min=1), help="In each generation."),
    click.option("--optimizer", default="sgd:lr=0.05", show_default=True, help="And a quarter of lr."),
    click.option("--clip", default="tensor:1", show_default=True, help="As for train."),
    click.option("--seed", default=0, show_default=True, help="Of new parameters and of the evolution."),
    click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; by default all cores."),
    click.option("--cluster", metavar="ADDRESS", help="Run the trials on a Ray cluster; `auto` finds one."),
    click.option("--store", type=_PATH, metavar="DIR", help="What was measured; by default trials in --out."),
    click.option("--out", type=_PATH, required=True, metavar="DIR", help="Gets the front, schemes and a report."),
    _CLASSES,
    _SHAPE,
    _JSON,
)
def search(model: Path, data: Path, out: Path, as_json: bool, **words: Any) -> None:
    """Find what to train of MODEL within a budget of RAM: layer by layer, measured on the data."""
    place, optimizer, clip = find_board(words["board"]), parse_optimizer(words["optimizer"]), parse_clip(words["clip"])
    with writing_folder(out, "trials"):
        pass  # whether it can be written shows before anything is measured
    file = read_data(data)
    network = Origin(words["classes"], words["seed"], parse_shapes(words["shapes"])).load(model)
    samples = Samples(check_inputs(file.train.x, network.inputs[0]), file.train.y)
    episodes = episodes_of(samples, file.tasks, words["shots"])
    quest = Quest(
        network,
        place,
        Recipe((Head(),), optimizer, usual_loss(samples.y), clip, seed=words["seed"]),
        episodes,
        steps=words["epochs"] * max(len(episode.learn) for episode in episodes),
        ram=words["ram"] or place.ram.size,
        with_head=words["classes"] is not None,
        searched=words["episodes"],
        judged=words["judged"],
        written=words["max_written"],
        work=words["max_work"],
        evolution=Evolution(words["generations"], words["children"], seed=words["seed"]),
    )
    run = running_trials(words["jobs"], words["cluster"])
    with showing_progress("planning") as progress:
        findings, schemes = run_search(quest, Store(words["store"] or out / "trials"), run, progress)
    with writing_folder(out, "search") as new:
        write_findings(new, findings, schemes)
        (new / "report.html").write_text(html_search(findings))
    _print_json(findings.to_json()) if as_json else _print(findings_text(findings))


@main.command()
def boards() -> None:
    """List the boards."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("board", "core", "floats"):
        table.add_column(heading)
    for heading in ("RAM", "flash", "MHz"):
        table.add_column(heading, justify="right")
    table.add_column("", style="dim")
    for board in known_boards().values():
        floats = "in hardware" if board.fpu else "in software"
        sizes = (text.number(size) for size in (board.ram.size, board.flash.size, board.clock_hz // 10**6))
        table.add_row(board.name, board.core.replace("_", "-"), floats, *sizes, board.description.partition(":")[0])
    _print(table)


@main.command()
def methods() -> None:
    """List the methods, optimizers and losses, with what can be set."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    kinds = {
        "Methods (join them with +)": known_methods(),
        "Optimizers": optimizers(),
        "Observers of int8's ranges": observers(),
    }
    for title, known in kinds.items():
        table.add_row(f"[bold]{title}", "")
        for name, kind in known.items():
            table.add_row(name, escape((kind.__doc__ or "").partition("\n")[0]))
            for setting, (takes, default) in settings(kind).items():
                unsaid = "all layers" if setting == "targets" else "none"
                table.add_row(f"  {setting}=", escape(f"{takes}; {default or unsaid} by default"))
        table.add_section()
    table.add_row("[bold]Losses", ", ".join(LOSSES))
    _print(table)


@main.command()
@click.option("--out", type=_PATH, default=Path("micrograft-demo"), show_default=True, metavar="DIR")
def demo(out: Path) -> None:
    """A watch learns how one person moves, on an emulated microcontroller. Two minutes."""
    console = Console()
    run_demo(out, console if console.is_terminal else Console(width=text.WIDTH))


def _choose(
    adapted: PeftModel, board: str, data: Samples | None, epochs: int, words: dict[str, Any], progress: api.Progress
) -> Choice | None:
    """How `--method auto` chose, None where a method was named. Raises MicrograftError for limits that nobody reads."""
    limits = Limits(words["max_instructions"], words["max_seconds"], words["max_joules"], words["watts"])
    if words["method"] != AUTO:
        if limits != Limits() or words["jobs"] is not None:
            raise MicrograftError("limits of a step and --jobs are for choosing", fix="use them with --method auto")
        return None
    x, y = (data.x, data.y) if data is not None else (None, None)
    processes = words["jobs"]
    return adapted.choose(board, x, y, epochs=epochs, limits=limits, processes=processes, progress=progress)


def _adapted(model: Path, words: dict[str, Any], board: str | None, *, auto: bool = False) -> PeftModel:
    """The network with the methods that the words name. Words are checked before the model is read.

    auto: whether the methods may be left to `_choose`; any will do until then.
    """
    methods, optimizer, clip = (
        parse_methods("head" if auto and words["method"] == AUTO else words["method"]),
        parse_optimizer(words["optimizer"]),
        parse_clip(words["clip"]),
    )
    place = find_board(board) if board is not None else None
    network, origin, samples = _network(model, words)
    return get_peft_model(
        network,
        methods,
        samples,
        optimizer=optimizer,
        loss=words["loss"] or "cross_entropy",
        clip=clip,
        accumulate=words["accumulate"],
        seed=words["seed"],
        name=words["name"],
        arena=parse_arena(words["arena"]) if words["arena"] is not None else None,
        gradients=words["gradients"] or usual_gradients(place),
        additions=words["additions"] or usual_additions(place),
        truncate=words["truncate"] or 0,
        reversible=words["reversible"] == "auto",
        origin=origin,
    )


def _network(model: Path, words: dict[str, Any]) -> tuple[Graph, Origin, Array | None]:
    """The network in the precision that the words ask for, how to have it again, and the calibration samples."""
    kind, observer = words["precision"], parse_observer(words["observer"])
    if kind == "int8" and words["calibration"] is None:
        fix = "pass some with --calibration C.npz"
        raise MicrograftError("int8 takes its ranges from samples, and none are given", fix=fix)
    origin = Origin(words["classes"], words["seed"], parse_shapes(words["shapes"]))
    calibration = words["calibration"]
    samples = read_data(calibration, targets=False).train.x if calibration is not None else None
    network = origin.load(model)
    if kind == "int8" and samples is not None:
        with showing_progress("calibrating") as progress:
            steps = _steps(progress, "calibrating")
            quantized = precision.quantize(network, samples, observer=observer, progress=steps)
        return quantized.graph, replace(origin, ranges=quantized.ranges), samples
    if kind == "float32" and any(value.dtype is DType.INT8 for value in network.values):
        fix = "leave --precision out, or give the float32 model"
        raise MicrograftError(
            "the network is int8 already, and its float32 weights are lost", where=str(model), fix=fix
        )
    return network, origin, samples


def _steps(progress: api.Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total, None)


def _refuse_given(context: click.Context, words: Iterable[str]) -> None:
    """An adapter says itself how it adapts. Raises MicrograftError where a person says it too."""
    for word in words:
        if context.get_parameter_source(word) is ParameterSource.COMMANDLINE:
            option = "--shape" if word == "shapes" else f"--{word}"
            raise MicrograftError(f"{option} and --adapter exclude each other; the adapter's record has it")


def _print(content: RenderableType, width: int = text.WIDTH) -> None:
    """width: characters, where it does not go to a terminal."""
    console = Console()
    if console.is_terminal:
        console.print(content, highlight=False)
    else:
        click.echo(text.to_text(content, width), nl=False)


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps(content, indent=1))
