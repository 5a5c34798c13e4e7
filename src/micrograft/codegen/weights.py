"""The tables of a library: frozen parameters, and what the trained ones start from. They stay in flash."""

from __future__ import annotations

import numpy as np

from micrograft.codegen.artifact import Library
from micrograft.codegen.writer import comment, table
from micrograft.ir.types import Array, Value
from micrograft.ops.builder import c_name


def tables(library: Library) -> dict[str, tuple[Value, Array, str]]:
    """C name of each table to its value, contents and the user's name of it. Zeros need no table."""
    trained = {slot.value.name for slot in library.memory.parameters}
    graph = library.step.graph if library.step is not None else library.graph
    found = {}
    for param in graph.params:
        if param.name not in trained:
            found[table_name(library, param.value)] = (param.value, param.data, param.source)
    for slot in (*library.memory.parameters, *library.memory.states):
        if np.any(slot.initial):
            found[initial_name(library, slot.value)] = (slot.value, slot.initial, f"{slot.source}, at first")
    return found


_TAKEN = (
    "model",
    "status",
    "init",
    "input",
    "predict",
    "evaluate",
    "train_step",
    "set_learning_rate",
    "export",
    "import",
)
"""What the library's own functions and types are called behind its name."""


def table_name(library: Library, value: Value) -> str:
    """C name of a parameter's table, which no function of the library has."""
    return c_name(f"{library.name}_{value.name}{'_table' if value.name in _TAKEN else ''}")


def initial_name(library: Library, value: Value) -> str:
    """C name of the table that a trained parameter starts from."""
    return c_name(f"{library.name}_{value.name}_at_first")


def weights_header(library: Library) -> str:
    """The declarations of the tables."""
    guard = f"{library.name.upper()}_WEIGHTS_H"
    lines = [
        f"/* {library.name}: tables in flash. Written by micrograft. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
    ]
    for name, (value, _, source) in tables(library).items():
        what = comment(f"{source}: ({', '.join(map(str, value.shape))})")
        lines.append(f"extern const {value.dtype.c} {name}[{value.type.size}]; {what}")
    return "\n".join([*lines, "", "#endif", ""])


def weights_source(library: Library) -> str:
    """The tables themselves."""
    parts = [f'/* {library.name}: tables in flash. Written by micrograft. */\n#include "{library.name}_weights.h"\n']
    for name, (value, data, source) in tables(library).items():
        parts.append(f"{comment(source)}\nconst {value.dtype.c} {name}[{value.type.size}] = {{\n{table(data)}\n}};\n")
    return "\n".join(parts)
