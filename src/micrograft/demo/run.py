"""The main job: a watch that recognises exercises learns, on an emulated microcontroller, how one person moves.

The network has never seen this person. It learns from their first twelve seconds of each exercise and is judged on
what they did afterwards. Every figure is shown as it comes out.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.text import Text

from micrograft import api
from micrograft.adapter import Origin
from micrograft.boards import find_board
from micrograft.demo import watch
from micrograft.files import check_folder
from micrograft.ir.types import Array
from micrograft.model import PeftModel, get_peft_model
from micrograft.report.progress import showing_progress
from micrograft.report.record import TrainRecord
from micrograft.report.text import WIDTH, comparison_text, number, percent, ram_text, share
from micrograft.samples import Samples
from micrograft.spec import parse_clip, parse_methods, parse_optimizer

MODEL = Path(__file__).with_name("watch.onnx")
BOARD = "nrf52840"
EPOCHS = 4


@dataclass(frozen=True)
class Trial:
    """A way of adapting, in the words of the command line."""

    method: str
    optimizer: str
    clip: str


TRIALS = (
    Trial("head", "sgd:lr=0.03", "tensor:1"),
    Trial("bias", "sgd:lr=0.03", "tensor:1"),
    Trial("lora", "sgd:lr=0.03", "tensor:1"),
    Trial("full", "sgd:lr=0.01", "tensor:1"),
)
"""Each learning rate did best for the other people in `examples/watch/study_methods.py`, with this clipping; so this
person's later recordings, on which the demo judges, chose nothing."""
LORA = TRIALS[2]


def run_demo(out: Path, console: Console) -> None:
    """Run the main job and write the C library, the adapter and the report below `out`.

    Raises MicrograftError where the package with the recordings is missing or `out` holds something else.
    """
    started = monotonic()
    for name in ("c", "adapter"):
        check_folder(out / name)
    learn, test = _windows()
    _tell(
        console,
        f"A network recognises {len(watch.EXERCISES)} exercises from a watch. It has never seen person "
        f"{watch.DEMO_PERSON}. It learns from their first {len(learn)} windows of 3 seconds and is judged on the "
        f"{len(test)} that they recorded afterwards.",
    )
    records = _compare()
    lora = records[TRIALS.index(LORA)]
    _tell(console, f"Accuracy on this person, as it comes: {percent(lora.accuracy_before)}")
    _tell(console, _wall(records[-1]))
    console.print(comparison_text(records))
    _tell(console, f"Now {LORA.method} on the emulated {find_board(BOARD).description}, sample by sample.")
    model, record = _learn_on_the_board()
    _tell(console, _outcome(record, records[0]))
    assert record.bill is not None and record.ram_measured is not None, "the emulator measures"
    console.print(ram_text(record.bill.ram, record.ram_measured))
    same = "the same bits" if record.losses == lora.losses else "NOT the same numbers"
    _tell(console, f"This computer and the emulated board computed {same} in all {record.steps} steps.")
    others = [each for trial, each in zip(TRIALS, records, strict=True) if trial is not LORA]
    model.save(out / "adapter", title="A watch learns how one person moves", others=others)
    model.build(out / "c", BOARD)
    _tell(console, f"The C library is in {out / 'c'}, the report is {out / 'adapter' / 'report.html'}.")
    _tell(console, f"That took {monotonic() - started:.0f} seconds.")


def try_on_host(trial: Trial) -> TrainRecord:
    """What a trial costs on the board and gives: trained on this computer, one step counted on the emulated board."""
    learn, test = _windows()
    model = _model(trial, learn.x)
    library = model.library
    record = model.train(learn.x, learn.y, x_test=test.x, y_test=test.y, epochs=EPOCHS, on="host", board=BOARD)
    if record.bill is None or not record.bill.fits:
        return record
    first = api.check_samples(library, Samples(learn.x[:1], learn.y[:1]))
    with api.emulated(library, find_board(BOARD)) as runner:
        counted = api.train(runner, first, epochs=0)
    return replace(record, instructions_per_step=counted.instructions_per_step, ram_measured=counted.ram_measured)


def _compare() -> list[TrainRecord]:
    """All trials, two at a time."""
    processes = multiprocessing.get_context("spawn")
    with showing_progress("comparing methods") as progress, ProcessPoolExecutor(2, mp_context=processes) as pool:
        running = [pool.submit(try_on_host, trial) for trial in TRIALS]
        records = []
        for future in running:
            records.append(future.result())
            progress("comparing methods", len(records), len(TRIALS), None)
    return records


def _learn_on_the_board() -> tuple[PeftModel, TrainRecord]:
    """Train with LoRA on the emulated board, sample by sample."""
    learn, test = _windows()
    model = _model(LORA, learn.x)
    with showing_progress("building for the board", keep=True) as progress:
        record = model.train(
            learn.x,
            learn.y,
            x_test=test.x,
            y_test=test.y,
            epochs=EPOCHS,
            on="emulator",
            board=BOARD,
            progress=progress,
        )
    return model, record


def _windows() -> tuple[watch.Windows, watch.Windows]:
    """What the new person's network learns from, and what it is judged on."""
    return watch.split_person(watch.load_recordings(), watch.DEMO_PERSON)


def _model(trial: Trial, samples: Array) -> PeftModel:
    return get_peft_model(
        Origin().load(MODEL),
        parse_methods(trial.method),
        samples,
        optimizer=parse_optimizer(trial.optimizer),
        clip=parse_clip(trial.clip),
        name="watch",
    )


def _wall(record: TrainRecord) -> str:
    bill = record.bill
    assert bill is not None, "it was planned for a board"
    fits = "does not fit" if bill.backpropagation_ram > bill.ram_available else "fits"
    return (
        f"Ordinary backpropagation needs {number(bill.backpropagation_ram)} bytes of RAM (estimated), "
        f"{share(bill.backpropagation_ram, bill.ram_available)}: it {fits}. With micrograft:"
    )


def _outcome(record: TrainRecord, head: TrainRecord) -> str:
    before, after, other = record.accuracy_before, record.accuracy_after, head.accuracy_after
    assert before is not None and after is not None and other is not None
    text = f"Accuracy on this person now: {percent(after)}. Before it was {percent(before)}; the head alone reaches "
    text += f"{percent(other)}."
    if after <= max(before, other):
        text += " So LoRA did not do better here."
    return text


def _tell(console: Console, text: str) -> None:
    console.print(Text(text), width=WIDTH, end="\n\n")
