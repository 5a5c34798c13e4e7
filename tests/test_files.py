"""Results are written whole or not at all, and a person's own files are never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from micrograft.errors import MicrograftError
from micrograft.files import MANIFEST, check_folder, writing_file, writing_folder


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, with its text."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, kind: str, **files: str) -> None:
    with writing_folder(folder, kind) as new:
        for name, text in files.items():
            path = new / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_is_filled(tmp_path: Path, exists: bool) -> None:
    """Folders above it are made; nothing but the result and its manifest is there afterwards."""
    out = tmp_path / "deep" / "out"
    if exists:
        out.mkdir(parents=True)
    write(out, "library", a="1", sub__b="2")
    assert set(tree(out)) == {"a", "sub/b", MANIFEST}
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_mode & 0o555 == 0o555, "others may read it, as in any folder that a person makes"


def test_an_earlier_result_of_the_same_kind_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    """Stale files go; another kind's results and a person's notes beside ours do not."""
    write(tmp_path, "library", a="1", sub__stale="2")
    write(tmp_path, "adapter", tensors="3")
    (tmp_path / "notes").write_text("mine")
    write(tmp_path, "library", a="4")
    found = tree(tmp_path)
    found.pop(MANIFEST)
    assert found == {"a": "4", "tensors": "3", "notes": "mine"}


def test_a_folder_of_other_peoples_files_is_refused(tmp_path: Path) -> None:
    """Before any work and again when writing."""
    (tmp_path / "main.c").write_text("mine")
    with pytest.raises(MicrograftError, match="did not write"):
        check_folder(tmp_path)
    with pytest.raises(MicrograftError, match="did not write"):
        write(tmp_path, "library", **{"main.c": "ours"})
    assert tree(tmp_path) == {"main.c": "mine"}


def test_a_failure_while_writing_changes_nothing(tmp_path: Path) -> None:
    """Neither in the folder nor beside it."""
    out = tmp_path / "out"
    write(out, "library", a="1")
    before = tree(tmp_path)
    with pytest.raises(ZeroDivisionError), writing_folder(out, "library") as new:
        (new / "a").write_text("2")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), writing_file(tmp_path / "p.npz") as path:
        path.write_text("half")
        raise ZeroDivisionError
    assert tree(tmp_path) == before


def test_a_manifest_cannot_make_us_delete_outside_the_folder(tmp_path: Path) -> None:
    """Paths that lead out of it are not ours."""
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.write_text("mine")
    (out / MANIFEST).write_text(f'{{"files": {{"library": ["../victim", "{victim}"]}}}}')
    write(out, "library", a="1")
    assert victim.read_text() == "mine"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """As a folder, below a file, or as a file where a folder is."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MicrograftError, match="this is a file, not a folder"):
        check_folder(tmp_path / "file")
    with pytest.raises(MicrograftError, match="cannot be written"), writing_file(tmp_path / "file" / "p.npz"):
        pass
    with pytest.raises(MicrograftError, match="this is a folder, not a file"), writing_file(tmp_path):
        pass
