"""The solver's selection is the best of all subsets; costs are shared as plans share them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.recipe import Recipe
from micrograft.search.costs import FREE, Cost, Forward, cost_of, ram_of, union
from micrograft.search.pieces import Piece, compose, head_pieces, pieces
from micrograft.search.select import Budget, Item, select
from micrograft.trial import as_it_came
from tests.networks import mlp


def drawn(seed: int, count: int) -> tuple[list[Item], Forward]:
    """Items that share kept tensors and ways as layers of a chain do, some of them of one slot, with odd sizes."""
    generator = np.random.default_rng(seed)
    sizes = {f"mask{layer}": int(generator.integers(1, 400)) for layer in range(5)}
    work = {f"back{layer}": int(generator.integers(1, 900)) for layer in range(5)}
    items = []
    for index in range(count):
        depth = int(generator.integers(0, 5))
        kept = {name: size for name, size in sizes.items() if int(name[-1]) >= depth}
        kept[f"input{depth}"] = int(generator.integers(1, 4)) * 100  # a share of its channels
        cost = Cost(
            own=int(generator.integers(1, 300)),
            written=int(generator.integers(1, 300)),
            kept=kept,
            since={name: int(name[-1]) for name in kept},
            transient=int(generator.integers(0, 500)),
            ways={name: amount for name, amount in work.items() if int(name[-1]) >= depth},
        )
        items.append(
            Item(Piece(f"layer{index // 2}", "weight", 1 + index % 2), float(generator.normal(0.05, 0.1)), cost)
        )
    alive = tuple(int(each) for each in generator.integers(0, 1200, 5))
    return items, Forward((), alive, {})


@pytest.mark.parametrize("seed", range(12))
def test_no_subset_within_the_budget_gains_more(seed: int) -> None:
    """RAM at every moment, bytes written and work are all kept to, and what is borne anyway counts."""
    items, forward = drawn(seed, 9)
    always = items.pop().cost if seed % 2 else FREE
    budget = Budget(ram=1800, written=700 if seed % 3 else None, work=2500 if seed % 4 else None)

    def gain(chosen: tuple[Item, ...]) -> float:
        cost = union([always, *(item.cost for item in chosen)])
        slots = [item.piece.slot for item in chosen]
        over = ram_of(cost, forward) > budget.ram or len(set(slots)) < len(slots)
        over |= budget.written is not None and cost.written > budget.written
        over |= budget.work is not None and sum(cost.ways.values()) + forward.work > budget.work
        return -1.0 if over else sum(item.gain for item in chosen)

    subsets = (subset for count in range(len(items) + 1) for subset in combinations(items, count))
    best = max(gain(subset) for subset in subsets)
    found = select(items, budget, forward, always)
    chosen = tuple(item for item in items if item.piece in found.chosen)
    assert found.gain == pytest.approx(max(best, 0.0), abs=1e-5) == pytest.approx(found.bound, abs=1e-5)
    assert not chosen or gain(chosen) == pytest.approx(found.gain)


def test_nothing_is_selected_where_nothing_fits() -> None:
    """Rather than something that does not."""
    items, forward = drawn(0, 6)
    assert not select(items, Budget(ram=10), forward).chosen


@pytest.fixture(scope="module")
def network() -> Graph:
    return mlp()


def test_a_piece_trains_what_it_says_and_a_set_trains_all_of_its_pieces(network: Graph) -> None:
    """The bytes of a set are the sum of those of its pieces."""
    every = pieces(network, (0.5, 1.0), (2,))
    assert {piece.kind for piece in every} == {"bias", "weight", "lora", "lora_b"}
    sizes = {piece: api.adapt(network, Recipe(compose([piece]))).memory.state_bytes for piece in every}
    weights = {piece for piece in every if piece.kind == "weight"}
    whole = {piece.layer: sizes[piece] for piece in weights if piece.amount == 1}
    for piece in weights:
        assert sizes[piece] == pytest.approx(piece.amount * whole[piece.layer], abs=max(whole.values()) / 4)
    chosen = {piece.slot: piece for piece in every}.values()
    library = api.adapt(network, Recipe(compose(chosen)))
    assert library.memory.state_bytes == sum(sizes[piece] for piece in chosen)
    head = head_pieces(network)
    assert {piece.kind for piece in head} == {"bias", "weight"} and len({piece.layer for piece in head}) == 1


def test_the_model_of_memory_is_near_the_plan(network: Graph) -> None:
    """Of single pieces and of sets, so that few repairs are needed."""
    forward = as_it_came(network)
    every = pieces(network, (0.5, 1.0), (2,))

    def planned(chosen: list[Piece]) -> tuple[Cost, int]:
        library = api.adapt(network, Recipe(compose(chosen)))
        assert library.train is not None
        memory = library.memory
        used = memory.state_bytes + memory.optimizer_bytes + library.train.arena
        return cost_of(library.train, memory, forward), used

    costs = {piece: planned([piece]) for piece in every}
    for cost, used in costs.values():
        assert ram_of(cost, forward) == pytest.approx(used, rel=0.25)
    together = list({piece.slot: piece for piece in every}.values())
    model = ram_of(union([costs[piece][0] for piece in together]), forward)
    assert model == pytest.approx(planned(together)[1], rel=0.25)
    assert model <= sum(ram_of(costs[piece][0], forward) for piece in together)
