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
from micrograft.report.findings import Point, with_front
from micrograft.samples import Samples
from micrograft.search.costs import FREE
from micrograft.search.holdout import Episode
from micrograft.search.standings import Standings
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
            mlp(), None, None, (Episode(samples, samples),), 1, rates if number < 1 else (1.0,), seed=10 * luck + number
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
    """Found from 300 candidates that fare differently on 4 tasks; the rounds of one task count as tasks."""
    generator = np.random.default_rng(0)
    tasks = 0.05 * generator.standard_normal((300, 1, 4)) + generator.standard_normal((1, 1, 4))
    merits = tasks + 1e-3 * generator.standard_normal((300, 3, 4))
    assert abs(Standings(merits).noise - 0.05 * np.sqrt(2 / 4)) < 3e-3
    assert Standings(merits.transpose(0, 2, 1)[:, :, :1]).noise > 0.03
    assert Standings(merits[:1]).noise == Standings(merits[:, :1, :1]).noise == float("inf")


def test_luck_that_a_round_brings_to_all_tasks_is_noise_too() -> None:
    """New parameters that suit a candidate do so on every task: many tasks do not make it surer, rounds do."""
    generator = np.random.default_rng(0)
    for rounds in (3, 12):
        lucky = 0.05 * generator.standard_normal((200, rounds, 1)) + 1e-3 * generator.standard_normal((200, rounds, 40))
        assert 0.7 < Standings(lucky).noise / (0.05 * np.sqrt(2 / rounds)) < 1.3


def test_what_treats_all_layers_alike_is_taken_unless_another_is_better_beyond_noise() -> None:
    """One that is better everywhere is taken; one that is better on average, but not on each task, is not."""
    alike, everywhere, sometimes = [0.80, 0.70, 0.60], [0.82, 0.72, 0.62], [0.95, 0.60, 0.65]
    others = [[[each + 0.001 * (task % 2) for task, each in enumerate(alike)]], [alike], [alike]]
    standings = Standings(np.array([[alike], [everywhere], [sometimes], *others]))
    assert standings.take([0, 1], [0]) == 1
    assert standings.take([0, 2], [0]) == 0
    by, error = standings.between(2, 0)
    assert np.isclose(by, 1 / 30) and error > by / 2
    assert standings.take([2], []) == 2


def test_the_front_is_of_what_was_measured_to_the_end() -> None:
    """Whatever seemed better before; of equal ones the first."""
    seen = [("uniform", 100, 0.7), ("uniform", 200, 0.8), ("evolved", 150, 0.79), ("evolved", 180, 0.81)]
    points = [Point(origin, origin, "sgd", ram, ram, ram, 0.9, confirmed) for origin, ram, confirmed in seen]
    again = Point("piece", "the same", "sgd", 180, 180, 180, 0.5, 0.81)
    found = with_front([*points, again, Point("evolved", "lucky", "sgd", 50, 50, 50, 0.99)])
    assert [point.ram for point in found if point.on_front] == [100, 150, 180] == [point.ram for point in found[:3]]
