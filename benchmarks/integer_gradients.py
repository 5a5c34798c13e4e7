"""What integer gradients cost in accuracy: a new speaker's digits, on MLPerf Tiny's int8 keyword network.

Each speaker is held out in turn. A head of ten classes is first trained on the others; then the network learns from
five recordings per digit of the new one (takes 0 to 4) and is tested on takes 10 to 49. Accuracy in per cent: the mean
over speakers and seeds, and the spread of the seeds' means.

    python benchmarks/integer_gradients.py                                  the table (an hour)
    python benchmarks/integer_gradients.py --errors --method full           of the gradients themselves (a minute)
    python benchmarks/integer_gradients.py --method lora:rank=4+head --kinds int16/int8 --speakers 2 --seeds 1
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from micrograft import api
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.merge_adapters import with_values
from micrograft.peft.head import Head
from micrograft.recipe import Recipe
from micrograft.reference import Memory, run_step
from micrograft.samples import Samples
from micrograft.spec import parse_methods

SHARED = Path(__file__).parents[2] / "shared"
KINDS = ["float32/float32", "int16/float32", "int8/float32", "int16/int16", "int16/int8", "int8/int8"]

RATES = {"lora": 0.05, "head": 0.02, "bias": 0.02, "full": 0.003}
"""Learning rates; of several methods the first counts."""


@dataclass(frozen=True)
class Split:
    """Who is learned from before, what of the new speaker is learned from, and what is asked."""

    others: Samples
    learn: Samples
    test: Samples


@cache
def _data() -> dict[str, Array]:
    with np.load(SHARED / "data" / "spoken_digits_mfcc.npz") as archive:
        return {name: archive[name] for name in archive.files}


def speakers() -> list[str]:
    return sorted(set(_data()["speaker"].tolist()))


def split(speaker: str) -> Split:
    data = _data()
    x, y, own, take = data["x"], data["y"].astype(np.int32)[:, None], data["speaker"] == speaker, data["take"]

    def chosen(mask: Array) -> Samples:
        return Samples(x[mask], y[mask])

    return Split(chosen(~own & (take < 15)), chosen(own & (take < 5)), chosen(own & (take >= 10)))


@cache
def started(speaker: str, seed: int) -> Graph:
    """The network with a head that knows the other speakers."""
    network = api.load(SHARED / "models" / "kws_dscnn_int8.tflite", classes=10, seed=seed)
    others = split(speaker).others
    library = api.adapt(network, Recipe((Head(),), SGD(lr=0.02)), others.x[:16])
    data = api.check_samples(library, others)
    with api.host(library) as runner:
        for index in np.random.default_rng(seed).permutation(len(data)):
            assert data.y is not None
            runner.train_step(data.x[index], data.y[index])
        return with_values(network, runner.parameters())


def accuracy(
    method: str, kind: tuple[str, str], speaker: str, seed: int, epochs: int, rate: float | None
) -> tuple[float, int]:
    """Percentage of the test recordings that are right after learning, and bytes of RAM before the stack."""
    data, network = split(speaker), started(speaker, seed)
    lr = rate if rate is not None else RATES[method.partition(":")[0].partition("+")[0]]
    recipe = Recipe(parse_methods(method), SGD(lr=lr), seed=seed, gradients=kind[0], additions=kind[1])
    library = api.adapt(network, recipe, data.learn.x[:16])
    with api.host(library) as runner:
        learn, test = (api.check_samples(library, each) for each in (data.learn, data.test))
        record = api.train(runner, learn, test=test, epochs=epochs, shuffle=seed)
    assert record.accuracy_after is not None
    return 100 * record.accuracy_after, library.memory.total


def errors(method: str, gradients: str) -> tuple[float, float]:
    """Of each trained tensor's gradient in integers, over five steps, ‖g − float's‖ / ‖float's‖: median and largest.

    The weights stay what they are, so that both compute the same gradients; scales and shifts move on.
    """
    data = split(speakers()[0]).learn
    network = api.load(SHARED / "models" / "kws_dscnn_int8.tflite", classes=10)
    libraries = [
        api.adapt(network, Recipe(parse_methods(method), gradients=each), data.x[:16])
        for each in ("float32", gradients)
    ]
    exact, ours = (library.step for library in libraries)
    assert exact is not None and ours is not None
    samples = api.check_samples(libraries[0], data)
    assert samples.y is not None
    states = Memory.initial(ours).states
    found = []
    for index in range(5):
        inputs = [libraries[0].input.from_user(samples.x[10 * index]), samples.y[10 * index].reshape(1)]
        expected = run_step(exact, inputs).values
        result = run_step(ours, inputs, Memory(Memory.initial(ours).params, states))
        states = result.memory.states
        for name, value in exact.gradients.items():
            block = ours.blocks.get(name)
            if block is None:
                gradient = result.values[ours.gradients[name].name]
            else:
                exponent = int(result.values[block.scale.name][1])
                gradient = np.ldexp(result.values[block.codes.name] * block.unit, exponent)
            found.append(np.linalg.norm(gradient - expected[value.name]) / np.linalg.norm(expected[value.name]))
    return float(np.median(found)), float(np.max(found))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", nargs="*", default=["head", "lora:rank=4+head", "bias+head", "full"])
    parser.add_argument("--kinds", nargs="*", default=KINDS, help="of gradients and of additions, joined by /")
    parser.add_argument("--speakers", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--errors", action="store_true", help="of the gradients themselves, instead")
    given = parser.parse_args()
    if given.errors:
        for method in given.method:
            for gradients in ("int16", "int8"):
                print("{:24} {:8} median {:.1e} largest {:.1e}".format(method, gradients, *errors(method, gradients)))
        return
    for method in given.method:
        for kind in given.kinds:
            means, ram = [], 0
            for seed in range(given.seeds):
                found = [
                    accuracy(method, kind.split("/"), speaker, seed, given.epochs, given.rate)
                    for speaker in speakers()[: given.speakers]
                ]
                means.append(float(np.mean([accuracy for accuracy, _ in found])))
                ram = found[0][1]
            spread = max(means) - min(means)
            print(f"{method:24} {kind:16} {np.mean(means):5.1f} ± {spread / 2:.1f} %   {ram:7,} B", flush=True)


if __name__ == "__main__":
    main()
