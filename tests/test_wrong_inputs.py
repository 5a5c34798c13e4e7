"""Every wrong input ends in one sentence on standard error, a non-zero status, and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from micrograft.boards import boards
from micrograft.cli import main
from tests.tiny import SHAPE, write_data, write_network

Prepare = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """A wrong input. words: the command; in it `{}` is the folder. sentence: what must be said."""

    name: str
    words: str
    sentence: str
    prepare: Prepare = lambda folder: None


def train(change: str = "", model: str = "net.onnx", data: str = "data.npz") -> str:
    return f"train {{}}/{model} --data {{}}/{data} --out {{}}/out {change}".strip()


def truncate(folder: Path) -> None:
    file = folder / "net.onnx"
    file.write_bytes(file.read_bytes()[:-40])


def text_as(name: str) -> Prepare:
    return lambda folder: (folder / name).write_text("This is a shopping list: milk, eggs.\n")


def data_with(**arrays: np.ndarray) -> Prepare:
    return lambda folder: write_data(folder / "data.npz", **arrays)


def foreign_adapter(folder: Path) -> None:
    """An adapter for a network of the same shapes but other weights."""
    write_network(folder / "other.onnx", seed=1)
    words = f"train {folder}/other.onnx --data {folder}/data.npz --epochs 0 --out {folder}/adapter"
    assert CliRunner().invoke(main, words.split()).exit_code == 0


def own_adapter(spoil: Callable[[Path], object]) -> Prepare:
    def prepare(folder: Path) -> None:
        words = f"train {folder}/net.onnx --data {folder}/data.npz --epochs 0 --out {folder}/adapter"
        assert CliRunner().invoke(main, words.split()).exit_code == 0
        spoil(folder / "adapter")

    return prepare


def cut_tensors(adapter: Path) -> None:
    file = adapter / "adapter.safetensors"
    file.write_bytes(file.read_bytes()[:-9])


def recorded(**changes: object) -> Prepare:
    """An adapter in whose record some words of the recipe were changed."""

    def spoil(adapter: Path) -> None:
        record = json.loads((adapter / "record.json").read_text())
        record["recipe"] |= changes
        (adapter / "record.json").write_text(json.dumps(record))

    return own_adapter(spoil)


def no_number(adapter: Path) -> None:
    file = adapter / "adapter.safetensors"
    tensors = load_file(file)
    save_file({name: np.full_like(data, np.nan) for name, data in tensors.items()}, file)


def no_weights(folder: Path) -> None:
    model = onnx.load(folder / "net.onnx")
    weight = model.graph.initializer[0]
    weight.CopyFrom(onnx.numpy_helper.from_array(np.nan * onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(model, folder / "net.onnx")


def mine(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "thesis.txt").write_text("years of work")


X = np.ones((12, *SHAPE), np.float32)
NOT_FINITE = X.copy()
NOT_FINITE[5, 0, 0, 0] = np.nan
PREDICT = "predict {}/net.onnx --data {}/data.npz --out {}/out"

CASES = (
    Case("a truncated model", train(), "net.onnx", truncate),
    Case("a text file as a model", train(), "net.onnx", text_as("net.onnx")),
    Case("a text file as an exported program", train(model="net.pt2"), "net.pt2", text_as("net.pt2")),
    Case("no such model", train(model="missing.onnx"), "there is no such file"),
    Case("another kind of file", train(model="net.h5"), "is not known; micrograft reads", text_as("net.h5")),
    Case("a dynamic shape", train(), "height", lambda folder: write_network(folder / "net.onnx", height="height")),
    Case("a shape that cannot be read", train("--shape x=1,2,tall,6"), "write it as NAME=1,3,32,32"),
    Case("samples of another shape", train(), "a sample has shape (2, 6, 5)", data_with(x=X[..., :5])),
    Case("test samples of another shape", train(), "test x", data_with(x_test=X[..., :5], y_test=np.zeros(12, int))),
    Case("a label too large", train(), "y: label 3 is outside 0 to 2", data_with(y=np.full(12, 3))),
    Case("a negative label", train(), "y: label -1 is outside 0 to 2", data_with(y=np.full(12, -1))),
    Case("a number that is not finite", train(), "x: sample 5 has a number that is not", data_with(x=NOT_FINITE)),
    Case("numbers as classes", train("--loss cross_entropy"), "class indices are integers", data_with(y=np.ones(12))),
    Case("classes as numbers", train(), "class indices are integers", data_with(y=np.ones(12))),
    Case("auto beside a method", train("--method auto+head"), "auto stands alone"),
    Case("fewer labels than samples", train(), "there are 7 targets for 12 samples", data_with(y=np.zeros(7, int))),
    Case("no samples", train(), "there are no samples", data_with(x=X[:0], y=np.zeros(0, int))),
    Case("data without y", train(), "it has no y", lambda folder: np.savez(folder / "data.npz", x=X)),
    Case("data that are text", train(), "not a readable .npz", text_as("data.npz")),
    Case("no such data", train(data="missing.npz"), "there is no such file"),
    Case("no such calibration", train("--calibration {}/missing.npz"), "there is no such file"),
    Case("int8 without samples", train("--precision int8"), "pass some with --calibration"),
    Case(
        "calibration samples of another shape",
        train("--precision int8 --calibration {}/data.npz"),
        "calibration samples: a sample has shape",
        data_with(x=X[..., :5]),
    ),
    Case("an unknown observer", train("--observer median"), "known are minmax, percentile, mse"),
    Case("nothing to quantize with", "quantize {}/net.onnx --calibration {}/missing.npz", "there is no such file"),
    Case("an unknown board", train("--board nrf5284"), "did you mean 'nrf52840'?"),
    Case("an unknown method", train("--method lorra"), "did you mean 'lora'?"),
    Case("an unknown setting", train("--method lora:rnak=4"), "did you mean 'rank'?"),
    Case("a rank of nothing", train("--method lora:rank=0"), "rank"),
    Case("no layer of that name", train("--method lora:targets=attention"), "conv, head"),
    Case("an unknown optimizer", train("--optimizer adamx:lr=1"), "known are sgd, adam, adamw"),
    Case("a learning rate below zero", train("--optimizer sgd:lr=-1"), "learning rate"),
    Case("a learning rate that float32 has not", train("--optimizer sgd:lr=1e39"), "learning rate"),
    Case("a weight decay below zero", train("--optimizer adamw:weight_decay=-1"), "weight decay"),
    Case("a momentum that is no number", train("--optimizer sgd:momentum=nan"), "momentum nan is not a number from 0"),
    Case("a mean over nothing new", train("--optimizer adam:beta2=1"), "beta2 1.0 is not a number from 0 to below 1"),
    Case("an alpha that is no number", train("--method lora:alpha=nan"), "alpha is nan"),
    Case("weights that are no numbers", train(), "it has an element that is no number", no_weights),
    Case("clipping that cannot be read", train("--clip hard"), "write a norm such as 1, tensor:1, or none"),
    Case("clipping to nothing", train("--clip 0"), "norm"),
    Case("accumulation over nothing", train("--accumulate 0"), "accumulated"),
    Case("a name that C does not take", train("--name 3d-net"), "cannot prefix C names"),
    Case("the name of the example program", train("--name main"), "cannot name a library"),
    Case("the name of a header of C", train("--name stdint"), "cannot name a library"),
    Case("the name of a kernel", train("--name mg_math"), "cannot name a library"),
    Case("a training that explodes", train("--optimizer sgd:lr=1e30 --clip none"), "the loss is"),
    Case(
        "a last step that explodes",
        train("--method full --optimizer sgd:lr=1e38 --clip none"),
        "the loss is nan after 1 steps",
        data_with(x=X[:1], y=np.zeros(1, int)),
    ),
    Case("a folder of other files", train(), "micrograft did not write", mine),
    Case("a file where the folder goes", train(), "this is a file", text_as("out")),
    Case("no adapter", PREDICT + " --adapter {}/adapter", "there is no record.json"),
    Case("a foreign adapter", PREDICT + " --adapter {}/adapter", "belongs to another network", foreign_adapter),
    Case("a cut adapter", PREDICT + " --adapter {}/adapter", "not a readable safetensors", own_adapter(cut_tensors)),
    Case("adapters that are no numbers", PREDICT + " --adapter {}/adapter", "no number", own_adapter(no_number)),
    Case("another method's record", PREDICT + " --adapter {}/adapter", "does not fit", recorded(method="lora:rank=3")),
    *(
        Case(
            f"a record's {name} {value!r}", PREDICT + " --adapter {}/adapter", "record.json", recorded(**{name: value})
        )
        for name, value in {"seed": -1, "arena": "x", "classes": "q", "gradients": [], "shapes": {"x": "no"}}.items()
    ),
    Case(
        "a record that is none",
        PREDICT + " --adapter {}/adapter",
        "record.json",
        own_adapter(lambda adapter: (adapter / "record.json").write_text("[1]")),
    ),
    Case("predictions for another shape", PREDICT, "a sample has shape", data_with(x=X[..., :5])),
    Case("an unknown board to plan for", "plan {}/net.onnx --board arduino", "known", lambda folder: None),
    Case("an unknown board to build for", "build {}/net.onnx --board arduino --out {}/out", "Known boards"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_input_is_refused_in_one_sentence(case: Case, tmp_path: Path) -> None:
    """What is wrong is said, no traceback is shown, and every file is as it was."""
    write_network(tmp_path / "net.onnx")
    write_data(tmp_path / "data.npz")
    case.prepare(tmp_path)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    result = CliRunner().invoke(main, case.words.replace("{}", str(tmp_path)).split())
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "an unexpected exception is a bug"
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert case.sentence.lower() in result.stderr.lower()
    assert not result.stdout
    after = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    assert after == before


@pytest.mark.parametrize("command", ["train", "build"])
def test_a_library_too_large_for_its_board_is_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both figures and the board's name."""
    write_network(tmp_path / "net.onnx")
    write_data(tmp_path / "data.npz")
    known = boards()["nrf52840"]
    small = replace(known, ram=replace(known.ram, size=1024))
    monkeypatch.setattr("micrograft.model.find_board", lambda name: small)
    words = [command, str(tmp_path / "net.onnx"), "--board", "nrf52840", "--out", str(tmp_path / "out")]
    words += ["--data", str(tmp_path / "data.npz")] if command == "train" else []
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "error: nrf52840: the library needs" in result.stderr and "there are 1,024" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_interrupted_training_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it without a traceback."""

    def interrupt(*args: object, **settings: object) -> None:
        raise KeyboardInterrupt

    write_network(tmp_path / "net.onnx")
    write_data(tmp_path / "data.npz")
    monkeypatch.setattr("micrograft.api.train", interrupt)
    result = CliRunner().invoke(main, train().replace("{}", str(tmp_path)).split())
    assert result.exit_code == 1 and result.stderr.strip() == "Aborted!"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "net.onnx"]


def test_a_mistyped_command_line_ends_with_2() -> None:
    """Options and commands that do not exist are click's to refuse."""
    assert CliRunner().invoke(main, ["train", "net.onnx", "--dta", "x"]).exit_code == 2
    assert CliRunner().invoke(main, ["trian"]).exit_code == 2
    for command, option in (("train", "--seed"), ("train", "--shuffle"), ("search", "--seed")):
        words = [command, "net.onnx", "--data", "data.npz", "--out", "out", option, "-1"]
        assert CliRunner().invoke(main, words).exit_code == 2
