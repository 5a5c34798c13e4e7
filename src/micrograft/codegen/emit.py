"""Library in, files out: the header, the model, its tables, the kernels it calls, and an example main()."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import jinja2
import numpy as np

from micrograft.codegen.artifact import ADAPTER_HEADER_BYTES, Artifact, Library
from micrograft.codegen.model import ACCESSES, Constants, Function, write_function
from micrograft.codegen.runtime import KERNELS, headers_of, runtime_files
from micrograft.codegen.weights import initial_name, weights_header, weights_source
from micrograft.codegen.writer import comment, float_literal
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Port
from micrograft.ir.types import DType, Value
from micrograft.ops.embedding import vocabulary
from micrograft.planning.plan import Plan

_TEMPLATES = Path(__file__).parent / "templates"
ADAPTER_VERSION = 1


def emit(library: Library, directory: Path) -> Artifact:
    """Write the library below `directory`, which is created. The same library gives the same bytes."""
    files = library_files(library)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sources = (directory / f"{library.name}.c", directory / f"{library.name}_weights.c")
    kernels = tuple(KERNELS / Path(name).name for name in files if name.startswith("runtime/") and name.endswith(".c"))
    functions = ["init", "input", "predict"]
    buffers = ["model", "memory", "y"]
    if library.step is not None:
        functions += ["evaluate", "train_step", "set_learning_rate", "export", "import"]
        buffers += ["target", "loss"]
    exported = tuple(f"{library.name}_{function}" for function in functions)
    return Artifact(library, directory, sources, kernels, directory / "main.c", exported, tuple(buffers))


def library_files(library: Library) -> dict[str, str]:
    """Path below the library's directory, to text."""
    constants = Constants()
    kernels: set[str] = set()

    def body(plan: Plan, result: Value) -> Function:
        function, called = write_function(library, plan, result, constants)
        kernels.update(called)
        return function

    functions = {"predict": body(library.predict, library.output.value)}
    if library.step is not None and library.evaluate is not None and library.train is not None:
        functions["evaluate"] = body(library.evaluate, library.step.loss)
        functions["train_step"] = body(library.train, library.step.loss)
    text = "\n".join(line for function in functions.values() for line in (*function.lines, function.result))
    accesses = {name: type_ for type_, name in ACCESSES.items()} | {"bytes": "unsigned char"}
    context = _context(library) | {
        "functions": functions,
        "apart": any(len(function.parts) > 1 for function in functions.values()),
        "structs": list(constants.structs.values()),
        "headers": headers_of(kernels),
        "accesses": {
            name: type_
            for name, type_ in accesses.items()
            if f"{name}(" in text or (name == "floats" and library.step is not None)
        },
    }
    files = {
        f"{library.name}.h": _render("model.h.j2", context),
        f"{library.name}.c": _render("model.c.j2", context),
        f"{library.name}_weights.h": weights_header(library),
        f"{library.name}_weights.c": weights_source(library),
        "main.c": _render("main.c.j2", context),
    }
    files |= {f"runtime/{name}": text for name, text in runtime_files(kernels).items()}
    return files


def _context(library: Library) -> dict[str, object]:
    """What the templates of a library have in common."""
    memory = library.memory
    slots = [*memory.parameters, *memory.states]
    target = library.target
    context: dict[str, object] = {
        "name": library.name,
        "NAME": library.name.upper(),
        "summary": f"{library.input.user_shape} in, {library.output.user_shape} out",
        "trains": library.step is not None,
        "input": library.input,
        "output": library.output,
        "input_c": library.input.value.dtype.c,
        "tokens": vocabulary(library.graph, library.input.value),
        "elements": _elements,
        "answer_elements": _in_whole_words(f"{library.name.upper()}_OUTPUT_SIZE", library.output),
        "memory": memory,
        "slots": slots,
        "layout": _layout,
        "comment": comment,
        "shape": _shape,
    }
    if library.step is None or target is None:
        return context
    loss = library.step.graph.producers[library.step.loss.name]
    classes = loss.inputs[0].shape[-1] if target.value.dtype is DType.INT32 else 0
    rate = next(slot for slot in memory.states if slot.value.name == "learning_rate")
    accumulate = library.step.accumulate
    every = "" if accumulate == 1 else f"The parameters move at every {accumulate}th, by the mean gradient."
    return context | {
        "target": target,
        "target_c": target.value.dtype.c,
        "target_text": f"class indices below {classes}" if classes else f"floats: {_layout(target)}",
        "classes": classes,
        "loss": loss.op.replace("_", " "),
        "accumulate": accumulate,
        "every": every,
        "learning_rate": float_literal(float(rate.initial)),
        "adapter_bytes": library.adapter_bytes,
        "header_bytes": ADAPTER_HEADER_BYTES,
        "adapter_start": ", ".join(
            f"0x{byte:02X}" for byte in b"MGAD" + ADAPTER_VERSION.to_bytes(4, "little") + library.digest
        ),
        "initial": {
            slot.value.name: initial_name(library, slot.value) if np.any(slot.initial) else "NULL" for slot in slots
        },
    }


def _elements(port: Port) -> str:
    """What kind of numbers a port has."""
    quant = port.value.type.quant
    if quant is None:
        return "floats" if port.value.dtype is DType.FLOAT32 else "indices"
    return f"codes of {float_literal(quant.scale)} * (code - {quant.zero})"


def _in_whole_words(size: str, port: Port) -> str:
    """How many elements the application's buffer has: whole words of them."""
    return f"({size} + 3) / 4 * 4" if port.value.type.bytes % 4 else size


def _layout(port: Port) -> str:
    """How a port's elements lie, and how the user's own axes map to that."""
    shape = _shape(port.value)
    if port.permutation == tuple(range(len(port.permutation))):
        return shape
    return f"{shape}, channels last; the network's own order is {port.user_shape}"


def _shape(value: Value) -> str:
    return "(" + ", ".join(map(str, value.shape)) + ")"


def _render(template: str, context: dict[str, object]) -> str:
    text = _environment().get_template(template).render(context)
    return re.sub(r"\n{3,}", "\n\n", text)  # whatever the branches of the template left


@functools.cache
def _environment() -> jinja2.Environment:
    """Reads each template once."""
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


_HEADERS = (
    "arm_acle", "assert", "complex", "ctype", "errno", "features", "fenv", "float", "inttypes", "iso646", "limits",
    "locale", "math", "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string",
    "tgmath", "time", "wchar", "wctype",
)  # fmt: skip
"""C's own: a file of that name in the library's folder would be read in its place."""


def check_name(name: str) -> str:
    """A library's name, which prefixes all its C names and files. Raises MicrograftError where C would not take it, or
    where one of the files would take the place of another."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise MicrograftError(f"{name!r} cannot prefix C names: use lower-case letters, digits and underscores.")
    if name in ("main", "mg", *_HEADERS) or name.startswith("mg_"):
        what = f"{name!r} cannot name a library: main, the names of C's own headers, and mg are taken"
        raise MicrograftError(what, fix="choose another with --name")
    return name
