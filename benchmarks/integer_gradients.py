"""How far gradients in integers are from float32's, on MLPerf Tiny's int8 keyword network and real recordings.

Of each trained tensor, over five steps, ‖g − float32's‖ / ‖float32's‖: the median and the largest. What that costs in
accuracy is in the table of `python -m benchmarks.accuracy digits`.

    python benchmarks/integer_gradients.py [METHOD ...]      lora:rank=4+head and full unless told otherwise
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from micrograft import api
from micrograft.recipe import Gradients
from micrograft.reference import Memory, run_step
from micrograft.samples import Samples
from micrograft.spec import parse_methods

SHARED = Path(__file__).parents[2] / "shared"
STEPS = 5


def recordings() -> Samples:
    """Five of one speaker, of different digits."""
    with np.load(SHARED / "data" / "spoken_digits_mfcc.npz") as archive:
        own = (archive["speaker"] == archive["speaker"][0]) & (archive["take"] == 0) & (archive["y"] < STEPS)
        return Samples(archive["x"][own], archive["y"][own].astype(np.int64))


def errors(method: str, gradients: Gradients) -> tuple[float, float]:
    """The median and the largest over tensors and steps.

    The weights stay what they are, so that both compute the same gradients; scales and shifts move on.
    """
    data = recordings()
    network = api.load(SHARED / "models" / "kws_dscnn_int8.tflite", classes=10)
    kinds: tuple[Gradients, ...] = ("float32", gradients)
    libraries = [api.adapt(network, api.Recipe(parse_methods(method), gradients=kind), data.x) for kind in kinds]
    exact, ours = (library.step for library in libraries)
    assert exact is not None and ours is not None
    samples = api.check_samples(libraries[0], data)
    assert samples.y is not None
    states = Memory.initial(ours).states
    found = []
    for x, y in zip(samples.x, samples.y, strict=True):
        inputs = [libraries[0].input.from_user(x), y.reshape(1)]
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
            if length := np.linalg.norm(expected[value.name]):  # 0: of LoRA's A, as long as B is 0
                found.append(np.linalg.norm(gradient - expected[value.name]) / length)
    return float(np.median(found)), float(np.max(found))


def main() -> None:
    kinds: tuple[Gradients, ...] = ("int16", "int8")
    for method in sys.argv[1:] or ("lora:rank=4+head", "full"):
        for kind in kinds:
            print("{:24} {:8} median {:.1e} largest {:.1e}".format(method, kind, *errors(method, kind)), flush=True)


if __name__ == "__main__":
    main()
