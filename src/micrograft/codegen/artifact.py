"""What is to be written, and what has been written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from micrograft.ir.graph import Graph, Port, TrainStep
from micrograft.planning.memory import MemoryMap
from micrograft.planning.plan import Plan


@dataclass(frozen=True)
class Library:
    """Everything that the generated C follows from.

    graph: the network as it predicts. evaluate, step: None in a library that only predicts. plans: of predict,
    evaluate and train_step. digest: 8 bytes that tell this network and method from any other.
    """

    graph: Graph
    predict: Plan
    memory: MemoryMap
    digest: bytes
    step: TrainStep | None = None
    evaluate: Plan | None = None
    train: Plan | None = None
    backpropagation_ram: int = 0

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def input(self) -> Port:
        return self.graph.inputs[0]

    @property
    def output(self) -> Port:
        return self.graph.outputs[0]

    @property
    def target(self) -> Port | None:
        return self.step.graph.inputs[-1] if self.step is not None else None

    @property
    def adapter_bytes(self) -> int:
        """Size of an exported adapter: its header and the trained parameters."""
        return ADAPTER_HEADER_BYTES + self.memory.state_bytes

    @property
    def runtime_bytes(self) -> int:
        """RAM that the application holds beside the block: the handle, the target, one answer out.

        The sample lies in the arena. The block is declared in words, so up to three bytes behind the arena count here.
        """
        handle = 8  # a pointer and a counter on a 32-bit core
        target = self.target.value.type.bytes if self.target is not None else 0
        loss = 4 if self.step is not None else 0
        padding = -self.memory.total % 4
        return handle + _words(self.output) + target + loss + padding


def _words(port: Port) -> int:
    """bytes of a sample's buffer, which the application declares in whole words."""
    size = port.value.type.bytes
    return size + -size % 4


ADAPTER_HEADER_BYTES = 24
"""magic, version, digest (8), payload bytes, CRC-32."""


@dataclass(frozen=True)
class Artifact:
    """A written library: its directory and its C files.

    sources: the model's own files. kernels: the runtime's, where they were copied from; to compile them there lets
    the compiler's cache serve every model. harness: the example application. functions: the library's
    interface. buffers: the application's variables.
    """

    library: Library
    directory: Path
    sources: tuple[Path, ...]
    kernels: tuple[Path, ...]
    harness: Path
    functions: tuple[str, ...]
    buffers: tuple[str, ...]
