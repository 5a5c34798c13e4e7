"""Imports the files that hold a frontend's handlers: each registers its own, so a new file is all that one needs."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path


def import_handlers(prefix: str) -> None:
    """Import every module of this package whose name begins with `prefix`."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith(prefix):
            importlib.import_module(f"{__package__}.{module.name}")
