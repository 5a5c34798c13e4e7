"""A graph as text, for people and for golden tests."""

from __future__ import annotations

from dataclasses import fields

from micrograft.ir.graph import Attrs, Graph


def to_text(graph: Graph) -> str:
    """One line per input, parameter, node and output."""
    lines = [f"graph {graph.name}"]
    lines += [f"  input {port.value}" for port in graph.inputs]
    for param in graph.params:
        lines.append(f"  {'train' if param.trainable else 'const'} {param.value}")
    for node in graph.nodes:
        outputs = ", ".join(map(str, node.outputs))
        inputs = ", ".join(f"%{value.name}" for value in node.inputs)
        origin = f"  # {node.origin}" if node.origin else ""
        lines.append(f"  {outputs} = {node.op}({inputs}){attrs_text(node.attrs)}{origin}")
    lines += [f"  output %{port.value.name}" for port in graph.outputs]
    return "\n".join(lines) + "\n"


def attrs_text(attrs: Attrs) -> str:
    """The attributes as ` {name=value, ...}`, empty where there are none."""
    pairs = [f"{each.name}={getattr(attrs, each.name)}" for each in fields(attrs)]
    return f" {{{', '.join(pairs)}}}" if pairs else ""
