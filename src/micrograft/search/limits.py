"""What training may need, and by which model seconds and joules follow from instructions."""

from __future__ import annotations

from dataclasses import dataclass

from micrograft.boards import Board
from micrograft.errors import MicrograftError


@dataclass(frozen=True)
class Room:
    """What a recipe may need at most; None for no limit.

    block: bytes of RAM without the stack. written: bytes of trained parameters, as a save writes them. work: estimated
    instructions of a step.

    >>> Room(block=100).holds(100, 7, 9), Room(block=100, work=8).holds(100, 7, 9)
    (True, False)
    """

    block: int | None = None
    written: int | None = None
    work: int | None = None

    def holds(self, block: int, written: int, work: int) -> bool:
        """Whether so much may be needed."""
        pairs = [(block, self.block), (written, self.written), (work, self.work)]
        return all(most is None or needed <= most for needed, most in pairs)


@dataclass(frozen=True)
class Limits:
    """Of one training step; None for no limit.

    instructions: emulated. seconds: by the board's rated clock, one instruction a cycle. joules: those seconds at
    `watts`, which is what the whole board draws while it computes; nobody's datasheet is quoted, so measure it.
    """

    instructions: int | None = None
    seconds: float | None = None
    joules: float | None = None
    watts: float | None = None

    def __post_init__(self) -> None:
        given = (self.instructions, self.seconds, self.joules, self.watts)
        if any(each is not None and not each > 0 for each in given):
            raise MicrograftError("a limit of a step's instructions, seconds, joules or watts must be above 0")
        if (self.joules is None) != (self.watts is None):
            fix = "measure what your board draws while it computes, and give it as --watts"
            raise MicrograftError("a limit in joules and the board's power in watts go together", fix=fix)

    def on(self, board: Board) -> int | None:
        """The most instructions that keep all limits on a board, None where there are none."""
        seconds = [] if self.seconds is None else [self.seconds]
        if self.joules is not None and self.watts is not None:
            seconds.append(self.joules / self.watts)
        counts = [round(each * board.clock_hz) for each in seconds]
        counts += [] if self.instructions is None else [self.instructions]
        return min(counts, default=None)

    def text(self, board: Board) -> str:
        """The limit and its model in words, "" where there is none."""
        most = self.on(board)
        if most is None:
            return ""
        clock = f"{board.clock_hz / 1e6:g} MHz"
        power = f" and {self.watts:g} W" if self.watts is not None else ""
        model = f", by one instruction a cycle at {clock}{power}; a real core also waits for its memories"
        return f"at most {most:,} instructions a step" + (model if most != self.instructions else "")
