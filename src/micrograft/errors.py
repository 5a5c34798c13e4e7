"""The one family of errors that micrograft raises at its users.

Each reads as one sentence: where it happened (the user's layer, file or board), what is wrong, what to do.
The command line prints that sentence and nothing else.
"""


class MicrograftError(Exception):
    """What went wrong, where, and the fix.

    >>> str(MicrograftError("this kind of layer is not known", where="layer 'conv1'", fix="remove it"))
    "layer 'conv1': this kind of layer is not known; remove it"
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__((f"{where}: " if where else "") + what + (f"; {fix}" if fix else ""))
