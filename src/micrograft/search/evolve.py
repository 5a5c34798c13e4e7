"""Evolution of sets of pieces, for gains and costs that do not add up: everything is measured, nothing modelled.

A small NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017): parents are drawn from the best by non-dominated rank and
then by how alone they stand. Children take each layer from one of two parents, or the layers up to some depth from one
and the rest from the other; then a piece or two change, or all of a stretch of layers alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from micrograft.search.pieces import Piece

Genome = frozenset[Piece]
Objectives = tuple[float, ...]
"""Each is the better the smaller."""

Measure = Callable[[Sequence[Genome]], Sequence[Objectives | None]]
"""Objectives of each genome, None where it cannot be had (over budget, diverged)."""


@dataclass(frozen=True)
class Evolution:
    """generations: how often `children` new sets are measured. parents: how many sets live on."""

    generations: int = 4
    children: int = 16
    parents: int = 12
    seed: int = 0


def evolve(
    start: Sequence[tuple[Genome, Objectives]], every: Sequence[Piece], measure: Measure, evolution: Evolution
) -> dict[Genome, Objectives]:
    """Everything that was measured, `start` included. every: the pieces that there are. Repeatable from its seed."""
    generator = random.Random(evolution.seed)
    known = dict(start)
    tried = set(known)
    for _ in range(evolution.generations):
        parents = survivors(known, evolution.parents)
        if not parents:
            break
        children = _children(parents, every, tried, evolution.children, generator)
        tried |= set(children)
        for child, objectives in zip(children, measure(children), strict=True):
            if objectives is not None:
                known[child] = objectives
    return known


def dominates(a: Objectives, b: Objectives) -> bool:
    """Whether a is nowhere worse than b and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def front(known: dict[Genome, Objectives]) -> dict[Genome, Objectives]:
    """What nothing else dominates; of sets with equal objectives the first one."""
    seen: set[Objectives] = set()
    found = {}
    for genome, objectives in known.items():
        if objectives not in seen and not any(dominates(other, objectives) for other in known.values()):
            seen.add(objectives)
            found[genome] = objectives
    return found


def survivors(known: dict[Genome, Objectives], count: int) -> list[Genome]:
    """The best `count` sets: front by front, and within the last one those that stand most alone."""
    left, chosen = dict(known), list[Genome]()
    while left and len(chosen) < count:
        best = front(left)
        alone = crowding(best)
        chosen += sorted(best, key=lambda genome: -alone[genome])[: count - len(chosen)]
        left = {genome: objectives for genome, objectives in left.items() if genome not in best}
    return chosen


def crowding(known: dict[Genome, Objectives]) -> dict[Genome, float]:
    """How far each set's neighbours are from each other, in shares of the range of each objective."""
    found = dict.fromkeys(known, 0.0)
    for axis in range(len(next(iter(known.values()), ()))):
        order = sorted(known, key=lambda genome: known[genome][axis])
        span = known[order[-1]][axis] - known[order[0]][axis]
        found[order[0]] = found[order[-1]] = float("inf")
        for before, genome, after in zip(order, order[1:], order[2:], strict=False):
            found[genome] += (known[after][axis] - known[before][axis]) / span if span else 0.0
    return found


def _children(
    parents: Sequence[Genome], every: Sequence[Piece], tried: set[Genome], count: int, generator: random.Random
) -> list[Genome]:
    """New sets that were not tried before; fewer than `count` where there are few pieces."""
    found: dict[Genome, None] = {}
    for _ in range(20 * count):
        if len(found) == count:
            break
        mix, change = generator.choice((_mixed, _joined)), generator.choice((_changed, _changed, _stretched))
        child = mix(generator.choice(parents), generator.choice(parents), every, generator)
        for _ in range(generator.choice((1, 1, 2))):
            child = change(child, every, generator)
        if child and child not in tried:
            found[child] = None
    return list(found)


def _mixed(one: Genome, other: Genome, every: Sequence[Piece], generator: random.Random) -> Genome:
    """Each slot as in one parent or the other."""
    slots = sorted({piece.slot for piece in one | other})
    from_one = {slot: generator.random() < 0.5 for slot in slots}
    kept = [piece for piece in one if from_one[piece.slot]] + [piece for piece in other if not from_one[piece.slot]]
    return frozenset(kept)


def _joined(one: Genome, other: Genome, every: Sequence[Piece], generator: random.Random) -> Genome:
    """The layers up to some depth as in one parent, those behind as in the other."""
    layers = _layers(every)
    first = set(layers[: generator.randint(0, len(layers))])
    return frozenset(
        {each for each in one if each.layer in first} | {each for each in other if each.layer not in first}
    )


def _changed(genome: Genome, every: Sequence[Piece], generator: random.Random) -> Genome:
    """With one piece removed, added, or put in another's place."""
    if genome and generator.random() < 0.4:
        return genome - {generator.choice(sorted(genome))}
    piece = generator.choice(every)
    return frozenset({each for each in genome if each.slot != piece.slot} | {piece})


def _stretched(genome: Genome, every: Sequence[Piece], generator: random.Random) -> Genome:
    """With pieces of one kind and amount in a stretch of layers, or without any in their place."""
    layers, like = _layers(every), generator.choice(every)
    start, end = sorted((generator.randrange(len(layers)), generator.randrange(len(layers))))
    stretch = set(layers[start : end + 1])
    chosen = {each for each in every if each.layer in stretch and (each.kind, each.amount) == (like.kind, like.amount)}
    slots = {each.slot for each in chosen}
    kept = {each for each in genome if each.slot not in slots}
    return frozenset(kept if generator.random() < 0.25 else kept | chosen)


def _layers(every: Sequence[Piece]) -> list[str]:
    """In the order of the pieces, which is that of the network."""
    return list(dict.fromkeys(piece.layer for piece in every))
