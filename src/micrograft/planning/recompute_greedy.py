"""A good first answer to what is computed again: which tensors stay is searched, the rest follows.

A tensor that stays lives until its last reader. Any other dies behind its last forward reader, and is computed
again directly before the first backward node that wants it, together with whatever that needs and is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from micrograft.planning.recompute_problem import Choice, Problem, peak

_TRIALS = 4_000_000
"""Work of the search, at most: answers tried, times tensors and nodes; twenty seconds where there are thousands."""

_STRIDES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48)
"""Every so many units one stays, in the answers from which the search starts."""

_STARTS = 4
"""How many of those the search improves."""


def smallest_peak(problem: Problem) -> int:
    """Bytes of the most frugal answer that this search knows."""
    search = _Search(problem)
    return min(peak(problem, search.follow(stays)) for stays in search.starts())


def search_greedily(problem: Problem, capacity: int) -> Choice | None:
    """An answer whose peak is at most `capacity` bytes, with little work; None where none was found. Deterministic."""
    return _Search(problem).run(capacity)


class _Search:
    """Tensors that stay, tried and improved."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._inputs: list[list[int]] = [[] for _ in problem.units]  # tensors that a unit reads
        self._wanted: dict[int, list[int]] = {}  # backward position to the tensors that its node reads
        for index, tensor in enumerate(problem.tensors):
            for unit in sorted({problem.unit_of[read.position] for read in tensor.forward}):
                self._inputs[unit].append(index)
            for read in tensor.backward:
                self._wanted.setdefault(read.position, []).append(index)
        self._trials = _TRIALS // (len(problem.tensors) + len(problem.nodes))

    def starts(self) -> Iterator[frozenset[int]]:
        """Sets of tensors that stay: all, and those of every so many units, with or without masks."""
        tensors = list(enumerate(self._problem.tensors))
        yield frozenset(index for index, _ in tensors)
        optional = frozenset(index for index, tensor in tensors if tensor.optional)
        units = len(self._problem.units)
        for stride in (*_STRIDES, units + 1):
            for phase in sorted({0, stride // 2}):
                stays = frozenset(index for index, each in tensors if each.unit % stride == phase and not each.optional)
                yield stays
                yield stays | optional
        for size in sorted({tensor.size for _, tensor in tensors}):
            yield frozenset(index for index, each in tensors if each.size <= size)

    def run(self, capacity: int) -> Choice | None:
        rated: list[tuple[int, int, frozenset[int], Choice]] = []
        for stays in self.starts():
            choice = self.follow(stays)
            self._trials -= 1
            if peak(self._problem, choice) <= capacity:
                rated.append((choice.work(self._problem), len(rated), stays, choice))
        rated.sort(key=lambda each: each[:2])
        share = self._trials // _STARTS
        improved = [self._improve(stays, choice, capacity, share) for _, _, stays, choice in rated[:_STARTS]]
        return min(improved, key=lambda choice: choice.work(self._problem), default=None)

    def _improve(self, stays: frozenset[int], best: Choice, capacity: int, trials: int) -> Choice:
        """Let one tensor more stay, or one stay no more, as long as that saves work."""
        order = sorted(range(len(self._problem.tensors)), key=self._value, reverse=True)
        improving = True
        while improving and trials > 0:
            improving = False
            for index in order:
                if trials <= 0:
                    break
                trials -= 1
                trial = stays ^ {index}
                choice = self.follow(trial)
                if choice.work(self._problem) < best.work(self._problem) and peak(self._problem, choice) <= capacity:
                    stays, best, improving = trial, choice, True
        return best

    def _value(self, index: int) -> float:
        """Work saved for each byte if this tensor stays."""
        tensor = self._problem.tensors[index]
        return self._problem.units[tensor.unit].work / tensor.size

    def follow(self, stays: frozenset[int]) -> Choice:
        """The answer that follows from which tensors stay."""
        problem = self._problem
        slots: dict[int, int] = {}
        again: set[tuple[int, int]] = set()
        again_in: set[tuple[int, int]] = set()

        def is_again(index: int, slot: int) -> bool:
            """Whether a reader in or behind `slot` reads the second computation of a tensor."""
            unit = problem.tensors[index].unit
            return index not in stays and (unit in slots or problem.units[unit].latest >= slot)

        for position in sorted(self._wanted):
            waiting = [index for index in self._wanted[position] if is_again(index, position)]
            again.update((index, position) for index in waiting)
            while waiting:
                unit = problem.tensors[waiting.pop()].unit
                if unit in slots:
                    continue
                slots[unit] = position
                found = [index for index in self._inputs[unit] if is_again(index, position)]
                again_in.update((index, unit) for index in found)
                waiting.extend(found)
        return Choice(slots, frozenset(again), frozenset(again_in))
