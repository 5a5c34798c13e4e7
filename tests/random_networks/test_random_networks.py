"""What random networks learn in C is what they learn in PyTorch; and the checker itself sees what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from micrograft.ops import operators
from micrograft.planning.plan import Buffer, Plan, Purpose
from tests.random_networks import budgets
from tests.random_networks.case import Call, Case, cases, random_cases
from tests.random_networks.check import MismatchError, Workbench, check_plan, workbench
from tests.random_networks.many import attempt
from tests.random_networks.reduce import reduced


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as found:
        yield found


@seed(0)
@settings(
    max_examples=20, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(case=cases())
def test_random_networks_learn_as_in_pytorch(bench: Workbench, case: Case) -> None:
    """Losses and every trained tensor follow autograd and torch.optim, whatever the network and the method."""
    _hold(bench, case)


def _hold(bench: Workbench, case: Case) -> None:
    """Fails with the smallest form of a case that fails; our own reduction knows what a layer is."""
    problem = attempt(bench, case)
    if problem:
        small = reduced(case, lambda smaller: attempt(bench, smaller)[:30] == problem[:30], tries=40)
        raise AssertionError(f"{small!r}\n{attempt(bench, small)}")


@pytest.mark.parametrize("number", range(10))
def test_one_network_trained_in_four_ways(bench: Workbench, number: int) -> None:
    """The same, for networks drawn evenly, each trained in several ways."""
    ways = random_cases(number, 4)
    for case, result in zip(ways, bench.check_all(ways), strict=True):
        if isinstance(result, Exception):
            _hold(bench, case)
            raise result


def _chain(*layers: str, shape: tuple[int, ...] = (1, 5), **settings: object) -> Case:
    """Layers one behind the other."""
    calls = tuple(Call(layer, (index,)) for index, layer in enumerate(layers))
    return replace(Case(shape, calls), **settings)  # type: ignore[arg-type]


MLP = _chain("Linear(5, 4)", "ReLU()", "Linear(4, 3)", loss="cross_entropy")


def test_a_wrong_gradient_is_seen(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relu whose gradient forgets its mask is a mismatch, so the comparison is not blind."""
    relu = operators()["relu"]
    forgetful = replace(relu, gradient=lambda backward, node, gradients: gradients[:1])
    monkeypatch.setattr("micrograft.passes.differentiate.operator_of", lambda node: _swapped(node.op, forgetful))
    with pytest.raises(MismatchError, match="linear_0"):
        bench.check(MLP)


def _swapped(op: str, other: object) -> object:
    return other if op == "relu" else operators()[op]


def test_buffers_that_overlap_are_seen() -> None:
    """Two buffers alive at once may not share bytes, and the arena is what they reach."""
    one = Buffer(("a",), 8, 0, 2, Purpose.WORKSPACE, "")
    other = Buffer(("b",), 8, 2, 3, Purpose.WORKSPACE, "", offset=8)
    check_plan(Plan((), {}, (one, other), 16, 16))
    with pytest.raises(MismatchError, match="overlap"):
        check_plan(Plan((), {}, (one, replace(other, offset=4)), 12, 16))
    with pytest.raises(MismatchError, match="not what the plan says"):
        check_plan(Plan((), {}, (one, other), 12, 16))


def test_a_case_is_made_small() -> None:
    """Only what makes a case fail is left of it."""
    case = replace(_chain("ReLU()", "Tanh()", "Sigmoid()", "Linear(5, 3)"), clip="1", accumulate=3)
    found = reduced(case, lambda smaller: any("Tanh" in call.layer for call in smaller.calls))
    assert found == Case((1, 5), (Call("Tanh()", (0,)),))


REGRESSIONS = {
    "a frozen A stays as it was drawn": replace(MLP, methods="lora:rank=2,alpha=3,freeze_a=true"),
    "a transposed weight of an ONNX file is trained": _chain("Linear(7, 3)", shape=(1, 3, 7), exporter="onnx"),
    "a bias of one element in an ONNX file is trained": _chain("Linear(7, 1)", shape=(1, 3, 7), exporter="onnx"),
    "IA³ scales its layer, not a constant that another module adds": _chain(
        "Conv2d(1, 2, 2, bias=False)", "Plus(2, 1, 1)", shape=(1, 1, 5, 5), methods="ia3"
    ),
    "a group norm of an ONNX file has a weight and a bias of its own": _chain(
        "Conv2d(2, 4, 2)", "GroupNorm(2, 4)", shape=(1, 2, 5, 5), methods="bias", exporter="onnx"
    ),
    "a sum of another module is not the layer's bias": _chain("Linear(5, 3, bias=False)", "Plus(3)", methods="full"),
}


@pytest.mark.parametrize("promise", REGRESSIONS)
def test_what_was_found(bench: Workbench, promise: str) -> None:
    """Each case once failed; its name says what holds now."""
    assert bench.check(REGRESSIONS[promise]).verdict == "agreed"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", [2000058, 2000073])
def test_arenas_of_every_size_change_no_bit(number: int) -> None:
    """Each is a network in whose recomputation something once failed; the step is that without a limit, or refused."""
    assert "budgets" in budgets.check(number)
