"""Promises of the programmes that count bytes at moments: no answer is lost, equal tensors change places."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from benchmarks.networks import ResNet8, SmallTransformer
from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.peft.full import Full
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.planning.recompute_bound import rows
from micrograft.planning.recompute_follow import Follower
from micrograft.planning.recompute_greedy import search_greedily
from micrograft.planning.recompute_moments import Optimum, Programme
from micrograft.planning.recompute_problem import Choice, Problem, peak, pose, profile
from micrograft.planning.recompute_swap import swap_equals
from micrograft.planning.schedule import schedule
from tests.int8_networks import KEYWORDS, RESNET, drawn, model
from tests.networks import deep_cnn, mlp, residual_cnn
from tests.torch_networks import make

NETWORKS = ["residual", "deep", "resnet8", "transformer", "int8", KEYWORDS, RESNET]
METHODS: list[tuple[Method, ...]] = [(Full(),), (LoRA(rank=2),)]


class Required(Programme):
    """A programme that may be told its answer: it has an optimum exactly if that is one of its own."""

    def require(self, choice: Choice) -> None:
        """Only this answer is left."""
        choice = self._read_as_soon(dict(choice.slots), set(choice.again), set(choice.again_in))
        for unit, runs in enumerate(self._runs):
            self._model.add(runs == (unit in choice.slots))
        for key, again in self._again.items():
            self._model.add(again == (key in choice.again))
        for key, again in self._again_in.items():
            self._model.add(again == (key in choice.again_in))
        for unit, known in enumerate(self._done):
            for slot, done in known.items():
                self._model.add(done == (choice.slots.get(unit, slot + 1) <= slot))


@functools.cache
def graph(network: str) -> Graph:
    pixels = [np.zeros((1, 3, 32, 32), np.float32)]
    match network:
        case "residual":
            return residual_cnn()
        case "deep":
            return deep_cnn(12)
        case "chain":
            return mlp((64,) * 24 + (5,))
        case "resnet8":
            return api.load(make(ResNet8), example=pixels)
        case "transformer":
            return api.load(make(SmallTransformer), example=pixels)
        case "int8":
            return fuse_quantization(drawn())
    return api.load(model(network))


@functools.cache
def problem(network: str, methods: tuple[Method, ...]) -> Problem:
    """The step of a network; what it computes again is still to be chosen."""
    step = api.adapt(graph(network), api.Recipe(methods, SGD(lr=0.01), clip=None)).step
    assert step is not None
    return pose(schedule(step.graph, [step.loss]), [step.loss], step.graph.sample)


@pytest.mark.parametrize("methods", METHODS, ids=["full", "lora"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_answer_is_allowed_wherever_bytes_are_counted(network: str, methods: tuple[Method, ...]) -> None:
    """With all that is alive counted at moments all over the step, an answer that no programme has seen is still one
    of the programme's: with masks, scratch, and several tensors left by one unit."""
    posed, allowed = problem(network, methods), 0
    for share in (0.95, 0.9, 0.8, 0.7):
        capacity = int(share * peak(posed, Choice())) // 4 * 4
        found = search_greedily(posed, capacity)
        if found is None:
            continue
        programme = Required(posed, capacity)
        moments = [time for time, _ in profile(posed, found)]
        for time in moments[3 :: -(-len(moments) // 20)]:
            programme.count(time)
        programme.require(found)
        optimum = programme.solve()
        assert optimum is not None
        assert optimum.bound == pytest.approx(found.work(posed), abs=1, rel=1e-6)
        allowed += 1
    assert allowed


def test_an_optimum_may_be_missed_by_as_much_as_is_said() -> None:
    """A programme that is solved to a gap, or to a bound that is known, finds no more work than that; what it proves
    is no more than the optimum."""
    posed = problem("transformer", (Full(),))
    capacity = int(0.7 * peak(posed, Choice()))

    def solved(known: int = 0, gap: float = 0.0) -> Optimum:
        programme = Programme(posed, capacity)
        for row in rows(posed, capacity):
            programme.free(row)
        found = programme.solve(known, gap)
        assert found is not None and found.ended
        return found

    least = solved()
    work = least.choice.work(posed)
    assert least.bound == pytest.approx(work, rel=1e-6)
    for found, most in ((solved(gap=0.3), 1.3 * work), (solved(known=least.bound), work)):
        assert work <= found.choice.work(posed) <= most
        assert found.bound <= work


def test_equal_tensors_change_places_until_the_answer_holds() -> None:
    """Where the first of many equal layers run again, they hold as much together as before; as many of them, spread
    over the chain, do not, for the same work."""
    posed = problem("chain", (Full(),))
    follower, everything = Follower(posed), range(len(posed.tensors))
    equal = [i for i in everything if posed.tensors[i].size == posed.tensors[6].size and not posed.tensors[i].optional]
    stays = frozenset(everything) - frozenset(equal[2:16])
    start = follower.outcome(stays)
    capacity = int(0.8 * start.peak)
    swapped = swap_equals(posed, capacity, follower, stays, start.work)
    assert swapped.peak <= capacity < start.peak
    assert swapped.work <= start.work
    assert peak(posed, follower.choice(swapped.stays)) == swapped.peak
