"""Promises of checkpointing: the budget holds, the bits stay, the work is the least, the order is sound."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.networks import ResNet8
from micrograft import api
from micrograft.boards import find_board
from micrograft.codegen.artifact import Library
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Phase
from micrograft.ops import operator_of
from micrograft.passes.attach_optimizer import SGD, Adam, Clip
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.planning import rematerialize as rematerialize_module
from micrograft.planning.effort import NONE, Effort
from micrograft.planning.lifetimes import lifetimes
from micrograft.planning.planner import make_plan
from micrograft.planning.recompute_chain import chain_answer
from micrograft.planning.recompute_exact import search_exactly
from micrograft.planning.recompute_follow import Follower
from micrograft.planning.recompute_greedy import search_greedily, smallest_peak
from micrograft.planning.recompute_problem import Choice, Problem, peak, pose
from micrograft.planning.recompute_relaxed import relax
from micrograft.planning.rematerialize import Rematerialized, Unreachable, rematerialize
from micrograft.planning.schedule import schedule
from micrograft.samples import Samples
from tests.networks import deep_cnn, mlp, residual_cnn
from tests.planning.test_planner import training_step
from tests.torch_networks import DsCnn, ResidualCnn, make

EFFORT = Effort(seconds=10.0)

CASES = [
    pytest.param(graph, method, clip, share, id=f"{graph.name}-{method.name}-{share}")
    for graph, share in ((residual_cnn(), 0.9), (deep_cnn(8), 0.8), (deep_cnn(8), 0.62), (deep_cnn(12), 0.6))
    for method, clip in ((Full(), Clip(1.0, "global")), (Full(), None), (LoRA(rank=2), Clip(1.0, "tensor")))
]


@functools.cache
def problem_of(graph: Graph, method: Method, clip: Clip | None = None) -> Problem:
    step = training_step(graph, method, clip)
    return pose(schedule(step.graph, [step.loss]), [step.loss], step.graph.sample)


@functools.cache
def answer(graph: Graph, method: Method, clip: Clip | None, share: float) -> tuple[Rematerialized | Unreachable, int]:
    step = training_step(graph, method, clip)
    order = schedule(step.graph, [step.loss])
    budget = int(share * lifetimes(order, [step.loss], step.graph.sample).lower_bound)
    return rematerialize(order, [step.loss], budget, EFFORT, step.graph.sample), budget


@pytest.mark.parametrize("graph", [mlp((64, 64, 8)), residual_cnn(), deep_cnn(20)], ids=lambda graph: graph.name)
@pytest.mark.parametrize("method", [Full(), Head(), Bias(), LoRA(rank=2)], ids=lambda method: method.name)
@pytest.mark.parametrize("clip", [None, Clip(1.0, "global")])
def test_the_model_counts_what_lifetimes_count(graph: Graph, method: Method, clip: Clip | None) -> None:
    """With nothing computed again, the model's peak is that of the lifetimes, in-place operators and masks included."""
    step = training_step(graph, method, clip)
    order = schedule(step.graph, [step.loss])
    true = lifetimes(order, [step.loss], step.graph.sample).lower_bound
    assert true <= peak(pose(order, [step.loss], step.graph.sample), Choice()) <= true + 4 * len(order)


@pytest.mark.parametrize(("graph", "method", "clip", "share"), CASES)
def test_the_budget_holds(graph: Graph, method: Method, clip: Clip | None, share: float) -> None:
    """What is alive never exceeds the budget, by the lifetimes of the new schedule; else that is said."""
    found, budget = answer(graph, method, clip, share)
    step = training_step(graph, method, clip)
    if isinstance(found, Unreachable):
        assert found.smallest > budget
        return
    assert lifetimes(found.schedule, [step.loss], step.graph.sample).lower_bound <= found.peak <= budget
    assert 0 < found.recomputation.bound <= found.recomputation.extra


