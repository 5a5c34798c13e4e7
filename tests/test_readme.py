"""What the README shows works as it stands there: its Python, its command lines, its C, its make targets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from micrograft.cli import main
from micrograft.toolchain.build import build_library
from tests.tiny import write_data, write_network

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def blocks(language: str, document: str = "README.md") -> list[str]:
    """The code blocks of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples name, and everything run in it."""
    write_network(tmp_path / "net.onnx")
    write_data(tmp_path / "data.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_python_runs(place: Path) -> None:
    """Block after block, as one program, to the files that it promises."""
    pytest.importorskip("torch", reason="one example is a PyTorch module")
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert (place / "my-adapter" / "adapter.safetensors").is_file()
    assert (place / "my-firmware" / "model.elf").is_file()


def test_its_command_lines_run_and_its_c_compiles(place: Path) -> None:
    """In the order in which they stand; the C with our strictest warnings, against the library just built."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("micrograft ")]
    assert len(lines) >= 5
    for line in lines:
        result = CliRunner().invoke(main, shlex.split(line)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"
    (example,) = blocks("c")
    (place / "example.c").write_text(example)
    library = place / "firmware"
    sources = [file for file in library.rglob("*.c") if file.name != "main.c"]
    include_dirs = [library, library / "runtime"]
    build_library([place / "example.c", *sources], include_dirs, place / "example.so", strict=True)


def test_its_make_targets_exist() -> None:
    """And `.ci/run` calls `make test`, as it says."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "install"} <= named <= targets
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    """To a file of the repository."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_manual_of_the_command_line_names_what_there_is() -> None:
    """Every command and every option of it, and none that does not exist; the search has a page of its own."""
    manual = "\n".join((ROOT / "docs" / name).read_text() for name in ("cli.md", "search.md"))
    options = {"--help", "--json"}
    for name, command in main.commands.items():
        assert f"micrograft {name} " in manual
        options |= {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    ours = re.sub(r"ray start --head|python -m benchmarks.*", "", manual)  # options of others
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)*\b", ours))
    assert named <= options, "the manual names an option that does not exist"
    assert options <= named, "an option is missing from the manual"
