"""The rooms of the house import each other one way; docs/design.md draws the same steps."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "micrograft"

# Lowest first. Neighbours on a step do not import each other.
STEPS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("ir", "files"),
    ("ops", "boards"),
    ("reference",),
    ("statistics", "couplings", "functions"),
    ("frontends", "samples", "passes", "peft", "quantization", "planning"),
    ("codegen", "spec", "recipe", "precision"),
    ("toolchain",),
    ("search", "report"),
    ("api",),
    ("adapter", "explain", "comparison", "contribution"),
    ("trial",),
    ("auto", "laboratory"),
    ("race", "linking"),
    ("explore",),
    ("model",),
    ("hugging_face",),
    ("demo",),
    ("cli",),
)
STEP_OF = {room: step for step, rooms in enumerate(STEPS) for room in rooms}
# The faces: they show what the house holds and are imported by nothing in it.
FACES = ("__init__", "__main__", "torch")


def _modules() -> dict[str, Path]:
    """Dotted name to file, for every module of the package."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("micrograft", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imported(name: str) -> Iterator[str]:
    """Our modules that module `name` imports, wherever in its text."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                if full in MODULES:
                    yield full
                elif base in MODULES:
                    yield base


def _room(name: str) -> str:
    """The room of a module: the first part of its name below the package."""
    return name.split(".")[1] if "." in name else "__init__"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name: str) -> None:
    """A module imports from its own room and from lower steps, never from a neighbour and never upwards."""
    room = _room(name)
    if room in FACES:
        return
    assert room in STEP_OF, f"the room {room} has no step in this test nor in the design"
    for target in _imported(name):
        other = _room(target)
        allowed = other == room or (other in STEP_OF and STEP_OF[other] < STEP_OF[room])
        assert allowed, f"{name} imports {target}"


def test_imports_have_no_circle() -> None:
    """No module imports itself by way of others."""
    finished: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        if name in finished:
            return
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        path.append(name)
        for target in _imported(name):
            if target != name:
                visit(target)
        path.pop()
        finished.add(name)

    for name in MODULES:
        visit(name)
