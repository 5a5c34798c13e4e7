"""`--method auto`: what is tried fits or says why not, ranks as the rule says, and ends in the record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import micrograft
from micrograft import api
from micrograft.auto import _smaller, choose
from micrograft.boards import find_board
from micrograft.cli import main
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.head import Head
from micrograft.recipe import Recipe
from micrograft.samples import Samples
from micrograft.search.holdout import FOLDS, hold_out, some_shots
from micrograft.search.limits import Limits
from micrograft.search.workers import run_all
from micrograft.spec import parse_methods
from micrograft.trial import Learned, Score, Task, run_trial
from tests.tiny import data, write_data, write_network

BOARD = find_board("stm32f103")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("auto")
    write_network(folder / "net.onnx")
    write_data(folder / "data.npz")
    return folder


@pytest.fixture(scope="module")
def found(place: Path) -> dict[str, object]:
    """What a training with auto says, and the command line writes."""
    words = ["--method", "auto", "--optimizer", "sgd:lr=0.1", "--epochs", "4", "--board", BOARD.name, "--on", "host"]
    words += ["--max-instructions", "1000000", "--jobs", "2", "--out", str(place / "adapter"), "--json"]
    result = CliRunner().invoke(main, ["train", str(place / "net.onnx"), "--data", str(place / "data.npz"), *words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_the_best_by_accuracy_and_then_by_ram_is_taken(found: dict[str, object]) -> None:
    """Those that cannot be taken come last; the adapter was trained with the first one."""
    auto, recipe = found["auto"], found["recipe"]
    assert isinstance(auto, dict) and isinstance(recipe, dict)
    options = auto["options"]
    taken = [option for option in options if option["fits"]]
    assert options[: len(taken)] == taken and len(taken) > 8
    keys = [(-option["accuracy"], option["ram"]) for option in taken]
    assert keys == sorted(keys) and auto["taken"] == options[0]
    assert micrograft.find_board(BOARD.name).ram.size >= max(option["ram"] for option in taken)
    assert parse_methods(recipe["method"]) == parse_methods(options[0]["method"])
    assert "held-out" in auto["rule"] and options[0]["method"] in auto["why"]
    assert all(option["instructions_are"] == "emulated" for option in taken)


def test_the_record_and_the_report_hold_the_choice(found: dict[str, object], place: Path) -> None:
    """With every plan that was tried."""
    record = json.loads((place / "adapter" / "record.json").read_text())
    assert record["auto"] == found["auto"]
    page = (place / "adapter" / "report.html").read_text()
    assert "How the method was chosen" in page
    assert all(option["method"] in page for option in record["auto"]["options"])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three methods instead of all that are sensible."""

    def tried(network: Graph, recipe: Recipe) -> Iterator[Recipe]:
        for words in ("head", "bias+head", "lora:rank=2"):
            yield replace(recipe, methods=parse_methods(words))

    monkeypatch.setattr("micrograft.auto.candidates", tried)


@pytest.mark.usefixtures("few")
def test_accuracies_are_those_of_a_training_by_hand(place: Path) -> None:
    """On what was held out, at the learning rate that the table names."""
    network, samples = api.load(place / "net.onnx"), data(48)
    given = Samples(samples["x"], samples["y"])
    chosen = choose(network, BOARD, Recipe((Head(),), SGD(lr=0.1)), given, epochs=2, processes=1)
    assert chosen.recipe is not None and chosen.choice.taken is not None
    scores = []
    for fold in range(FOLDS):
        episode = hold_out(given, fold)
        library = api.adapt(network, chosen.recipe, hold_out(given).learn.x)
        order = []
        generator = np.random.default_rng(0)
        for _ in range(2):
            order += list(generator.permutation(len(episode.learn)))
        learn = api.check_samples(library, episode.learn)
        assert learn.y is not None
        with api.host(library) as runner:
            for index in order:
                runner.train_step(learn.x[index], learn.y[index])
            scores.append(api.judge(runner, api.check_samples(library, episode.judge))[0])
    assert chosen.choice.taken.accuracy == pytest.approx(np.mean(scores))


@pytest.mark.usefixtures("few")
def test_a_plan_without_data_ranks_by_what_is_trained(place: Path) -> None:
    """Half of the RAM free first, then most numbers, then least RAM; the bill is that of the first."""
    words = ["plan", str(place / "net.onnx"), "--method", "auto", "--board", BOARD.name, "--jobs", "1", "--json"]
    found = json.loads(CliRunner().invoke(main, words).stdout)
    options = [option for option in found["auto"]["options"] if option["fits"]]
    keys = [(2 * each["ram"] > BOARD.ram.size, -each["trainable_parameters"], each["ram"]) for each in options]
    assert keys == sorted(keys)
    assert found["ram"]["total"] == options[0]["ram"] and options[0]["accuracy"] is None