@pytest.mark.parametrize(("graph", "method", "clip", "share"), CASES)
def test_the_order_is_sound(graph: Graph, method: Method, clip: Clip | None, share: float) -> None:
    """Each value is defined once and before it is read, no parameter is read after its update, nothing is lost."""
    found, _ = answer(graph, method, clip, share)
    if isinstance(found, Unreachable):
        return
    step = training_step(graph, method, clip)
    written = {param.name for param in step.graph.params} | {port.value.name for port in step.graph.inputs}
    written |= {state.name for state in step.states}
    stale: set[str] = set()
    for node in found.schedule:
        names = {value.name for value in node.inputs}
        assert names <= written
        assert not names & stale
        defined = {value.name for value in node.outputs}
        assert not defined & written
        written |= defined
        stale |= {node.inputs[index].name for _, index in operator_of(node).mutates}
    again = [node for node in found.schedule if node.outputs[0].name.endswith("_again")]
    assert all(node.phase is Phase.BACKWARD for node in again)
    assert len(found.schedule) - len(again) == len(step.graph.nodes)


@pytest.mark.parametrize("share", [0.9, 0.8, 0.7, 0.6])
def test_no_answer_has_less_work(share: float) -> None:
    """On a small network the proven answer is the best of all that run any units again in any slots."""
    problem = problem_of(mlp((40, 60, 30, 50, 6)), LoRA(rank=2, freeze_a=True))
    capacity = int(share * peak(problem, Choice()))
    found, proof = search_exactly(problem, capacity, search_greedily(problem, capacity), EFFORT)
    best = exhaustive(problem, capacity)
    if best is None:
        assert proof.infeasible
    else:
        assert found is not None
        assert found.work(problem) == proof.bound == best
        assert relax(problem, capacity).bound <= best


@pytest.mark.parametrize("share", [0.85, 0.75, 0.65])
@pytest.mark.parametrize("method", [Full(), LoRA(rank=2), LoRA(rank=2, freeze_a=True)])
def test_single_moments_bound_every_answer(method: Method, share: float) -> None:
    """No answer that the exact solver finds has less work than the programme of single moments."""
    problem = problem_of(deep_cnn(8), method, Clip(1.0, "global"))
    capacity = int(share * peak(problem, Choice()))
    found, _ = search_exactly(problem, capacity, search_greedily(problem, capacity), Effort(work=0.5))
    assert found is None or relax(problem, capacity).bound <= found.work(problem)


@pytest.mark.parametrize("share", [0.9, 0.8])
def test_single_moments_propose_a_best_answer(share: float) -> None:
    """On a deep network what the programme lets go is an answer at the cost of its bound: a proof without a search."""
    problem = problem_of(deep_cnn(40), Full(), Clip(1.0, "tensor"))
    capacity = int(share * peak(problem, Choice()))
    relaxed = relax(problem, capacity)
    outcomes = [Follower(problem).outcome(stays) for stays in relaxed.proposals]
    assert any(each.peak <= capacity and each.work == relaxed.bound for each in outcomes)


def exhaustive(problem: Problem, capacity: int) -> int | None:
    """The least work, by trying every set of units in every combination of slots, each read in every way that pays."""
    best: int | None = None
    slots = range(problem.forward, len(problem.nodes))
    for count in range(3):
        for units in itertools.combinations(range(len(problem.units)), count):
            work = sum(problem.units[unit].work for unit in units)
            if best is not None and work >= best:
                continue
            for chosen in itertools.product(slots, repeat=count):
                placed = dict(zip(units, chosen, strict=True))
                if all(problem.units[unit].latest >= slot for unit, slot in placed.items()):
                    for choice in readings(problem, placed):
                        if peak(problem, choice) <= capacity:
                            best = work
                            break
                if best == work:
                    break
    return best


