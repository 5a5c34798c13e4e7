"""The demo says what the issue promises, on a few windows here so that it is quick."""

from __future__ import annotations

import importlib.util
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from micrograft.demo import run, watch
from micrograft.demo.run import LORA, TRIALS, run_demo, try_on_host
from micrograft.errors import MicrograftError
from micrograft.report.record import TrainRecord

FEW = 14


def first(windows: watch.Windows) -> watch.Windows:
    return watch.Windows(windows.x[:FEW], windows.y[:FEW], windows.recording[:FEW], windows.start[:FEW])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the demo prints, and where it wrote."""
    if importlib.util.find_spec("seglearn") is None:
        pytest.skip("the recordings need the package seglearn")
    out = tmp_path_factory.mktemp("demo")
    console = Console(file=io.StringIO(), width=110, color_system=None)
    with pytest.MonkeyPatch.context() as patch:
        learn, test = (first(each) for each in run._windows())
        patch.setattr(run, "_windows", lambda: (learn, test))
        patch.setattr(run, "_compare", _one_for_all)
        patch.setattr(run, "EPOCHS", 1)
        run_demo(out, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), out


def _one_for_all() -> list[TrainRecord]:
    """LoRA's record under every trial's name: the others would take as long again."""
    record = try_on_host(LORA)
    assert record.bill is not None
    return [replace(record, bill=replace(record.bill, method=trial.method)) for trial in TRIALS]


def test_it_shows_the_wall_the_table_and_the_outcome(shown: tuple[str, Path]) -> None:
    """Accuracy before, backpropagation's bill, every method, accuracy after, planned beside measured RAM."""
    text = " ".join(shown[0].split())
    pieces = ("as it comes", "Ordinary backpropagation needs", "it does not fit", "instructions a step", "head alone")
    for piece in (*pieces, "planned measured", *(trial.method for trial in TRIALS)):
        assert piece in text
    assert text.index("as it comes") < text.index("Accuracy on this person now")


def test_host_and_board_agree(shown: tuple[str, Path]) -> None:
    """It compares every loss of the emulated board with this computer's, and says so."""
    assert f"computed the same bits in all {FEW} steps" in " ".join(shown[0].split())


def test_it_leaves_the_library_the_adapter_and_the_report(shown: tuple[str, Path]) -> None:
    """The report compares all methods; RAM was measured."""
    _, out = shown
    assert (out / "c" / "watch.h").is_file() and (out / "c" / "watch.elf").is_file()
    record = json.loads((out / "adapter" / "record.json").read_text())
    assert record["on"] == "emulator" and record["ram_measured"]["arena"] == record["plan"]["ram"]["arena"]
    page = (out / "adapter" / "report.html").read_text()
    assert all(f"<td>{trial.method}" in page for trial in TRIALS)


def test_a_disappointing_figure_is_shown_as_it_is() -> None:
    """Where LoRA does not beat the start and the head alone, the demo says it."""
    record = _record(0.5, 0.9)
    assert "did not do better" not in run._outcome(record, _record(0.5, 0.8))
    assert "did not do better" in run._outcome(record, _record(0.5, 0.9))
    assert "did not do better" in run._outcome(_record(0.95, 0.9), _record(0.5, 0.8))


def _record(before: float, after: float) -> TrainRecord:
    return TrainRecord(None, "host", 1, (1.0,), before, after, 1.0, 1.0)


def test_a_folder_of_other_files_is_refused_before_any_work(tmp_path: Path) -> None:
    """And nothing in it changes."""
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.txt").write_text("years of work")
    with pytest.raises(MicrograftError, match="did not write"):
        run_demo(tmp_path, Console(file=io.StringIO()))
    assert [path.name for path in tmp_path.rglob("*")] == ["c", "thesis.txt"]


def test_the_trials_are_what_the_issue_lists() -> None:
    """Head, bias, LoRA and full, in this order."""
    assert [trial.method.partition(":")[0] for trial in TRIALS] == ["head", "bias", "lora", "full"]
    assert LORA in TRIALS
