"""Builds nodes: infers their types and gives each value a name that is unique and fit for C."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from micrograft.ir.graph import Attrs, Node, Phase
from micrograft.ir.types import Value
from micrograft.ops import operators


def c_name(text: str) -> str:
    """`text` as a C identifier.

    >>> c_name("features.0/conv")
    'features_0_conv'
    """
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    return f"v_{name}" if not name or name[0].isdigit() else name


class Builder:
    """Appends nodes to a list. Not frozen, and therefore never outlives the pass that uses it."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.nodes: list[Node] = []
        self._taken = set(taken)

    def unique(self, wish: str) -> str:
        """A C name close to `wish` that no value has yet; it is taken from now on."""
        name = base = c_name(wish)
        count = 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def add(
        self,
        op: str,
        inputs: Sequence[Value],
        attrs: Attrs | None = None,
        *,
        origin: str = "",
        name: str = "",
        phase: Phase = Phase.FORWARD,
    ) -> Value:
        """Append a node with its first output only, named after `name`, else its layer and operator.

        Raises ShapeError where the operator refuses the inputs.
        """
        return self.add_all(op, inputs, attrs, origin=origin, names=(name,), phase=phase)[0]

    def add_all(
        self,
        op: str,
        inputs: Sequence[Value],
        attrs: Attrs | None = None,
        *,
        names: Sequence[str],
        origin: str = "",
        phase: Phase = Phase.FORWARD,
    ) -> tuple[Value, ...]:
        """Append a node with its first `len(names)` outputs."""
        attrs = attrs if attrs is not None else Attrs()
        types = operators()[op].infer(attrs, [value.type for value in inputs])
        outputs = tuple(
            Value(self.unique(name or origin or op), type_) for name, type_ in zip(names, types, strict=False)
        )
        self.nodes.append(Node(op, tuple(inputs), outputs, attrs, origin, phase))
        return outputs

    def define(
        self, result: Value, op: str, inputs: Sequence[Value], attrs: Attrs | None = None, *, origin: str = ""
    ) -> None:
        """Append a node whose output is `result`, so that its readers need not change."""
        self.nodes.append(Node(op, tuple(inputs), (result,), attrs if attrs is not None else Attrs(), origin))