def readings(problem: Problem, slots: dict[int, int]) -> list[Choice]:
    """Who reads which computation: whoever comes behind the second one reads that, or, of a mask, the first."""
    again, again_in, masks = set(), set(), []
    for index, tensor in enumerate(problem.tensors):
        slot = slots.get(tensor.unit)
        if slot is None:
            continue
        reads = {(index, read.position) for read in tensor.backward if read.position >= slot}
        if tensor.optional:
            masks.append(reads)
            continue
        again |= reads
        readers = {problem.unit_of[read.position] for read in tensor.forward}
        again_in |= {(index, reader) for reader in readers & slots.keys() if slots[reader] >= slot}
    found = []
    for kept in itertools.product((False, True), repeat=len(masks)):
        extra = set().union(*(reads for reads, keep in zip(masks, kept, strict=True) if not keep))
        found.append(Choice(slots, frozenset(again | extra), frozenset(again_in)))
    return found


def test_an_impossible_budget_is_refused_in_a_sentence() -> None:
    """A budget that no recomputation can meet is refused, with the smallest arena that is known."""
    step = training_step(deep_cnn(8), Full())
    with pytest.raises(MicrograftError, match=r"may have 1,000; no recomputation makes it fit"):
        make_plan(step.graph, [step.loss], budget=1000, effort=EFFORT)


