"""A network with its adapter, as users of PEFT know it: wrap, look at the cost, train, predict, save.

A thin face of `api.py`: each call plans and builds what it needs, and what was learned stays in this object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from micrograft import api
from micrograft.adapter import Adapter, Origin, adapter_tensors, read_adapter, recipe_json, write_adapter
from micrograft.api import Progress, Recipe, Where
from micrograft.auto import choose
from micrograft.boards import Board, find_board
from micrograft.codegen.artifact import Library
from micrograft.contribution import choose_channels, require_channels
from micrograft.explain import explain
from micrograft.files import writing_folder
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD, Clip, Optimizer
from micrograft.passes.merge_adapters import merge_adapters
from micrograft.peft.method import Method
from micrograft.recipe import Additions, Gradients, usual_gradients
from micrograft.recipe import usual_loss as usual_loss
from micrograft.report.explanation import Explanation
from micrograft.report.html import Report, html_report
from micrograft.report.record import Bill, Choice, TrainRecord
from micrograft.samples import Samples, check_inputs
from micrograft.search.limits import Limits

DEFAULT_BOARD = "nrf52840"


class PeftModel:
    """A network, how it is adapted, and what it has learned so far.

    samples: (n, *input shape), a few; they tell the scale from which new parameters are drawn. Where there are
    none the first samples to train on do. origin: how the network was loaded; it is written beside a saved adapter.

    Every figure that a method returns is in bytes, multiply-accumulates or instructions, as its record says.
    """

    def __init__(
        self, network: Graph, recipe: Recipe, samples: Array | None = None, *, origin: Origin | None = None
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.origin = origin or Origin()
        self.record: TrainRecord | None = None
        self.choice: Choice | None = None
        self._samples = None if samples is None else samples[: api.CALIBRATION_SAMPLES]
        self._learned: Mapping[str, Array] | None = None
        self._planned: tuple[Recipe, Library] | None = None

    @classmethod
    def from_pretrained(cls, network: Graph, folder: Path | str) -> PeftModel:
        """The network with the adapter that `save` wrote. Raises MicrograftError where it is another's."""
        adapter = read_adapter(Path(folder))
        model = cls(network, adapter.recipe, origin=adapter.origin)
        model._planned = adapter.recipe, adapter.graft(network)
        model._learned = adapter.tensors
        return model

    @classmethod
    def from_tensors(
        cls, network: Graph, recipe: Recipe, tensors: Mapping[str, Array], *, origin: Origin | None = None
    ) -> PeftModel:
        """The network with an adapter that is at hand: all that is trained, by the user's names, in their layout.

        Raises MicrograftError where a tensor is missing or has another shape.
        """
        model = cls(network, recipe, origin=origin)
        model._planned = recipe, api.with_parameters(api.adapt(network, recipe), tensors)
        model._learned = tensors
        return model

    @property
    def library(self) -> Library:
        """The planned library, starting from what was learned."""
        return self._library(self.recipe)

    @property
    def tensors(self) -> dict[str, Array]:
        """The adapter: every trained tensor and those that its method drew, by the user's names, in their layout."""
        return adapter_tensors(self.library, self.network)

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """How many numbers are trained, and how many there are."""
        params = [param for param in self.library.graph.params if param.learnable]
        return sum(p.value.type.size for p in params if p.trainable), sum(p.value.type.size for p in params)

    def print_trainable_parameters(self, board: str | None = None) -> None:
        """Print what is trained, and with a board's name what that costs there."""
        trained, every = self.get_nb_trainable_parameters()
        print(f"trainable params: {trained:,} || all params: {every:,} || trainable%: {100 * trained / every:.2f}")
        if board is None:
            return
        bill = self.plan(board)
        verdict = "fits" if bill.fits else "does not fit"
        print(f"RAM: {bill.ram.total:,} of {bill.ram_available:,} bytes || {board}: {verdict}")
        print(f"flash: {bill.flash.total:,} of {bill.flash_available:,} bytes")

    def plan(self, board: str = DEFAULT_BOARD, optimizer: Optimizer | None = None) -> Bill:
        """What training costs on a board; `optimizer` for this bill and whatever follows. Raises MicrograftError."""
        self.recipe = replace(self.recipe, optimizer=optimizer or self.recipe.optimizer)
        return api.plan(self.library, self.recipe, find_board(board))

    def explain(self) -> Explanation:
        """What is alive when in a training step, what makes the peak, and what would lower it, each planned."""
        return explain(self.library, self.recipe, self.network, self._samples)

    def choose(
        self,
        board: str = DEFAULT_BOARD,
        x: Array | None = None,
        y: Array | None = None,
        *,
        loss: str | None = None,
        epochs: int = 1,
        limits: Limits | None = None,
        processes: int | None = None,
        progress: Progress | None = None,
    ) -> Choice:
        """Try the sensible methods on a board, and take the best one in place of the methods that there are.

        x, y: (n, *input shape) samples and targets, of which some are held out to judge by; without them what is
        trained ranks the plans. Nothing is learned from them yet: that is what `train` does. loss: what suits y unless
        told otherwise. limits: of a training step. processes: as many as there are cores unless told otherwise. Raises
        MicrograftError.
        """
        data = None
        if x is not None and y is not None:
            self.recipe = replace(self.recipe, loss=loss or usual_loss(y))
            data = Samples(check_inputs(x, self.network.inputs[0]), y)
        chosen = choose(
            self.network,
            find_board(board),
            self.recipe,
            data,
            calibration=self._samples,
            epochs=epochs,
            limits=limits,
            processes=processes,
            progress=progress,
        )
        self.choice = chosen.choice
        if chosen.recipe is not None:
            self.recipe, self._learned, self._planned = chosen.recipe, None, None
        return chosen.choice

    def train(
        self,
        x: Array,
        y: Array,
        *,
        x_test: Array | None = None,
        y_test: Array | None = None,
        optimizer: Optimizer | None = None,
        loss: str | None = None,
        epochs: int = 1,
        shuffle: int | None = None,
        on: Where = "host",
        board: str | None = None,
        progress: Progress | None = None,
    ) -> TrainRecord:
        """Learn from (n, *input shape) samples and their targets, one by one, and judge before and after.

        x_test, y_test: to judge by, else x and y. loss: "cross_entropy", "mse" or "bce"; None picks the first
        for integer targets and the second for others. shuffle: seed of another order in each epoch; None keeps the
        order given. on, board: the host or the emulated board; with a board the record has its bill. Nothing is
        kept of a training that fails. Raises MicrograftError.
        """
        place = _place(on, board)
        recipe = replace(self.recipe, optimizer=optimizer or self.recipe.optimizer, loss=loss or usual_loss(y))
        x = check_inputs(x, self.network.inputs[0])
        recipe = choose_channels(self.network, recipe, Samples(x, y), progress)
        if self._samples is None and self._learned is None:
            self._samples, self._planned = x[: api.CALIBRATION_SAMPLES], None
        library = self._library(recipe)
        learn = api.check_samples(library, Samples(x, y))
        test = api.check_samples(library, Samples(x_test, y_test), "test ") if x_test is not None else None
        bill = api.plan(library, recipe, place) if place is not None else None
        with api.running(library, place if on == "emulator" else None) as runner:
            record = api.train(runner, learn, test=test, epochs=epochs, shuffle=shuffle, bill=bill, progress=progress)
            record = replace(record, choice=self.choice)
            learned = api.with_parameters(library, runner.parameters())
        self.recipe, self.record, self._planned = recipe, record, (recipe, learned)
        self._learned = adapter_tensors(learned, self.network)
        return record

    def predict(
        self, x: Array, *, on: Where = "host", board: str | None = None, progress: Progress | None = None
    ) -> Array:
        """The network's answers to (n, *input shape) samples: (n, *output shape without its batch)."""
        place = _place(on, board)
        x = check_inputs(x, self.network.inputs[0])
        with api.running(self.library, place if on == "emulator" else None) as runner:
            return api.predict(runner, x, progress)

    def merge_and_unload(self) -> Graph:
        """The network with what was learned worked into its weights: it predicts at its original cost, and as this
        model does within float rounding. `micrograft.freeze` makes a library of it."""
        return merge_adapters(self.library.graph)

    def save(
        self,
        folder: Path | str,
        *,
        title: str = "",
        others: Sequence[TrainRecord] = (),
        explanation: Explanation | None = None,
    ) -> None:
        """Write `adapter.safetensors`, `record.json` and, after a training, `report.html`.

        title, others, explanation: of the report; records to compare with, and what `explain` found. Raises
        MicrograftError; nothing is written then.
        """
        require_channels(self.recipe)
        with writing_folder(Path(folder), "adapter") as new:
            adapter = Adapter(self.recipe, self.origin, self.tensors, self.library.digest.hex())
            write_adapter(new, adapter, self.record.to_json() if self.record is not None else {})
            if self.record is not None and self.library.train is not None:
                words = self.recipe_json
                summary = f"{words['method']} with {words['optimizer']}, {self.record.steps:,} steps"
                plan, title = self.library.train, title or self.recipe.name
                report = Report(title, summary, self.record, plan, others, explanation=explanation)
                (new / "report.html").write_text(html_report(report))

    def build(self, folder: Path | str, board: str | None = None) -> None:
        """Write the C library, starting from what was learned; with a board's name a linked image beside it.

        Raises MicrograftError; nothing is written then.
        """
        require_channels(self.recipe)
        place = find_board(board) if board is not None else None
        with writing_folder(Path(folder), "library") as new:
            api.build(self.library, new, place)

    @property
    def recipe_json(self) -> dict[str, Any]:
        """The recipe in the words of the command line."""
        return recipe_json(self.recipe, self.origin)

    def _library(self, recipe: Recipe) -> Library:
        if self._planned is None or self._planned[0] != recipe:
            library = api.adapt(self.network, recipe, self._samples)
            library = api.with_parameters(library, self._learned) if self._learned is not None else library
            self._planned = recipe, library
        return self._planned[1]


