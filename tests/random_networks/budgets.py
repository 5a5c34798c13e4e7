"""`python -m tests.random_networks.budgets --cases 300 --seed 1`: random networks trained within arenas of every size.

Of each, in float32 or int8, whole or by a sparse scheme that is drawn: a budget that is met changes no bit of what is
learned, no byte above the planned arena is written and its last word is, no two buffers overlap, and what a refusal
calls impossible was not reached. Prints what failed, with the number that brings it back; leaves with 1 where something
did.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from micrograft import api, precision
from micrograft.codegen.artifact import Library
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.ops import operator_of
from micrograft.peft.method import Method
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse
from micrograft.recipe import Recipe
from micrograft.samples import Samples
from micrograft.spec import parse_clip, parse_methods, parse_optimizer
from tests.random_networks.by_number import command
from tests.random_networks.case import network, random_cases
from tests.random_networks.check import check_plan
from tests.random_networks.int8 import REFUSED, put_aside

METHODS = ("full", "bias", "lora:rank=2", "lora:rank=1,freeze_a=true+bias", "ia3", "sparse", "sparse", "sparse+head")
OPTIMIZERS = ("sgd:lr=0.02", "sgd:lr=0.02", "sgd:lr=0.02,momentum=0.9", "adam:lr=0.01")
CLIPS = ("none", "none", "tensor:1", "1")
BUDGETS = (0.7, 0.3)
"""From the least that predicting takes, 0, to what the step takes without a limit, 1."""

STEPS = 3


def check(number: int) -> str:
    """What became of a network: within how many budgets it learned. Raises what our code raises that it should not."""
    choose = random.Random(number)
    (case,) = random_cases(number, 1)
    module = network(case)
    x = np.random.default_rng(number).standard_normal((8, *case.shape[1:])).astype(np.float32)
    try:
        graph = api.load(module, example=[x[:1]])
        if int8 := choose.random() < 0.4:
            graph = precision.quantize(graph, x).graph
        recipe = _recipe(graph, choose, int8)
        whole = api.adapt(graph, recipe, x)
    except MicrograftError as error:
        return put_aside(error, (*REFUSED, "to train the whole tensor", "names no layer", "integer gradients"))
    assert whole.train is not None and whole.evaluate is not None
    floor, most = max(whole.predict.arena, whole.evaluate.arena), whole.train.arena
    within = []
    for share in BUDGETS if most > floor + 8 else ():
        arena = int(floor + share * (most - floor))
        try:
            within.append(api.adapt(graph, replace(recipe, arena=arena), x))
        except MicrograftError as error:
            assert "needs an arena" in str(error), error
            continue
        assert within[-1].memory.arena <= arena, "the budget is not kept"
    learned = _learned(whole, x) if within else b""
    for library in within:
        assert _learned(library, x) == learned, f"other bits within {library.memory.arena} bytes of {most}"
    kind = "int8" if int8 else "float32"
    return f"{kind}: within {len(within)} of {len(BUDGETS)} budgets"


def _recipe(graph: Graph, choose: random.Random, int8: bool) -> Recipe:
    methods: list[Method] = []
    for name in choose.choice(METHODS).split("+"):
        methods += [_scheme(graph, choose)] if name == "sparse" else parse_methods(name)
    optimizer = choose.choice(OPTIMIZERS[:3] if int8 else OPTIMIZERS)
    clip = parse_clip(choose.choice(CLIPS))
    width = choose.choice(("float32", "float32", "int16", "int8")) if int8 else "float32"
    return Recipe(tuple(methods), parse_optimizer(optimizer), "mse", clip, gradients=width, additions=width)


def _scheme(graph: Graph, choose: random.Random) -> Sparse:
    """Of some layers the bias, a share of the weight's channels, or both."""
    roles: dict[str, set[str]] = {}
    for node in graph.nodes:
        for index, value in enumerate(node.inputs):
            param = graph.param(value.name)
            if param is not None and param.learnable and operator_of(node).macs(node):
                roles.setdefault(node.origin, set()).add(operator_of(node).role(index))
    lines = []
    for layer, there in roles.items():
        bias = "bias" in there and choose.random() < 0.5
        weight = choose.choice((0.0, 0.3, 0.5, 1.0)) if "weight" in there else 0.0
        if bias or weight:
            lines.append(LayerScheme(layer, bias, weight, choose.choice(("input", "output"))))
    return Sparse(scheme=Scheme(tuple(lines)))


def _learned(library: Library, x: Array) -> bytes:
    """The state after some steps. Raises AssertionError where a plan, or what a step writes, is not as planned."""
    for plan in (library.predict, library.evaluate, library.train):
        assert plan is not None
        check_plan(plan)
    target = np.random.default_rng(1).random((len(x), *library.graph.outputs[0].user_shape[1:])).astype(np.float32)
    data = api.check_samples(library, Samples(x, target))
    assert data.y is not None
    assert library.train is not None
    noise = np.random.default_rng(0).integers(0, 256, library.memory.arena, np.uint8)
    with api.host(library) as runner:
        start = runner.sample
        runner.device.write(start, noise.tobytes())
        for sample, aim in list(zip(data.x, data.y, strict=True))[:STEPS]:
            runner.train_step(sample, aim)
        left = np.frombuffer(runner.device.read(start, len(noise)), np.uint8)
        written = int(np.flatnonzero(left != noise).max(initial=-1)) // 4 * 4 + 4
        assert written == -(-library.train.arena // 4) * 4, (
            f"{written} bytes are written, {library.train.arena} planned"
        )
        return runner.state()


if __name__ == "__main__":
    command(check, __doc__)()
