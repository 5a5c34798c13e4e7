"""Writes results whole or not at all: everything is made beside its place and moved there at the end.

A folder that micrograft wrote before is written over; one that holds a person's own files is refused.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from micrograft.errors import MicrograftError

MANIFEST = ".micrograft.json"
"""Lists what micrograft wrote into a folder, by kind, and so tells that the folder is ours."""


def check_folder(folder: Path) -> None:
    """Raises MicrograftError unless `folder` is absent, empty, or ours."""
    where = str(folder)
    if folder.is_symlink() and not folder.exists():
        raise MicrograftError("this link leads nowhere", where=where)
    if folder.exists() and not folder.is_dir():
        raise MicrograftError("this is a file, not a folder", where=where)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        fix = "name another folder, or empty this one"
        raise MicrograftError("this folder holds files that micrograft did not write", where=where, fix=fix)


@contextmanager
def writing_folder(folder: Path, kind: str) -> Iterator[Path]:
    """A new folder to write into; its contents take their place in `folder` when the block ends well.

    What an earlier run wrote there of the same `kind` is replaced, anything else in it stays. Raises MicrograftError
    where the folder is not ours or cannot be written; nothing has changed then.
    """
    check_folder(folder)
    with _beside(folder) as scratch:
        new = scratch / "new"
        new.mkdir()
        yield new
        written = sorted(str(path.relative_to(new)) for path in new.rglob("*") if path.is_file())
        before = _read_manifest(folder)
        manifest = json.dumps({"written_by": "micrograft", "files": {**before, kind: written}}, indent=1)
        (new / MANIFEST).write_text(manifest + "\n")
        if not before:
            new.replace(folder)
            return
        for name in set(before.get(kind, ())) - set(written):
            (folder / name).unlink(missing_ok=True)
        for name in [*written, MANIFEST]:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (new / name).replace(target)


@contextmanager
def writing_file(path: Path) -> Iterator[Path]:
    """A path to write to; the file takes its place at `path` when the block ends well. Raises MicrograftError."""
    if path.is_dir():
        raise MicrograftError("this is a folder, not a file", where=str(path))
    with _beside(path) as scratch:
        new = scratch / path.name
        yield new
        new.replace(path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, on the same disk as `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".micrograft-", dir=path.parent) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise MicrograftError(f"this cannot be written: {error.strerror or error}", where=str(path)) from error


def _read_manifest(folder: Path) -> dict[str, list[str]]:
    """Kind to the files that micrograft wrote into `folder`, by their paths below it."""
    try:
        found = json.loads((folder / MANIFEST).read_text())["files"]
        listed = {str(kind): [str(name) for name in names] for kind, names in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"unknown": []}
    return {kind: [name for name in names if _is_inside(name)] for kind, names in listed.items()}


def _is_inside(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts
