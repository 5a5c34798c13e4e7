"""Samples and targets from a file, checked before anything is built.

Data come in the network's own input layout, one sample per row.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.ir.graph import Port
from micrograft.ir.types import Array, DType, Shape


@dataclass(frozen=True, eq=False)
class Samples:
    """x: (samples, *shape of one) float32 in the network's own layout. y: targets or None."""

    x: Array
    y: Array | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class DataFile:
    """An `.npz` as a person brings it: `x`, `y` to learn from, `x_test`, `y_test` to judge by (or None).

    tasks: `task`, which tells of each sample in `x` to which person, place or episode it belongs, or None.
    """

    train: Samples
    test: Samples | None
    tasks: Array | None = None

    @property
    def judged(self) -> Samples:
        """The samples to judge by."""
        return self.test or self.train


def read_data(path: Path, *, targets: bool = True) -> DataFile:
    """Read `x`, `y` and, where they are, `x_test`, `y_test`. Raises MicrograftError on anything else."""
    where = str(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise MicrograftError("this is one array, not an .npz archive with 'x' and 'y'", where=where)
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise MicrograftError("there is no such file", where=where) from None
    except (
        ValueError,
        OSError,
        EOFError,
        AttributeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        fix = "write it with numpy.savez(path, x=..., y=...)"
        raise MicrograftError("this is not a readable .npz archive", where=where, fix=fix) from error
    missing = [name for name in ("x", *(("y",) if targets else ())) if name not in arrays]
    if missing:
        found = ", ".join(arrays) or "nothing"
        raise MicrograftError(f"it has no {' and no '.join(missing)} (it has {found})", where=where)
    if ("x_test" in arrays) != ("y_test" in arrays) and targets:
        raise MicrograftError("x_test and y_test go together, and one of them is missing", where=where)
    test = Samples(arrays["x_test"], arrays["y_test"]) if targets and "x_test" in arrays else None
    tasks = arrays.get("task")
    if tasks is not None and (tasks.ndim != 1 or len(tasks) != len(arrays["x"])):
        raise MicrograftError("task is not one entry for each sample", where=where)
    return DataFile(Samples(arrays["x"], arrays.get("y")), test, tasks)


def check_inputs(x: Array, port: Port, where: str = "x") -> Array:
    """`x` as (samples, *shape of the network's input): float32, or the codes that an int8 network takes.

    Such a network's samples are real numbers, which are rounded to its codes, or an int8 array, its codes as they are.
    Raises MicrograftError for a wrong shape or type, no samples at all, or a number that is not finite.
    """
    if port.value.dtype is DType.INT32:
        if not np.issubdtype(x.dtype, np.integer):
            raise MicrograftError(f"tokens are integers, but these are {x.dtype}", where=where)
        _check_floats(x, port.user_shape, where, "the network takes")
        return x.astype(np.int32).reshape(len(x), *port.user_shape)
    floats = _check_floats(x, port.user_shape, where, "the network takes")
    quant = port.value.type.quant
    if quant is None:
        return floats
    return floats.astype(np.int8) if x.dtype == np.int8 else quant.codes(floats)


def check_targets(y: Array, port: Port, classes: int, count: int, where: str = "y") -> Array:
    """`y` as (samples, *shape of the target), int32 class indices or float32.

    classes: how many there are, where targets are indices. Raises MicrograftError for a wrong shape or type, a
    label outside 0 to classes-1, a number that is not finite, or another count than x has.
    """
    if len(y) != count if y.ndim else True:
        raise MicrograftError(f"there are {len(y) if y.ndim else 0} targets for {count} samples", where=where)
    if port.value.dtype is not DType.INT32:
        fix = "such a loss is of numbers; class indices are integers, and then the loss is cross-entropy"
        return _check_floats(y, port.user_shape, where, "the loss takes", fix)
    if not np.issubdtype(y.dtype, np.integer):
        raise MicrograftError(f"class indices are integers, but these are {y.dtype}", where=where)
    labels = y.reshape(count, -1)
    if labels.shape[1] != port.value.type.size:
        raise MicrograftError(
            f"a sample has {labels.shape[1]} labels, but the network asks for {port.value.type.size}", where=where
        )
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        fix = "renumber the labels, or give the network more classes with --classes"
        raise MicrograftError(f"label {wrong[0]} is outside 0 to {classes - 1}", where=where, fix=fix)
    return labels.astype(np.int32).reshape(count, *port.value.shape)


def _check_floats(array: Array, shape: Shape, where: str, taker: str, fix: str = "") -> Array:
    if array.ndim < 1 or len(array) == 0:
        raise MicrograftError("there are no samples", where=where)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise MicrograftError(f"the elements are {array.dtype}, not numbers", where=where)
    one = array.shape[1:]
    without_batch = shape[1:] if shape[:1] == (1,) else shape
    if one not in (shape, without_batch):
        raise MicrograftError(f"a sample has shape {one}, but {taker} {without_batch}", where=where, fix=fix)
    floats = array.astype(np.float32).reshape(len(array), *shape)
    finite = np.isfinite(floats).reshape(len(floats), -1).all(axis=1)
    if not finite.all():
        raise MicrograftError(f"sample {int(np.argmin(finite))} has a number that is not finite", where=where)
    return floats
