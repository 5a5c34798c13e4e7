"""From the words of `options.HOW` to the network that they describe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from micrograft import api, precision
from micrograft.adapter import Origin
from micrograft.boards import find_board
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array, DType
from micrograft.model import PeftModel, get_peft_model
from micrograft.report.progress import showing_progress
from micrograft.report.record import Choice
from micrograft.samples import Samples, read_data
from micrograft.search.limits import Limits
from micrograft.spec import parse_arena, parse_clip, parse_methods, parse_observer, parse_optimizer, parse_shapes

AUTO = "auto"
"""The word of `--method` that lets micrograft choose."""


def adapted_network(model: Path, words: dict[str, Any], board: str | None, *, auto: bool = False) -> PeftModel:
    """The network with the methods that the words name. Words are checked before the model is read.

    auto: whether the methods may be left to `choose`; any will do until then.
    """
    several = [part.partition(":")[0].strip() for part in words["method"].split("+")]
    if AUTO in several and not (auto and words["method"] == AUTO):
        fix = "write --method auto alone, with plan or train, or name methods"
        raise MicrograftError("auto stands alone: it chooses among all methods", fix=fix)
    methods, optimizer, clip = (
        parse_methods("head" if auto and words["method"] == AUTO else words["method"]),
        parse_optimizer(words["optimizer"]),
        parse_clip(words["clip"]),
    )
    if board is not None:
        find_board(board)
    network, origin, samples = network_of(model, words)
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
        gradients=words["gradients"],
        additions=words["additions"],
        truncate=words["truncate"] or 0,
        reversible=words["reversible"] == "auto",
        board=board,
        origin=origin,
    )


def choose(
    adapted: PeftModel, board: str, data: Samples | None, epochs: int, words: dict[str, Any], progress: api.Progress
) -> Choice | None:
    """How `--method auto` chose, None where a method was named. Raises MicrograftError for limits that nobody reads."""
    limits = Limits(words["max_instructions"], words["max_seconds"], words["max_joules"], words["watts"])
    if words["method"] != AUTO:
        if limits != Limits() or words["jobs"] is not None:
            raise MicrograftError("limits of a step and --jobs are for choosing", fix="use them with --method auto")
        return None
    x, y = (data.x, data.y) if data is not None else (None, None)
    how = {"loss": words["loss"], "epochs": epochs, "processes": words["jobs"]}
    return adapted.choose(board, x, y, **how, limits=limits, progress=progress)


def network_of(model: Path, words: dict[str, Any]) -> tuple[Graph, Origin, Array | None]:
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
            steps = steps_of(progress, "calibrating")
            quantized = precision.quantize(network, samples, observer=observer, progress=steps)
        return quantized.graph, replace(origin, ranges=quantized.ranges), samples
    if kind == "float32" and any(value.dtype is DType.INT8 for value in network.values):
        fix = "leave --precision out, or give the float32 model"
        raise MicrograftError(
            "the network is int8 already, and its float32 weights are lost", where=str(model), fix=fix
        )
    return network, origin, samples


def steps_of(progress: api.Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total, None)


def tell_of_outputs(network: Graph) -> None:
    """Say on standard error which output counts, where a network has several."""
    if len(network.outputs) > 1:
        names = ", ".join(port.label or port.value.name for port in network.outputs)
        click.echo(f"note: the network has {len(network.outputs)} outputs ({names}); only the first counts", err=True)


def refuse_given(context: click.Context, words: Iterable[str]) -> None:
    """An adapter says itself how it adapts. Raises MicrograftError where a person says it too."""
    for word in words:
        if context.get_parameter_source(word) is ParameterSource.COMMANDLINE:
            option = "--shape" if word == "shapes" else f"--{word}"
            raise MicrograftError(f"{option} and --adapter exclude each other; the adapter's record has it")