@pytest.mark.usefixtures("few")
def test_a_limit_drops_what_takes_longer(place: Path) -> None:
    """Nothing remains where nothing can: status 3 and a sentence."""
    words = ["plan", str(place / "net.onnx"), "--method", "auto", "--jobs", "1", "--max-instructions", "1000", "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 3
    auto = json.loads(result.stdout)["auto"]
    assert auto["taken"] is None and all("1,000 instructions" in option["problem"] for option in auto["options"])
    assert re.search(r"None of the 3 plans keeps to 1,000 instructions a step; head takes [\d,]+ inst", auto["why"])
    shown = CliRunner().invoke(main, words[:-1]).stdout
    assert "flash" not in shown, "there is no table of nothing"


def test_seconds_and_joules_follow_a_stated_model() -> None:
    """One instruction a cycle at the rated clock; energy needs a power that somebody measured."""
    assert Limits(seconds=0.5).on(BOARD) == BOARD.clock_hz // 2
    assert Limits(instructions=10, seconds=1.0).on(BOARD) == 10
    assert Limits(joules=0.1, watts=0.2).on(BOARD) == BOARD.clock_hz // 2
    assert "one instruction a cycle" in Limits(seconds=0.5).text(BOARD)
    assert "72 MHz and 0.2 W; a real core" in Limits(joules=0.1, watts=0.2).text(BOARD)
    with pytest.raises(MicrograftError, match="go together"):
        Limits(joules=1.0)
    with pytest.raises(MicrograftError, match="above 0"):
        Limits(seconds=0.0)


def test_what_may_be_as_good_in_less_ram_is_named(place: Path) -> None:
    """Where the stretches held out do not tell the two apart; not where they do."""
    network = api.load(place / "net.onnx")
    plans = [run_trial(Task(network, BOARD), Recipe(parse_methods(words))) for words in ("full", "head")]

    def said(*merits: tuple[float, ...]) -> str:
        scores = [tuple(Score(merit, 1.0) for merit in each) for each in merits]
        pairs = zip(plans, scores, strict=True)
        return _smaller([replace(plan, score=each[0], learned=(Learned(0.1, each),)) for plan, each in pairs])

    small = plans[1].bill
    assert small is not None
    unsure = said((0.9, 0.8, 0.9, 0.8), (0.7, 0.9, 0.8, 0.9))
    assert re.match(r" Worse by 2.5 ± [\d.]+ %, which may be chance: head, in ", unsure) and unsure.endswith(
        f"{small.ram.total:,} bytes."
    )
    assert not said((0.9, 0.8, 0.9, 0.8), (0.7, 0.6, 0.7, 0.6)) and not said((0.9,), (0.8,))


def test_limits_and_data_without_auto_are_refused(place: Path) -> None:
    """Rather than ignored."""
    for words in (["--max-seconds", "1"], ["--data", str(place / "data.npz")]):
        result = CliRunner().invoke(main, ["plan", str(place / "net.onnx"), *words])
        assert result.exit_code == 1 and "auto" in result.stderr


def test_what_is_held_out_is_a_stretch_of_each_class_and_is_never_learned_from() -> None:
    """Every sample is held out once; shots are the first ones of each class."""
    y = np.repeat(np.arange(3), 8)
    samples = Samples(np.arange(24, dtype=np.float32)[:, None], y)
    seen: list[float] = []
    for fold in range(FOLDS):
        episode = hold_out(samples, fold)
        assert not set(episode.learn.x.ravel()) & set(episode.judge.x.ravel())
        assert len(episode.judge) == 6 and len(episode.learn) == 18
        seen += list(episode.judge.x.ravel())
    assert sorted(seen) == list(range(24))
    assert list(hold_out(samples).judge.x.ravel()) == [6, 7, 14, 15, 22, 23]
    assert list(some_shots(samples, 2).learn.x.ravel()) == [0, 1, 8, 9, 16, 17]
    with pytest.raises(MicrograftError, match="too few"):
        hold_out(Samples(samples.x[:1], y[:1]))


def _square(shared: int, job: int) -> int:
    if job < 0:
        raise MicrograftError("negative")
    return shared * job * job


@pytest.mark.parametrize("processes", [1, 2])
def test_jobs_run_in_processes_and_errors_are_results(processes: int) -> None:
    """Each result comes with its job."""
    results = dict(run_all(_square, 2, [1, 2, 3, -1], processes))
    assert {job: result for job, result in results.items() if job > 0} == {1: 2, 2: 8, 3: 18}
    assert isinstance(results[-1], MicrograftError)
