"""The race: luck in the search does not count, better candidates win, learning rates are settled."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from micrograft.laboratory import Laboratory, Methods, Result
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.lora import LoRA
from micrograft.race import KEPT, LEAST, Finalist, Race
from micrograft.recipe import Recipe
from micrograft.report.findings import Findings, Point, with_front
from micrograft.samples import Samples
from micrograft.search.costs import FREE
from micrograft.search.holdout import Episode
from micrograft.search.noise import noise_of_difference
from micrograft.search.store import Store
from micrograft.trial import Learned, Outcome, Score, Task
from tests.networks import mlp

EPISODES, NOISE = 4, 0.03
RECIPE = Recipe((LoRA(),), SGD(lr=0.1))
CANDIDATES: list[Methods] = [(LoRA(rank=rank),) for rank in range(1, 61)]


def truth(methods: Methods) -> float:
    """The best of the cheap half is that of rank 20; others are alike."""
    return 0.9 if methods == (LoRA(rank=20),) else 0.8


def outcome(recipe: Recipe, rates: Sequence[float], seed: int) -> Outcome:
    """As measured with luck: half the learning rate costs 0.1, and 20 times as much diverges."""
    learned = []
    for factor in rates:
        rate = factor * recipe.optimizer.lr
        loss = 0.0 if rate == 0.1 else 0.1
        generator = np.random.default_rng([seed, zlib.crc32(f"{recipe.methods} {rate}".encode())])
        scores = truth(recipe.methods) - loss + NOISE * generator.standard_normal(EPISODES)
        if rate < 1:
            learned.append(Learned(rate, tuple(Score(float(score), 1.0) for score in scores)))
    learned.sort(key=lambda each: -each.score.merit)
    method = recipe.methods[0]
    assert isinstance(method, LoRA)
    return Outcome(recipe, None, None, 1, FREE, 100 * method.rank, learned=tuple(learned))


def simulated(
    work: Callable[[Task, Recipe], Outcome], task: Task, recipes: Sequence[Recipe]
) -> Iterator[tuple[Recipe, Any]]:
    for recipe in recipes:
        yield recipe, outcome(recipe, task.rates, task.seed)


def laboratories(folder: Path, luck: int) -> list[Laboratory]:
    """The search's, and three rounds."""
    samples = Samples(np.zeros((1, 4), np.float32), np.zeros(1, np.int64))
    rates = (1.0, 0.5, 20.0)
    tasks = [
        Task(
            mlp(), None, None, (Episode(samples, samples),), 1, rates if number < 2 else (1.0,), seed=10 * luck + number
        )
        for number in range(4)
    ]
    return [Laboratory(task, RECIPE, Store(folder), simulated) for task in tasks]


def searched(folder: Path, luck: int = 0) -> dict[Methods, Result]:
    results = laboratories(folder, luck)[0].measure(CANDIDATES, "")
    return {methods: result for methods, result in zip(CANDIDATES, results, strict=True) if result is not None}


def raced(
    folder: Path, tried: dict[Methods, Result], always: Sequence[Methods], luck: int = 0
) -> dict[Methods, Finalist]:
    return Race(RECIPE, tried, [3000, 6000], frozenset(always), laboratories(folder, luck)[1:]).run()


def test_the_better_candidate_wins_at_its_learning_rate(tmp_path: Path) -> None:
    """Every finalist was measured in each round; few are left within each amount of RAM, and those to compare with."""
    always = [CANDIDATES[0], CANDIDATES[59]]
    finalists = raced(tmp_path, searched(tmp_path), always)
    assert max(finalists, key=lambda methods: finalists[methods].merit) == (LoRA(rank=20),)
    assert finalists.keys() >= set(always) and len(finalists) <= 2 * max(LEAST, KEPT >> 2) + len(always)
    for methods, finalist in finalists.items():
        assert finalist.merits.shape == (3, EPISODES) and finalist.recipe.methods == methods
        assert finalist.recipe.optimizer.lr == 0.1


def test_luck_in_the_search_does_not_count(tmp_path: Path) -> None:
    """Of candidates that are alike the luckiest looks better than it is; what the race says of it does not."""
    gaps = []
    for luck in range(20):
        tried = searched(tmp_path / str(luck), luck)
        luckiest = max((methods for methods in tried if truth(methods) == 0.8), key=lambda each: tried[each].merit)
        assert tried[luckiest].merit > 0.81
        gaps.append(raced(tmp_path / str(luck), tried, [luckiest], luck)[luckiest].merit - 0.8)
    assert abs(float(np.mean(gaps))) < 0.01


def test_the_noise_is_what_a_new_task_adds() -> None:
    """Found from 2,000 candidates that fare differently on 4 tasks; the rounds of one task count as tasks."""
    generator = np.random.default_rng(0)
    tasks = 0.05 * generator.standard_normal((2000, 1, 4)) + generator.standard_normal((1, 1, 4))
    merits = tasks + 1e-3 * generator.standard_normal((2000, 3, 4))
    assert abs(noise_of_difference(merits) - 0.05 * np.sqrt(2 / 4)) < 1e-3
    assert noise_of_difference(merits.transpose(0, 2, 1)[:, :, :1]) > 0.03
    assert noise_of_difference(merits[:1]) == noise_of_difference(merits[:, :1, :1]) == float("inf")


def point(origin: str, ram: int, score: float, confirmed: float | None) -> Point:
    return Point(origin, f"{origin}{ram}", "sgd", ram, ram, ram, score, confirmed)


def test_what_treats_all_layers_alike_is_taken_unless_another_is_better_beyond_noise() -> None:
    """Within each amount of RAM; what was not measured to the end is not taken, whatever it seemed to be."""
    points = with_front(
        [
            point("uniform", 100, 0.7, 0.70),
            point("uniform", 200, 0.7, 0.80),
            point("evolved", 150, 0.9, 0.79),
            point("evolved", 180, 0.9, 0.81),
            point("evolved", 190, 0.99, None),
        ]
    )
    findings = Findings(points, 0.02, [], 200, "accuracy", "", 0.5, "", 1.0, 1, 0)
    assert [(alike.ram, found.ram) for alike, found in findings.comparisons] == [(100, 100), (200, 200)]
    assert findings.best.ram == 200 and findings.within(99) is None
    found = findings.within(199)
    assert found is not None and (found.ram, found.origin) == (180, "evolved")
    assert [each.ram for each in findings.front] == [100, 150, 180]
    assert findings.to_json()["best"]["ram"] == 200