def get_peft_model(
    network: Graph,
    methods: Method | Sequence[Method],
    samples: Array | None = None,
    *,
    optimizer: Optimizer | None = None,
    loss: str = "cross_entropy",
    clip: Clip | None = Clip(),  # noqa: B008 -- it is frozen
    accumulate: int = 1,
    seed: int = 0,
    name: str = "model",
    arena: int | float | None = None,
    gradients: Gradients | None = None,
    additions: Additions | None = None,
    truncate: int = 0,
    reversible: bool = True,
    board: str | None = None,
    origin: Origin | None = None,
) -> PeftModel:
    """Wrap a network so that `methods` (one, or several together) adapt it.

    samples: (n, *input shape), a few, for the scale of new parameters. board: the name of the one that it is for, whose
    core decides about an int8 network's gradients where `gradients` does not: integers without a float unit. Additions
    are held in what the gradients are. The other settings are those of `Recipe` and `PeftModel`.
    """
    chosen = (methods,) if isinstance(methods, Method) else tuple(methods)
    width = gradients or usual_gradients(find_board(board) if board is not None else None)
    how = Recipe(chosen, optimizer or SGD(), loss, clip, accumulate, seed, name, arena, width, additions or width)
    recipe = replace(how, truncate=truncate, reversible=reversible)
    return PeftModel(network, recipe, samples, origin=origin)


def _place(on: Where, board: str | None) -> Board | None:
    """The board that is meant, if one is."""
    if board is None and on == "host":
        return None
    return find_board(board or DEFAULT_BOARD)
