"""Evolution finds what no sum of gains shows, and finds the same each time."""

from __future__ import annotations

from collections.abc import Sequence

from micrograft.search.evolve import Evolution, Genome, Objectives, crowding, dominates, evolve, front, survivors
from micrograft.search.pieces import Piece

EVERY = [Piece(f"layer{i}", kind) for i in range(6) for kind in ("bias", "lora", "lora_b")]  # type: ignore[arg-type]
PAIR = frozenset({EVERY[1], EVERY[7]})


def measure(genomes: Sequence[Genome]) -> list[Objectives | None]:
    """Fewer pieces are cheaper; two of them are worth much together and nothing alone; too many are refused."""
    return [None if len(genome) > 5 else (float(len(genome)), -float(genome >= PAIR)) for genome in genomes]


def start() -> list[tuple[Genome, Objectives]]:
    singles = [frozenset({piece}) for piece in EVERY]
    return [(genome, objectives) for genome, objectives in zip(singles, measure(singles), strict=True) if objectives]


def test_a_pair_that_is_worth_something_only_together_is_found() -> None:
    """From singles that gain nothing each; with one piece of each slot at most."""
    known = evolve(start(), EVERY, measure, Evolution(generations=30, children=16))
    best = front(known)
    assert (2.0, -1.0) in best.values() and (1.0, -0.0) in best.values()
    for genome in known:
        assert len({piece.slot for piece in genome}) == len(genome) <= 5


def test_the_same_seed_measures_the_same_sets() -> None:
    """And none twice."""
    seen: list[Genome] = []

    def counting(genomes: Sequence[Genome]) -> list[Objectives | None]:
        seen.extend(genomes)
        return measure(genomes)

    runs = [evolve(start(), EVERY, counting, Evolution(4, 8, seed=3)) for _ in range(2)]
    assert runs[0] == runs[1] and len(seen) == len(set(seen)) * 2


def test_the_front_holds_what_nothing_betters() -> None:
    """Of equals the first one; survivors come front by front, the loneliest first."""
    names = {name: frozenset({Piece(name, "bias")}) for name in "abcde"}
    known = {names["a"]: (1.0, 5.0), names["b"]: (2.0, 4.0), names["c"]: (5.0, 1.0), names["d"]: (2.0, 4.0)}
    known[names["e"]] = (6.0, 6.0)
    assert list(front(known)) == [names["a"], names["b"], names["c"]]
    assert not any(dominates(b, a) for a in front(known).values() for b in known.values())
    assert set(survivors(known, 3)) == {names["a"], names["b"], names["c"]} and len(survivors(known, 5)) == 5
    assert crowding(front(known))[names["b"]] < float("inf") == crowding(front(known))[names["a"]]
