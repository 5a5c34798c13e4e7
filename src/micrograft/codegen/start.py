"""A planned library that starts from other numbers: the same nodes in the same order, another draw of new parameters.

No plan depends on what parameters hold, so that it need not be made again; nodes may (in grids of codes), so they are
compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from micrograft.codegen.artifact import Library
from micrograft.ir.graph import Graph, TrainStep
from micrograft.planning.memory import Slot


def same_nodes(one: TrainStep, other: TrainStep) -> bool:
    """Whether two steps differ in nothing but the numbers that their parameters and states start from."""
    params = [[(param.value, param.trainable) for param in step.graph.params] for step in (one, other)]
    states = [[(state.value, state.owner) for state in step.states] for step in (one, other)]
    return one.graph.nodes == other.graph.nodes and params[0] == params[1] and states[0] == states[1]


def starting_as(library: Library, adapted: Graph, step: TrainStep) -> Library:
    """The library with the numbers of another draw, whose step has the same nodes. Its digest is left as it is.

    adapted: the network of that draw, step: its training step, in no order yet.
    """
    data = {param.name: param.data for param in (*adapted.params, *step.graph.params)}
    first = data | {state.name: state.initial for state in step.states}

    def placed(graph: Graph) -> Graph:
        return replace(graph, params=tuple(replace(param, data=data[param.name]) for param in graph.params))

    def slots(kept: Sequence[Slot]) -> tuple[Slot, ...]:
        return tuple(replace(slot, initial=first[slot.value.name]) for slot in kept)

    parts = slots(library.memory.parameters), slots(library.memory.states)
    memory = replace(library.memory, parameters=parts[0], states=parts[1])
    assert library.step is not None, "it trains, as what it shall start from"
    states = tuple(replace(state, initial=first[state.name]) for state in library.step.states)
    learning = replace(library.step, graph=placed(library.step.graph), states=states)
    return replace(library, graph=placed(library.graph), step=learning, memory=memory)
