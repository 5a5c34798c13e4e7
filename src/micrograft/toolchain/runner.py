"""A built library on a device, with arrays in and out: the same on the host and on an emulated board."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from micrograft.codegen.artifact import Artifact
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Param
from micrograft.ir.types import Array
from micrograft.planning.memory import Ram
from micrograft.planning.plan import ALIGNMENT
from micrograft.toolchain.device import Device
from micrograft.toolchain.emulator import Emulator

STATUS = {
    1: "the memory is too small or not aligned",
    2: "a class index is out of range",
    3: "the adapter is damaged or belongs to another network",
    4: "a token is out of range",
}


class Runner:
    """Drives one library on one device; the arrays that it takes and gives are in the user's own layout.

    sample: where samples are put, an address: the start of the arena, as the library's `input` says.
    """

    def __init__(self, artifact: Artifact, device: Device) -> None:
        self.library = library = artifact.library
        self.device = device
        self._model = device.buffer("model", 2 * device.pointer_bytes)
        self._memory = device.buffer("memory", _words(library.memory.total))
        self.sample = self._memory + library.memory.arena_offset
        self._y = device.buffer("y", library.output.value.type.bytes)
        if library.target is not None:
            self._target = device.buffer("target", library.target.value.type.bytes)
            self._loss = device.buffer("loss", 4)
        self.reset()

    def reset(self) -> None:
        """Put the network back to what it was built with."""
        self._call("init", self._model, self._memory, _words(self.library.memory.total))

    def predict(self, x: Array) -> Array:
        """The network's answer, in its own layout, to one sample."""
        self._write_sample(x)
        self._call("predict", self._model, self.sample, self._y)
        port = self.library.output
        raw = self.device.read(self._y, port.value.type.bytes)
        return port.to_user(np.frombuffer(raw, port.value.dtype.numpy).reshape(port.value.shape))

    def train_step(self, x: Array, target: Array) -> float:
        """Learn from one sample; the loss before the step."""
        return self._step("train_step", x, target)

    def evaluate(self, x: Array, target: Array) -> float:
        """The loss of one sample."""
        return self._step("evaluate", x, target)

    def set_learning_rate(self, rate: float) -> None:
        """The learning rate from the next step on."""
        self.device.call(f"{self.library.name}_set_learning_rate", self._model, float(rate))

    def parameters(self) -> dict[str, Array]:
        """The user's name of each trained parameter to its value, in the user's layout."""
        found = {}
        for param in self._trainable():
            slot = next(slot for slot in self.library.memory.parameters if slot.value.name == param.name)
            raw = self.device.read(self._memory + slot.offset, slot.size)
            found[param.source] = param.to_user(np.frombuffer(raw, slot.value.dtype.numpy).reshape(slot.value.shape))
        return found

    def state(self) -> bytes:
        """Trained parameters and optimizer state, byte for byte."""
        return self.device.read(self._memory, self.library.memory.arena_offset)

    def export_adapter(self, buffer: int) -> bytes:
        """The adapter as the C library writes it to the address `buffer`."""
        size = self.library.adapter_bytes
        self._call("export", self._model, buffer, size)
        return self.device.read(buffer, size)

    def import_adapter(self, adapter: bytes, buffer: int) -> None:
        """Hand an adapter at the address `buffer` to the C library. Raises MicrograftError where it refuses."""
        self.device.write(buffer, adapter)
        self._call("import", self._model, buffer, len(adapter))

    def _step(self, function: str, x: Array, target: Array) -> float:
        port = self.library.target
        assert port is not None, "a library that only predicts has no step"
        self._write_sample(x)
        self.device.write(self._target, port.from_user(target.reshape(port.user_shape)).tobytes())
        self._call(function, self._model, self.sample, self._target, self._loss)
        return float(np.frombuffer(self.device.read(self._loss, 4), np.float32)[0])

    def _write_sample(self, x: Array) -> None:
        port = self.library.input
        self.device.write(self.sample, port.from_user(x.reshape(port.user_shape)).tobytes())

    def _call(self, function: str, *args: int) -> None:
        status = self.device.call(f"{self.library.name}_{function}", *args)
        if status:
            raise MicrograftError(f"{function} refused: {STATUS.get(status, status)}", where=self.library.name)

    def _trainable(self) -> tuple[Param, ...]:
        return self.library.step.graph.trainable if self.library.step is not None else ()


def _words(size: int) -> int:
    """`size` bytes, rounded up to whole words."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def count_instructions(emulator: Emulator, work: Callable[[], object]) -> int:
    """Instructions that the emulated core executes in all calls that `work` makes."""
    with emulator.measuring(memory=False) as probe:
        work()
    return probe.instructions


def measure_ram(runner: Runner, emulator: Emulator, x: Array, target: Array) -> Ram:
    """What the library's functions reach in RAM, found by watching every access. Leaves the network as it was.

    state, optimizer, arena: from the start of each region to the end of the highest word touched in it; the sample lies
    in the arena. stack: to the deepest address touched. runtime: what the linker placed beside the block.
    """
    library = runner.library
    block = emulator.symbols["memory"].address
    starts = (0, library.memory.state_bytes, library.memory.arena_offset, library.memory.total)
    regions = [range(block + start, block + end) for start, end in pairwise(starts)]
    before = emulator.read(block, library.memory.total), emulator.read(emulator.symbols["model"].address, 8)
    with emulator.measuring(*regions) as probe:
        for _ in range(library.step.accumulate if library.step is not None else 1):
            runner.train_step(x, target)
        runner.evaluate(x, target)
        runner.predict(x)
    emulator.write(block, before[0])
    emulator.write(emulator.symbols["model"].address, before[1])
    pairs = zip(probe.touched, regions, strict=True)
    state, optimizer, arena = (
        min(_words(len(range(region.start, reached.stop))), len(region)) for reached, region in pairs
    )
    linked = emulator.firmware.bss + emulator.firmware.data
    return Ram(arena, state, optimizer, probe.stack_bytes, linked - library.memory.total)
