"""`micrograft search`: what is found fits and is what planning gives, and what was measured is not measured again."""

from __future__ import annotations

import csv
import json
import logging
import re
import socket
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from micrograft import api
from micrograft.boards import find_board
from micrograft.cli import main
from micrograft.explore import Quest, _decided, search
from micrograft.laboratory import Laboratory
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.bias import Bias
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.scheme import Scheme
from micrograft.race import Finalist
from micrograft.recipe import Recipe
from micrograft.report.findings import Point
from micrograft.samples import Samples
from micrograft.search.cluster import run_on_cluster
from micrograft.search.evolve import Evolution
from micrograft.search.holdout import episodes_of
from micrograft.search.store import Store, key_of
from micrograft.search.workers import run_all
from micrograft.spec import parse_methods
from micrograft.trial import Outcome, Task, run_trial
from tests.tiny import data, write_network

BOARD = "stm32f103"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    write_network(folder / "net.onnx")
    drawn = data(48)
    np.savez(folder / "data.npz", x=drawn["x"], y=drawn["y"], task=np.repeat(["one", "two"], 24))
    return folder


def run(place: Path, *words: str) -> dict[str, Any]:
    """`micrograft search` on the tiny network, as JSON."""
    given = ["search", str(place / "net.onnx"), "--data", str(place / "data.npz"), "--board", BOARD, "--json"]
    given += [
        "--epochs",
        "4",
        "--optimizer",
        "sgd:lr=0.3",
        "--generations",
        "1",
        "--children",
        "2",
        "--jobs",
        "1",
        "--again",
        "1",
    ]
    result = CliRunner().invoke(main, [*given, *words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def found(place: Path) -> dict[str, Any]:
    return run(place, "--out", str(place / "out"))


def test_the_front_is_what_nothing_betters_and_the_best_fits(found: dict[str, Any]) -> None:
    """And the best is at least as good as every uniform method, by what was measured again."""
    points = found["points"]
    assert found["front"] and all(point["on_front"] for point in found["front"])
    assert {point["origin"] for point in points} >= {"uniform", "piece"}
    best = found["best"]
    assert best["ram"] <= found["ram"] == find_board(BOARD).ram.size and best["confirmed"] is not None
    alike = [point for point in points if point["origin"] == "uniform"]
    assert all(point["confirmed"] is not None for point in alike)
    assert best["confirmed"] >= max(point["confirmed"] for point in alike) > found["before"]
    highest = max(point["confirmed"] for point in points if point["confirmed"] is not None)
    assert highest == (found["perhaps"]["point"] if found["perhaps"] else best)["confirmed"]
    assert [pair["uniform"] for pair in found["comparisons"]] == sorted(alike, key=lambda point: point["ram"])
    for pair in found["comparisons"]:
        assert pair["found"]["ram"] <= pair["uniform"]["ram"]
        assert pair["found"]["confirmed"] >= pair["uniform"]["confirmed"]


def test_what_may_be_as_good_in_less_ram_is_named() -> None:
    """Beside the best, and the smallest of such; not what is surely worse, nor where nothing is smaller."""
    merits = {
        "head": [[0.5, 0.6, 0.5, 0.6]],  # surely worse
        "bias": [[0.7, 0.9, 0.8, 0.9]],
        "lora": [[0.8, 0.8, 0.9, 0.7]],
        "full": [[0.9, 0.8, 0.9, 0.8]],
    }
    recipes = {words: Recipe(parse_methods(words), SGD()) for words in merits}
    finalists = {recipes[words].methods: Finalist(recipes[words], np.array(merits[words])) for words in merits}
    points = [
        Point("uniform", words, "sgd", 100 + index, 1, 1, 0.5, confirmed=float(np.mean(merits[words])), linked=True)
        for index, words in enumerate(merits)
    ]
    best, perhaps, smaller, _, _ = _decided(points, finalists, 1000)
    assert (best.method, perhaps) == ("full", None) and smaller is not None
    assert smaller.point.method == "bias" and smaller.by == pytest.approx(-0.025) and smaller.error is not None
    assert _decided(points[3:], finalists, 1000)[2] is None


def test_ram_and_instructions_of_the_front_are_those_of_its_plan(place: Path, found: dict[str, Any]) -> None:
    """Linked for the board; instructions are those that the emulator counts."""
    network = api.load(place / "net.onnx")
    for point in found["front"][:3]:
        assert point["linked"] and point["counted"] and point["instructions"] > 0
        recipe = Recipe(parse_methods(point["method"]), SGD())
        bill = api.plan(api.adapt(network, recipe), recipe, find_board(BOARD))
        assert bill.ram.total == point["ram"]


def test_everything_is_written(place: Path, found: dict[str, Any]) -> None:
    """JSON, CSV, a scheme that reads back for each sparse method, and a page that stands alone."""
    out = place / "out"
    assert json.loads((out / "front.json").read_text())["front"] == found["front"]
    rows = list(csv.DictReader((out / "front.csv").open()))
    assert [row["method"] for row in rows] == [point["method"] for point in found["front"]]
    schemes = [point for point in found["points"] if point["scheme"]]
    assert schemes
    for point in schemes:
        scheme = Scheme.read(out / point["scheme"])
        assert scheme in [getattr(method, "scheme", None) for method in parse_methods(point["method"])]
        assert point["scheme"] in point["text"]
    page = (out / "report.html").read_text()
    ElementTree.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", page))
    assert "What RAM buys" in page and not re.search(r"https?:|<script", page)


def test_what_was_measured_is_not_measured_again(place: Path, found: dict[str, Any]) -> None:
    """A second run remembers every trial and finds the same; a damaged file alone is measured anew."""
    again = run(place, "--out", str(place / "out"))
    assert again["measured"] == 0 and again["remembered"] == found["measured"]
    assert [again["best"], again["front"]] == [found["best"], found["front"]]
    stored = [path for path in (place / "out" / "trials").glob("*.json") if "learned" in json.loads(path.read_text())]
    assert len(stored) == found["measured"]
    stored[0].write_text("{")
    third = run(place, "--out", str(place / "out"))
    assert third["measured"] == 1 and third["best"] == found["best"]


def quest(place: Path, **changes: Any) -> Quest:
    """A smaller search for what `run` searches, so that its store answers most of it."""
    drawn = np.load(place / "data.npz")
    episodes = episodes_of(Samples(drawn["x"], drawn["y"]), drawn["task"], None)
    recipe = Recipe((Head(),), SGD(lr=0.3))
    given = {"steps": 72, "ram": 65536, "ratios": (1.0,), "evolution": Evolution(0), **changes}
    return Quest(api.load(place / "net.onnx"), find_board(BOARD), recipe, episodes, **given)


def one_by_one(
    work: Callable[[Task, Recipe], Outcome], task: Task, recipes: Sequence[Recipe]
) -> Iterator[tuple[Recipe, Any]]:
    return run_all(work, task, recipes, 1)


def test_an_interruption_loses_only_what_was_running(place: Path, tmp_path: Path) -> None:
    """What was finished before is remembered afterwards."""

    def stops(
        work: Callable[[Task, Recipe], Outcome], task: Task, recipes: Sequence[Recipe]
    ) -> Iterator[tuple[Recipe, Any]]:
        for count, pair in enumerate(one_by_one(work, task, recipes)):
            if count == 2:
                raise KeyboardInterrupt
            yield pair

    wanted = quest(place)
    task = Task(wanted.network, None, None, wanted.episodes, wanted.steps)
    methods = [(Head(),), (Bias(),), (LoRA(rank=2),), (Bias(), Head())]
    store = Store(tmp_path / "trials")
    with pytest.raises(KeyboardInterrupt):
        Laboratory(task, wanted.recipe, store, stops).measure(methods, "")
    after = Laboratory(task, wanted.recipe, store, one_by_one)
    results = after.measure(methods, "")
    assert (after.remembered, after.measured) == (2, 2)
    fresh = run_trial(task, Recipe(methods[0], SGD(lr=0.3)))
    assert results[0] is not None and results[0].score == fresh.score
    other = Laboratory(Task(wanted.network, None, None, wanted.episodes, 13), wanted.recipe, store, one_by_one)
    other.measure(methods[:1], "")
    assert other.measured == 1, "another number of steps is another trial"


def test_nothing_that_needs_more_than_the_budget_is_taken(place: Path, found: dict[str, Any]) -> None:
    """The budget holds for the linked image; where nothing fits that is said in a sentence."""
    assert found["measured"]
    store = Store(place / "out" / "trials")
    whole, _ = search(quest(place, ram=2400), store, one_by_one)
    assert all(point.ram <= 2400 for point in whole.points)
    tight, _ = search(quest(place, ram=2400, written=40), store, one_by_one)
    assert all(point.written <= 40 for point in tight.points) and len(tight.points) < len(whole.points)
    with pytest.raises(api.MicrograftError, match="nothing can be trained in 1,300 bytes"):
        search(quest(place, ram=1300), store, one_by_one)


def test_no_step_takes_more_instructions_than_it_may(place: Path, found: dict[str, Any]) -> None:
    """As the emulator counts them, for all that may be taken; the core has no float unit, where estimates err."""
    counts = sorted(point["instructions"] for point in found["points"] if point["counted"])
    assert len(counts) > 6 and counts[0] < counts[-1]
    most = counts[len(counts) // 2]
    findings, _ = search(quest(place, work=most), Store(place / "out" / "trials"), one_by_one)
    final = [point for point in findings.points if point.confirmed is not None]
    assert final and all(point.counted and point.instructions <= most for point in final)
    assert max(point.instructions for point in final) > 0.6 * most, "the limit is used"


def test_a_limit_that_admits_nothing_is_refused_before_anything_is_learned(place: Path, tmp_path: Path) -> None:
    """With what training the head would need; and so is more RAM than the board has."""
    with pytest.raises(api.MicrograftError, match=r"65,536 bytes of RAM, 3 bytes written; .* needs .* written"):
        search(quest(place, written=3), Store(tmp_path / "trials"), one_by_one)
    stored = [json.loads(path.read_text()) for path in (tmp_path / "trials").glob("*.json")]
    assert not any(result.get("learned") for result in stored)
    with pytest.raises(api.MicrograftError, match="the board has 65,536"):
        search(quest(place, ram=65537), Store(tmp_path / "trials"), one_by_one)


def test_episodes_begin_with_different_draws_in_turn(place: Path) -> None:
    """As if each were learned alone with its own seed."""
    wanted = quest(place)
    recipe = Recipe((LoRA(rank=1),), SGD(lr=0.3))
    task = Task(wanted.network, None, None, wanted.episodes, 24)
    alone = [run_trial(task, replace(recipe, seed=seed)).learned for seed in (0, 1)]
    together = run_trial(replace(task, draws=2), recipe).learned
    assert alone[0] and alone[1] and together and alone[0][0].scores != alone[1][0].scores
    assert together[0].scores == (alone[0][0].scores[0], alone[1][0].scores[1])


def test_a_learning_rate_that_is_far_too_small_or_too_large_does_not_matter(place: Path) -> None:
    """Further ones are tried while the best is the last on its side."""
    wanted = quest(place)
    task = Task(wanted.network, None, None, wanted.episodes, 24, (1.0, 0.25, 4.0))
    for lr in (0.004, 60.0):
        learned = run_trial(task, Recipe((Head(),), SGD(lr=lr))).learned
        assert learned is not None and 0.05 < learned[0].rate < 5


@pytest.mark.slow
def test_a_network_is_searched_in_int8(place: Path, tmp_path: Path) -> None:
    """A float file, by the command line: RAM is that of the same network's plan in int8."""
    words = ["--precision", "int8", "--gradients", "int16", "--generations", "0", "--out", str(tmp_path / "out")]
    points = run(place, *words)["front"]
    network = api.quantize(api.load(place / "net.onnx"), np.load(place / "data.npz")["x"])
    assert points
    for point in points[:2]:
        recipe = Recipe(parse_methods(point["method"]), SGD(), gradients="int16", additions="int16")
        assert api.plan(api.adapt(network, recipe), recipe, find_board(BOARD)).ram.total == point["ram"]


@pytest.mark.slow
def test_a_new_head_is_trained_in_any_case(place: Path) -> None:
    """Every selected or evolved set has it."""
    findings, _ = search(quest(place, with_head=True), Store(place / "out" / "trials"), one_by_one)
    made = [point for point in findings.points if point.origin in ("piece", "selected", "evolved")]
    assert made and all("head" in point.method for point in made)


def test_keys_tell_apart_what_is_joined_otherwise() -> None:
    """No two different lists of parts have one key."""
    assert key_of("ab", "c") != key_of("a", "bc") != key_of("abc")


@pytest.mark.slow
def test_a_cluster_of_two_workers_finds_the_same(place: Path, tmp_path: Path) -> None:
    """The same trials on a local Ray cluster: the same scores and the same best."""
    ray = pytest.importorskip("ray", reason="Ray is the extra `cluster`")
    here = run(place, "--out", str(tmp_path / "here"))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        there = run(place, "--out", str(tmp_path / "there"), "--cluster", "auto")
    finally:
        ray.shutdown()
    assert there["measured"] == here["measured"] > 0
    assert [there["best"], there["front"]] == [here["best"], here["front"]]


def test_more_shots_than_samples_are_refused_in_a_sentence(place: Path, tmp_path: Path) -> None:
    """With the number that there are too few for."""
    words = ["search", str(place / "net.onnx"), "--data", str(place / "data.npz"), "--shots", "8"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1 and "of no class there are more than 8 samples" in result.stderr


def test_a_cluster_that_is_not_there_is_refused_in_a_sentence(place: Path, tmp_path: Path) -> None:
    """Whether Ray is absent or the address is wrong."""
    words = ["search", str(place / "net.onnx"), "--data", str(place / "data.npz"), "--cluster", "nowhere:1"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1 and result.stderr.startswith("error: --cluster")


def test_a_cluster_that_lets_nobody_in_is_not_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's clusters may ask for a token; then somebody listens, and Ray says only that it could not connect."""

    class Ray:
        def is_initialized(self) -> bool:
            return False

        def init(self, **words: Any) -> None:
            raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setitem(sys.modules, "ray", Ray())
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(api.MicrograftError, match=f"somebody listens at {address}.*RAY_AUTH_TOKEN"):
            next(run_on_cluster(run_trial, None, [None], address))  # type: ignore[arg-type]
    with pytest.raises(api.MicrograftError, match="no cluster answers at auto"):
        next(run_on_cluster(run_trial, None, [None], "auto"))  # type: ignore[arg-type]
