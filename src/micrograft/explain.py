"""Why a plan needs the memory that it needs, and what would lower it: each alternative is planned, none is guessed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from micrograft import api
from micrograft.codegen.artifact import Library
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node
from micrograft.ir.types import Array
from micrograft.planning.effort import NONE
from micrograft.planning.first_fit import Block, Blocks, search_orders
from micrograft.planning.lifetimes import lifetimes, live_bytes
from micrograft.planning.plan import ALIGNMENT, Plan
from micrograft.planning.recompute_bound import any_order_rows, impossible
from micrograft.planning.recompute_problem import pose
from micrograft.planning.rematerialize import Rematerialized, Unreachable, rematerialize
from micrograft.planning.work import work
from micrograft.recipe import Recipe
from micrograft.report.explanation import Change, Explanation, explain_plan
from micrograft.search.advise import Variation, variations
from micrograft.spec import clip_text, methods_text, optimizer_text

SHARES = (0.95, 0.9, 0.75, 0.5)
"""Of the arena: how little of it is tried, with values computed again."""

_ROOM = 0.97
"""Of an arena that is proposed: what computing again could make do with, so that placing does not decide."""


def explain(library: Library, recipe: Recipe, network: Graph, samples: Array | None = None) -> Explanation:
    """The memory of `library`, which is `network` adapted by `recipe`, and everything tried that needs less."""
    plan = library.train
    assert plan is not None, "only a library that trains is explained"
    found = list(_recomputed(library))
    for variation in variations(recipe, library.graph, plan):
        try:
            other = api.adapt(network, variation.recipe, samples)
        except MicrograftError:
            continue  # this network cannot be adapted so
        assert other.train is not None
        found.append(_change(library, other, other.train.schedule, variation.what, _words(recipe, variation)))
    return explain_plan(plan, [change for change in found if change.ram < 0])


def block_and_buffers(library: Library) -> int:
    """bytes of RAM but for the stack, which only linking tells."""
    return library.memory.total + library.runtime_bytes


def step_work(plan: Plan) -> int:
    """Estimated instructions of a step."""
    return sum(map(work, plan.schedule))


def _recomputed(library: Library) -> Iterator[Change]:
    """The same step in smaller arenas, placed in a simple way: no proofs. `--arena` looks longer for what to compute
    again and for places, so it keeps to the bytes, and its work may differ a little."""
    assert library.train is not None and library.step is not None
    plan, seen = library.train, {library.train.arena}
    problem = pose(plan.schedule, [library.step.loss], plan.sample)
    least = max(each.arena for each in (library.predict, library.evaluate) if each is not None)
    for share in SHARES:
        aim = max(int(share * plan.arena), least)
        if aim >= min(seen):
            continue
        if impossible(problem, any_order_rows(plan.schedule, problem, aim)) or not (found := _within(library, aim)):
            return  # a smaller one does not fit either
        arena = max(_arena(library, found.schedule), least)
        if arena > least and not _within(library, int(_ROOM * arena)):
            return  # a hair from where nothing fits, `--arena` may well find no places
        if arena >= min(seen):
            continue
        seen.add(arena)
        small = replace(library, memory=replace(library.memory, arena=arena))
        yield _change(library, small, found.schedule, _again(plan.schedule, found.schedule), f"--arena {arena}")


def _within(library: Library, size: int) -> Rematerialized | None:
    """The step with what is alive at its peak within `size` bytes."""
    assert library.train is not None and library.step is not None
    found = rematerialize(library.train.schedule, [library.step.loss], size, NONE, library.train.sample)
    return None if isinstance(found, Unreachable) else found


def _arena(library: Library, schedule: Sequence[Node]) -> int:
    """bytes of a placement of the buffers of a step"""
    assert library.train is not None and library.step is not None
    buffers = lifetimes(schedule, [library.step.loss], library.train.sample).buffers
    words = [_in_words(each.size) // ALIGNMENT for each in buffers]
    pairs = zip(words, buffers, strict=True)
    blocks = Blocks([Block(size, each.first, each.last, each.fixed) for size, each in pairs])
    bound = max(live_bytes(buffers)) // ALIGNMENT
    return blocks.height(search_orders(blocks, range(len(words)), bound)) * ALIGNMENT


def _in_words(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _again(schedule: Sequence[Node], longer: Sequence[Node]) -> str:
    """What runs a second time, in words."""
    known = {value.name for node in schedule for value in node.outputs}
    again = {node.origin for node in longer if node.outputs[0].name not in known}
    names = [name for name in dict.fromkeys(node.origin for node in schedule) if name in again]
    text = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"compute the output of {text} again"


def _change(library: Library, other: Library, schedule: Sequence[Node], what: str, words: str) -> Change:
    """What `other`, whose step has this schedule, needs more than `library`."""
    assert library.train is not None
    return Change(
        what,
        words,
        ram=block_and_buffers(other) - block_and_buffers(library),
        arena=other.memory.arena - library.memory.arena,
        work=sum(map(work, schedule)) / max(step_work(library.train), 1) - 1,
        trainable=sum(param.value.type.size for param in other.graph.trainable),
    )


def _words(recipe: Recipe, variation: Variation) -> str:
    """The options of the command line that differ, as a shell takes them."""
    other = variation.recipe
    options: dict[str, Callable[[Recipe], str]] = {
        "method": lambda each: methods_text(each.methods),
        "optimizer": lambda each: optimizer_text(each.optimizer),
        "clip": lambda each: clip_text(each.clip),
        "accumulate": lambda each: str(each.accumulate),
        "gradients": lambda each: each.gradients,
        "additions": lambda each: each.additions,
    }
    differing = {name: text(other) for name, text in options.items() if text(other) != text(recipe)}
    return shlex.join(word for name, text in differing.items() for word in (f"--{name}", text))
