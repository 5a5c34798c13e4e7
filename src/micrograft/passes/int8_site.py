"""Where an int8 operator is to be made, and what its rule may ask of the pass that makes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from micrograft.ir.graph import Attrs, Node, Param
from micrograft.ir.types import Array, Quantization, Value
from micrograft.ops.fixed_point import HIGH, LOW
from micrograft.ops.requantization import Codes


@dataclass(frozen=True)
class Site:
    """An operator between codes. operands: codes or constants for its inputs, None for real numbers.

    y: the output's codes, with the clamp. result: its name.
    """

    node: Node
    operands: tuple[Value | Param | None, ...]
    y: Codes
    result: Value

    @property
    def codes(self) -> tuple[Value, ...]:
        """Those of its inputs that are codes."""
        return tuple(each for each in self.operands if isinstance(each, Value))

    @property
    def x(self) -> Quantization:
        """What the first of them means."""
        return meaning(self.codes[0])

    @property
    def keeps_scale(self) -> bool:
        return self.x == self.y.quant

    @property
    def clamps(self) -> bool:
        """Whether an activation behind it keeps the codes from an end."""
        return (self.y.low, self.y.high) != (LOW, HIGH)


def meaning(value: Value) -> Quantization:
    """What the codes of a value mean."""
    assert value.type.quant is not None, "codes have a meaning"
    return value.type.quant


class Fusion(ABC):
    """The pass, as a rule sees it."""

    @abstractmethod
    def define(self, site: Site, op: str, inputs: tuple[Value, ...], attrs: Attrs) -> bool:
        """Append the operator that gives the site's result; true."""

    @abstractmethod
    def add(self, site: Site, op: str, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
        """Append an operator in front of it."""

    @abstractmethod
    def constant(self, param: Param, quant: Quantization | None = None) -> Value | None:
        """The codes of a constant, its grid's if no others are wanted; None where it has no grid of one scale."""

    @abstractmethod
    def table(self, data: Array, name: str) -> Value:
        """A constant of the network's own."""

    @abstractmethod
    def layer(self, site: Site, outputs_axis: int) -> tuple[Value, Value, Value] | None:
        """int8 weight, int32 biases and factors of a layer; None where its weight has no grid."""

    @abstractmethod
    def wraps(self, site: Site) -> bool:
        """Whether a sum or difference of codes wraps."""
