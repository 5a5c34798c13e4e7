"""What was measured, on disk: one small JSON file for each trial, named by everything that its result follows from.

A file is written beside its place and moved there, so that an interruption leaves whole files only.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micrograft.errors import MicrograftError

FORMAT = 5
"""Part of every key: raise it where the meaning of what is stored changes."""


@dataclass(frozen=True)
class Store:
    """A folder of results. It is made when the first one is put there."""

    folder: Path

    def get(self, key: str) -> dict[str, Any] | None:
        """What was put under this key; None where there is nothing, or nothing that can be read."""
        try:
            found = json.loads((self.folder / f"{key}.json").read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def put(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result. Raises MicrograftError where the folder cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".new", delete=False) as stream:
                json.dump(result, stream)
            Path(stream.name).replace(self.folder / f"{key}.json")
        except OSError as error:
            raise MicrograftError(f"this cannot be written: {error.strerror}", where=str(self.folder)) from error


def key_of(*parts: str | bytes) -> str:
    """A name for everything that `parts` say, in their order."""
    found = hashlib.sha256(str(FORMAT).encode())
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "little") + content)
    return found.hexdigest()[:32]
