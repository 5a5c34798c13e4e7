"""A trained adapter on disk: its tensors under the user's own names, and a record from which all else is rebuilt.

The record carries the digest of the network and method that the tensors were trained for, so an adapter is never
put into another network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from micrograft.api import Recipe, adapt, load, with_parameters
from micrograft.codegen.artifact import Library
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.peft.sparse import chosen_channels
from micrograft.precision import quantize_as
from micrograft.quantization.observers import Ranges
from micrograft.recipe import is_whole
from micrograft.spec import clip_text, methods_text, optimizer_text, parse_clip, parse_methods, parse_optimizer

TENSORS = "adapter.safetensors"
RECORD = "record.json"
FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """What `api.load` was told beside the model file: an adapter is for the network that came of it.

    ranges: of the activations, where the network was then quantized.
    """

    classes: int | None = None
    seed: int = 0
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ranges: Ranges | None = None

    def __post_init__(self) -> None:
        """Raises MicrograftError for what `load` cannot be told."""
        sizes = [size for shape in self.shapes.values() for size in shape]
        for name, value, fits in (
            ("number of classes", self.classes, self.classes is None or is_whole(self.classes, 1)),
            ("seed", self.seed, is_whole(self.seed, 0)),
            ("set of shapes", self.shapes, all(is_whole(size, 1) for size in sizes)),
        ):
            if not fits:
                raise MicrograftError(f"{value!r} is no {name}")

    def load(self, model: Path | str) -> Graph:
        """The network. Raises MicrograftError."""
        graph = load(model, shapes=self.shapes or None, classes=self.classes, seed=self.seed)
        return quantize_as(graph, self.ranges) if self.ranges is not None else graph


@dataclass(frozen=True, eq=False)
class Adapter:
    """What `write_adapter` wrote. tensors: by the user's names, in the user's layout."""

    recipe: Recipe
    origin: Origin
    tensors: Mapping[str, Array]
    digest: str
    where: str = ""

    def graft(self, network: Graph) -> Library:
        """The library of `network` with this adapter in it. Raises MicrograftError where it was not trained for it."""
        fix = "give the model that it was trained with"
        try:
            library = with_parameters(adapt(network, self.recipe), self.tensors)
        except MicrograftError as error:
            raise MicrograftError(f"the adapter does not fit this network ({error})", where=self.where) from error
        if library.digest.hex() != self.digest:
            raise MicrograftError("the adapter belongs to another network", where=self.where, fix=fix)
        return library


def adapter_tensors(library: Library, network: Graph) -> dict[str, Array]:
    """What `network` lacks to become `library`: all that is trained, and frozen tensors that the method has drawn.

    By the user's names, in the user's layout. What the passes made of the network's own tensors does not count. Of a
    weight of which channels are trained: those channels, and which they are.
    """
    theirs = {param.source for param in network.params}
    found = {
        param.source: param.to_user(param.data)
        for param in library.graph.params
        if param.trainable or (param.learnable and param.source not in theirs)
    }
    return found | chosen_channels(library.graph, network)


def recipe_json(recipe: Recipe, origin: Origin) -> dict[str, Any]:
    """A recipe in the words of the command line; `read_adapter` reads it back exactly."""
    return {
        "method": methods_text(recipe.methods, complete=True),
        "optimizer": optimizer_text(recipe.optimizer, complete=True),
        "loss": recipe.loss,
        "clip": clip_text(recipe.clip),
        "accumulate": recipe.accumulate,
        "seed": recipe.seed,
        "name": recipe.name,
        "arena": recipe.arena,
        "gradients": recipe.gradients,
        "additions": recipe.additions,
        "truncate": recipe.truncate,
        "reversible": recipe.reversible,
        "classes": origin.classes,
        "classes_seed": origin.seed,
        "shapes": {name: list(shape) for name, shape in origin.shapes.items()},
        "ranges": None if origin.ranges is None else {name: list(ends) for name, ends in origin.ranges.items()},
    }


def write_adapter(folder: Path, adapter: Adapter, training: Mapping[str, Any]) -> None:
    """Write `adapter.safetensors` and `record.json` into the existing `folder`.

    training: what else the record tells, of the training that led here.
    """
    (folder / TENSORS).write_bytes(save(dict(adapter.tensors), metadata={"format": f"micrograft {FORMAT}"}))
    record = {
        "micrograft": version("micrograft"),
        "format": FORMAT,
        "digest": adapter.digest,
        "recipe": recipe_json(adapter.recipe, adapter.origin),
        **training,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def read_adapter(folder: Path) -> Adapter:
    """Read what `write_adapter` wrote. Raises MicrograftError for anything else."""
    record, where = _read_record(folder / RECORD), str(folder)
    try:
        words = record["recipe"]
        recipe = Recipe(
            methods=parse_methods(words["method"]),
            optimizer=parse_optimizer(words["optimizer"]),
            loss=words["loss"],
            clip=parse_clip(words["clip"]),
            accumulate=words["accumulate"],
            seed=words["seed"],
            name=words["name"],
            arena=words.get("arena"),
            gradients=words.get("gradients", "float32"),
            additions=words.get("additions", "float32"),
            truncate=words.get("truncate", 0),
            reversible=words.get("reversible", True),
        )
        shapes = {name: tuple(shape) for name, shape in words["shapes"].items()}
        ranges = words.get("ranges")
        ranges = None if ranges is None else {name: (float(low), float(high)) for name, (low, high) in ranges.items()}
        origin, digest = Origin(words["classes"], words["classes_seed"], shapes, ranges), str(record["digest"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MicrograftError(f"{RECORD} is not complete: {error} is missing or wrong", where=where) from error
    except MicrograftError as error:
        raise MicrograftError(f"{RECORD} is not right: {error}", where=where) from error
    return Adapter(recipe, origin, _read_tensors(folder / TENSORS), digest, where)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
    except OSError:
        fix = f"an adapter is a folder with {TENSORS} and {RECORD}, as `micrograft train --out` writes it"
        raise MicrograftError(f"there is no {RECORD}", where=str(path.parent), fix=fix) from None
    except ValueError:
        raise MicrograftError("this is not a record that micrograft wrote", where=str(path)) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise MicrograftError(f"this is not an adapter's record of format {FORMAT}", where=str(path))
    return record


def _read_tensors(path: Path) -> dict[str, Array]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise MicrograftError(f"there is no {TENSORS}", where=str(path.parent)) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise MicrograftError(f"this is not a readable safetensors file: {error}", where=str(path)) from None
