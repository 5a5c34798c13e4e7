"""The boards that micrograft knows: every module of this package that defines `BOARD`.

Adding a board is adding a file; there is no list to edit.
"""

import difflib
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from micrograft.boards.board import Board, Region
from micrograft.errors import MicrograftError

__all__ = ["Board", "Region", "boards", "find_board"]


@cache
def _discover() -> tuple[Board, ...]:
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    found = [board for module in modules if isinstance(board := getattr(module, "BOARD", None), Board)]
    return tuple(sorted(found, key=lambda board: board.name))


def boards() -> dict[str, Board]:
    """Every known board by its name, in alphabetical order.

    >>> boards()["nrf52840"].ram.size
    262144
    """
    return {board.name: board for board in _discover()}


def find_board(name: str) -> Board:
    """The board of this name, in any case. Raises `MicrograftError` if there is none.

    >>> find_board("RP2040").core
    'cortex_m0plus'
    """
    known = boards()
    if name.lower() in known:
        return known[name.lower()]
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise MicrograftError(f"no board is called '{name}'", fix=f"{hint}Known boards: {', '.join(known)}")
