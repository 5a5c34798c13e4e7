"""The interpreter computes what PyTorch computes, and keeps what lives from step to step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node, Phase, Port, State, TrainStep, identity, param_of
from micrograft.ir.types import DType, TensorType, Value
from micrograft.ir.verify import BrokenGraphError
from micrograft.ops.builder import Builder
from micrograft.ops.optimizers import AccumulateAttrs, SgdAttrs
from micrograft.reference import Memory, run, run_step

GENERATOR = np.random.default_rng(0)
WEIGHT = GENERATOR.standard_normal((3, 4)).astype(np.float32)
RATE = Value("rate", TensorType(()))
X = Value("x", TensorType((1, 4)))
TARGET = Value("target", TensorType((1,), DType.INT32))


def _port(value: Value) -> Port:
    return Port(value, identity(len(value.shape)))


def _step(accumulate: int = 1, *, trained: bool = True) -> TrainStep:
    """A linear layer that is trained by cross-entropy and SGD, over `accumulate` samples."""
    weight = param_of("weight", WEIGHT)
    builder = Builder(["x", "target", "weight", "rate", "total"])
    y = builder.add("linear", (X, weight.value), name="y")
    loss = builder.add("cross_entropy", (y, TARGET), name="loss")
    dy = builder.add("cross_entropy_gradient", (y, TARGET), name="dy", phase=Phase.BACKWARD)
    gradient = builder.add("linear_weight_gradient", (X, dy), name="dw", phase=Phase.BACKWARD)
    states = [State(RATE, np.array(0.125, np.float32))]
    total = Value("total", TensorType(WEIGHT.shape))
    if accumulate > 1:
        states.append(State(total, np.zeros_like(WEIGHT), "weight"))
        attrs = AccumulateAttrs(1 / accumulate)
        gradient = builder.add("accumulate", (total, gradient), attrs, name="sum", phase=Phase.BACKWARD)
    builder.add("sgd", (weight.value, gradient, RATE), SgdAttrs(), phase=Phase.UPDATE)
    if accumulate > 1:
        builder.add("clear", (gradient,), phase=Phase.UPDATE)
    params = (type(weight)(weight.value, WEIGHT, "weight", (0, 1), trainable=trained),)
    graph = Graph("step", (_port(X), _port(TARGET)), (_port(y),), params, tuple(builder.nodes))
    gradients = {"weight": gradient}
    return TrainStep(graph, loss, gradients, states=tuple(states), accumulate=accumulate)


def _samples(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(1)
    return [
        (generator.standard_normal((1, 4)).astype(np.float32), generator.integers(0, 3, (1,)).astype(np.int32))
        for _ in range(count)
    ]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps_agree_with_pytorch(accumulate: int) -> None:
    """Loss and weights follow torch.optim.SGD, step by step, updates coming at every k-th step only."""
    weight = torch.tensor(WEIGHT, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.125)
    step, memory = _step(accumulate), None
    for count, (x, target) in enumerate(_samples(7), start=1):
        loss = F.cross_entropy(torch.from_numpy(x).double() @ weight.T, torch.from_numpy(target).long())
        (loss / accumulate).backward()
        if count % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
        result = run_step(step, (x, target), memory, dtype=np.float64)
        memory = result.memory
        assert result.loss == pytest.approx(loss.item(), rel=1e-12)
        np.testing.assert_allclose(memory.params["weight"], weight.detach().numpy(), rtol=1e-12)
    assert memory is not None and memory.steps == 7


def test_the_accumulated_gradient_is_cleared_by_the_update() -> None:
    """After an update the sum is zero; between updates it is not."""
    step, memory = _step(2), None
    sums = []
    for sample in _samples(2):
        memory = run_step(step, sample, memory).memory
        sums.append(float(np.abs(memory.states["total"]).sum()))
    assert sums[0] > 0 and sums[1] == 0


def test_a_step_leaves_its_memory_alone() -> None:
    """The memory passed in is not changed, nor is the network's own data."""
    step = _step()
    memory = Memory.initial(step)
    before = memory.params["weight"].copy()
    after = run_step(step, _samples(1)[0], memory).memory
    np.testing.assert_array_equal(memory.params["weight"], before)
    np.testing.assert_array_equal(step.graph.params[0].data, before)
    assert np.any(after.params["weight"] != before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_the_one_asked_for(dtype: type) -> None:
    """Every float value has the type that was asked for; labels stay integers."""
    step = _step()
    values = run_step(step, _samples(1)[0], dtype=dtype).values
    assert values["target"].dtype == np.int32
    assert {values[name].dtype for name in ("x", "weight", "y", "loss", "dy", "dw")} == {np.dtype(dtype)}


def test_inputs_go_by_name_or_by_order_and_overrides_replace_parameters() -> None:
    """Both ways to give inputs are the same, and an override stands in for a parameter's own data."""
    graph = _forward()
    x = _samples(1)[0][0]
    np.testing.assert_array_equal(run(graph, [x])["y"], run(graph, {"x": x})["y"])
    doubled = run(graph, [x], {"weight": 2 * WEIGHT})["y"]
    np.testing.assert_array_equal(doubled, 2 * run(graph, [x])["y"])


def _forward() -> Graph:
    weight = param_of("weight", WEIGHT)
    y = Value("y", TensorType((1, 3)))
    return Graph("forward", (_port(X),), (_port(y),), (weight,), (Node("linear", (X, weight.value), (y,)),))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([np.zeros((1, 5))], r"input 'x': the array has shape \(1, 5\), not \(1, 4\)"),
        ([], "there are 0 inputs, not 1"),
        ({"z": np.zeros((1, 4))}, r"the inputs are \['z'\], not \['x'\]"),
    ],
)
def test_wrong_inputs_are_refused(inputs: object, message: str) -> None:
    """A missing input, a strange one and one of another shape are refused in a sentence."""
    with pytest.raises(MicrograftError, match=message):
        run(_forward(), inputs)  # type: ignore[arg-type]  # wrong on purpose


def test_reading_a_weight_after_its_update_is_refused() -> None:
    """The generated C would read the new content there, so the graph is broken."""
    step = _step()
    y = Value("late", TensorType((1, 3)))
    late = Node("linear", (X, step.graph.params[0].value), (y,))
    graph = Graph("late", step.graph.inputs, (), step.graph.params, (*step.graph.nodes, late))
    with pytest.raises(BrokenGraphError, match=r"reads %weight.* after it was updated"):
        run_step(TrainStep(graph, step.loss, states=step.states), _samples(1)[0])
