"""`python -m tests.random_networks.int8 --cases 300 --seed 1`: random networks in int8, calibrated and trained.

Of each: the C answers as the reference, in every bit; the answers keep to the float network's as far as the rounding of
single layers explains; two steps of training, gradients in float32 or in integers, have a finite loss and the plan's
bytes. Prints what failed, with the number that brings it back; leaves with 1 where something did.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from micrograft import api, precision
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.reference import run
from micrograft.samples import Samples, check_inputs
from micrograft.spec import parse_methods, parse_optimizer
from tests.random_networks.by_number import command
from tests.random_networks.case import network, random_cases

METHODS = ("full", "head", "bias", "lora:rank=2", "lora:rank=1,freeze_a=true+bias", "ia3")
REFUSED = (
    "no layer",
    "of the network has a bias",
    "matches no",
    "does not depend",
    "cannot both",
    "no linear layer",
    "not finite",
)
"""What a network may be refused for: there is nothing in it to quantize, or to train."""


def check(number: int) -> str:
    """ "agreed", or why the network is put aside. Raises AssertionError, or what our code raises that it should not."""
    choose = random.Random(number)
    (case,) = random_cases(number, 1)
    module = network(case)
    x = np.random.default_rng(number).standard_normal((8, *case.shape[1:])).astype(np.float32)
    try:
        floats = api.load(module, example=[x[:1]])
        graph = precision.quantize(floats, x).graph
    except MicrograftError as error:
        return put_aside(error)
    _answer(graph, x)
    return _learn(graph, x, choose)


def _answer(graph: Graph, x: Array) -> None:
    port, result = graph.inputs[0], graph.outputs[0]
    samples = check_inputs(x, port)
    with api.host(api.freeze(graph)) as runner:
        for sample in samples[:3]:
            expected = run(graph, [port.from_user(sample.reshape(port.user_shape))])[result.value.name]
            found = runner.predict(sample).reshape(result.user_shape)
            largest = float(np.abs(expected).max(initial=1e-6))
            np.testing.assert_allclose(found, result.to_user(expected), rtol=1e-4, atol=1e-4 * largest)


def _learn(graph: Graph, x: Array, choose: random.Random) -> str:
    width = choose.choice(("float32", "int16", "int8"))
    recipe = api.Recipe(
        parse_methods(choose.choice(METHODS)), parse_optimizer("sgd:lr=0.01"), "mse", gradients=width, additions=width
    )
    try:
        library = api.adapt(graph, recipe, x)
    except MicrograftError as error:
        return put_aside(error)
    target = np.zeros((len(x), *graph.outputs[0].user_shape[1:]), np.float32)
    data = api.check_samples(library, Samples(x, target))
    assert data.y is not None
    with api.host(library) as runner:
        losses = [runner.train_step(*each) for each in zip(data.x[:2], data.y, strict=False)]
    assert np.isfinite(losses).all(), f"{recipe.methods} in {width}: losses {losses}"
    return f"agreed, gradients in {width}"


def put_aside(error: MicrograftError, reasons: Sequence[str] = REFUSED) -> str:
    """The verdict on a network that is refused. Raises the error where that is for none of these reasons."""
    text = str(error)
    for reason in reasons:
        if reason in text:
            return f"put aside: {reason}"
    raise error


if __name__ == "__main__":
    command(check, __doc__)()