def test_without_the_solver_the_greedy_answer_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ortools is not installed a budget is met as well, and a weaker bound is proven."""
    monkeypatch.setattr(rematerialize_module, "solver_is_there", lambda: False)
    step = training_step(deep_cnn(20), Full())
    whole = make_plan(step.graph, [step.loss])
    plan = make_plan(step.graph, [step.loss], budget=int(0.6 * whole.arena))
    assert plan.arena <= 0.6 * whole.arena
    assert plan.recomputation is not None
    assert 0 < plan.recomputation.bound <= plan.recomputation.extra


def test_the_plan_is_deterministic() -> None:
    """The same step and budget give the same plan: by default the solver has one thread and ends by its own count."""
    step = training_step(deep_cnn(8), Full())
    budget = int(0.8 * make_plan(step.graph, [step.loss]).arena)
    plans = [make_plan(step.graph, [step.loss], budget) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0].recomputation is not None
    assert plans[0].recomputation.order_gap == 0


def test_a_roomy_budget_changes_nothing() -> None:
    """Where the step fits anyway, nothing runs twice."""
    step = training_step(deep_cnn(8), Full())
    whole = make_plan(step.graph, [step.loss])
    assert make_plan(step.graph, [step.loss], whole.arena, NONE) == whole


NETWORKS = {ResidualCnn: (1, 3, 16, 16), DsCnn: (1, 1, 26, 10)}
RECIPES = {
    "full-adam": (Full(), Adam(lr=0.002), Clip(1.0, "global"), 1, 0.94),
    "full-accumulated": (Full(), SGD(lr=0.01), None, 2, 0.75),
    "lora": (LoRA(rank=2), SGD(lr=0.01), Clip(), 1, 0.93),
}


@functools.cache
def libraries(kind: type[torch.nn.Module], recipe: str) -> tuple[Library, Library]:
    """Without a budget, and within one."""
    torch.set_num_threads(1)
    method, optimizer, clip, accumulate, share = RECIPES[recipe]
    graph = api.load(make(kind), example=[np.zeros(NETWORKS[kind], np.float32)])
    chosen = api.Recipe((method,), optimizer, clip=clip, accumulate=accumulate, name="net")
    whole = api.adapt(graph, chosen)
    assert whole.train is not None
    return whole, api.adapt(graph, replace(chosen, arena=int(share * whole.train.arena)))


def samples(kind: type[torch.nn.Module], count: int) -> Samples:
    generator = np.random.default_rng(3)
    x = generator.standard_normal((count, *NETWORKS[kind])).astype(np.float32)
    return Samples(x, generator.integers(0, 4, (count, 1)).astype(np.int32))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_bits_stay(kind: type[torch.nn.Module], recipe: str) -> None:
    """After some steps every byte of state is the same as without a budget: on the host, and on an emulated board."""
    whole, tight = libraries(kind, recipe)
    assert tight.train is not None and tight.train.recomputation is not None
    data = samples(kind, 6)
    assert data.y is not None
    states = []
    for device in (api.host(whole), api.host(tight), api.emulated(tight, find_board("stm32h743"))):
        with device as runner:
            losses = [runner.train_step(x, y) for x, y in zip(data.x, data.y, strict=True)]
            states.append((losses, runner.state()))
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_planned_arena_is_what_is_reached(kind: type[torch.nn.Module]) -> None:
    """The arena within the budget is, to the byte, what an emulated step touches."""
    whole, tight = libraries(kind, "full-adam")
    with api.emulated(tight, find_board("stm32h743")) as runner:
        record = api.train(runner, samples(kind, 1))
    assert record.ram_measured is not None
    assert record.ram_measured.arena == tight.memory.arena < whole.memory.arena


@pytest.mark.parametrize("graph", [residual_cnn(), deep_cnn(12)], ids=lambda graph: graph.name)
@pytest.mark.parametrize("method", [Full(), Bias(), LoRA(rank=2)], ids=lambda method: method.name)
def test_the_search_counts_what_the_model_counts(graph: Graph, method: Method) -> None:
    """Of any set of tensors that stay, the search knows the peak and the work as the model does."""
    problem = problem_of(graph, method)
    follower, generator = Follower(problem), np.random.default_rng(0)
    for share in np.linspace(0.0, 1.0, 30):
        stays = frozenset(np.flatnonzero(generator.random(len(problem.tensors)) < share).tolist())
        outcome, choice = follower.outcome(stays), follower.choice(stays)
        assert (outcome.peak, outcome.work) == (peak(problem, choice), choice.work(problem))


@pytest.mark.parametrize("share", [0.8, 0.6, 0.45])
def test_cuts_of_the_chain_are_a_first_answer(share: float) -> None:
    """The dynamic programme cuts a deep chain so that the budget holds, before any search and without the solver."""
    problem = problem_of(deep_cnn(20), Full())
    capacity = int(share * peak(problem, Choice()))
    found = [chain_answer(problem, int(part * capacity)) for part in (1.0, 0.9, 0.8)]
    choices = [Follower(problem).choice(stays) for stays in found if stays is not None]
    assert min(peak(problem, choice) for choice in choices) <= capacity
    assert min(choice.work(problem) for choice in choices if peak(problem, choice) <= capacity) < 0.4 * problem.work


def test_a_chain_that_cannot_be_cut_for_so_little_gets_no_first_answer() -> None:
    """Where what crosses a cut alone is larger than the capacity, the dynamic programme goes on without that cut."""
    graph = api.load(ResNet8().eval(), example=[np.zeros((1, 3, 32, 32), np.float32)])
    problem = problem_of(graph, LoRA(rank=2, freeze_a=True))
    assert chain_answer(problem, int(0.19 * peak(problem, Choice()))) is None


@pytest.mark.parametrize(("slack", "close"), [(1.0, 0.1), (1.05, 0.05)])
def test_the_search_finds_what_fits_where_nothing_that_it_starts_from_does(slack: float, close: float) -> None:
    """Excess counts first, so that a tight budget is met by way of answers that exceed it; the best is close by, and
    closer where the budget is not the very least."""
    problem = problem_of(deep_cnn(12), LoRA(rank=2), Clip(1.0, "tensor"))
    least = smallest_peak(problem)
    assert least < 0.6 * peak(problem, Choice())
    capacity = int(slack * least)
    found = search_greedily(problem, capacity)
    assert found is not None
    best, proof = search_exactly(problem, capacity, found, Effort())
    assert best is not None and proof.bound <= best.work(problem)
    assert found.work(problem) <= best.work(problem) + close * problem.work
