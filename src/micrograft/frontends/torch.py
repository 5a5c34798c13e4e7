"""PyTorch to graph, through `torch.export`, and from the `.pt2` archives that it writes.

The exported program is made functional first, so that in-place layers and views of them need no care here.
Parameters and layers keep the user's names, and a parameter under two names is one, under the first.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograft.errors import MicrograftError
from micrograft.frontends.discover import import_handlers
from micrograft.frontends.network import Constant, Network, Tensor, unsupported
from micrograft.frontends.torch_operators import HANDLERS, Call
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

import_handlers("torch_")

_INTEGERS = ("torch.int64", "torch.int32")
"""The types of tokens; ours are int32."""

_FIX = "pass it example inputs of a fixed shape with 1 as the first axis"


def import_torch(module: torch.nn.Module | ExportedProgram, example: Any = None) -> Graph:
    """The graph of a module in evaluation mode, or of an exported program, in the user's layout.

    example: an array or tensor or a sequence of them, one for each input, batch 1; an exported program has its own.
    Raises MicrograftError.
    """
    torch = _torch()
    if isinstance(module, torch.export.ExportedProgram):
        program = module
    elif isinstance(module, torch.nn.Module):
        program = _export(module, example)
    else:
        raise MicrograftError(f"a {type(module).__name__} is not a PyTorch module or exported program")
    name = type(module).__name__ if isinstance(module, torch.nn.Module) else "model"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = program.run_decompositions({})
    except Exception as error:  # a layer called "code", say, hides an attribute that torch.fx has of its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MicrograftError(f"torch.export cannot lower it ({reason})", where=f"module {name}") from error
    return _Importer(program).run(name)


def load_pt2(path: str | Path) -> Graph:
    """The graph of a `torch.export` archive. Raises MicrograftError."""
    torch = _torch()
    try:
        with warnings.catch_warnings(), _without_logging():
            warnings.simplefilter("ignore")
            program = torch.export.load(str(path))
    except Exception as error:  # zip, pickle and torch errors of every kind
        raise MicrograftError(
            "it is truncated or not a torch.export archive", where=f"model {str(path)!r}",
            fix="write it with torch.export.save",
        ) from error  # fmt: skip
    return import_torch(program)


@contextmanager
def _without_logging() -> Iterator[None]:
    """torch logs what it also raises; we say it once, in our own words."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _torch() -> Any:
    try:
        import torch
        import torch.export
    except ImportError as error:
        raise MicrograftError("PyTorch is not installed", fix="pip install 'micrograft[torch]'") from error
    return torch


def _export(module: torch.nn.Module, example: Any) -> ExportedProgram:
    torch = _torch()
    where = f"module {type(module).__name__}"
    if example is None:
        raise MicrograftError("it needs example inputs", where=where, fix=_FIX)
    single = isinstance(example, (torch.Tensor, np.ndarray))
    arguments = tuple(torch.as_tensor(each) for each in ((example,) if single else example))
    try:
        with _evaluating(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: ExportedProgram = torch.export.export(module, arguments)
    except Exception as error:  # torch.export raises many kinds, and whatever the module itself raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MicrograftError(f"torch.export cannot export it ({reason})", where=where) from error
    return program


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every part then goes back to the mode that it had."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


class _Importer:
    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._network = Network()
        self._tensors: dict[Any, Tensor] = {}
        self._several: dict[Any, tuple[Tensor | None, ...]] = {}  # of nodes with several outputs

    def run(self, name: str) -> Graph:
        self._constants()
        outputs: list[Any] = []
        for node in self._program.graph.nodes:
            if node.op == "placeholder" and node not in self._tensors:
                self._tensors[node] = self._input(node)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                outputs = list(node.args[0])
        labels = ["output"] if len(outputs) == 1 else [f"output_{index}" for index in range(len(outputs))]
        for node, label in zip(outputs, labels, strict=True):
            if str(getattr(node.meta.get("val"), "dtype", "")) == "torch.bool":
                raise MicrograftError("it is torch.bool, and micrograft gives numbers", where=f"output {label!r}")
        tensors = [self._read(node, "output") for node in outputs]
        return self._network.graph(name, list(zip(labels, tensors, strict=True)))

    def _constants(self) -> None:
        """Parameters, buffers and lifted constants, under their names in the user's module."""
        signature = self._program.graph_signature
        names = {node.name: node for node in self._program.graph.nodes if node.op == "placeholder"}
        lifted: Mapping[str, str] = {
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        stored = {**self._program.constants, **self._program.state_dict}
        first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
        for placeholder, source in signature.inputs_to_parameters.items():
            tensor = stored[source]
            place = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
            name = first.setdefault(place, source)
            frozen = not tensor.requires_grad
            self._tensors[names[placeholder]] = Constant(_array(tensor), name, learnable=True, frozen=frozen)
        for placeholder, source in lifted.items():
            self._tensors[names[placeholder]] = Constant(_array(stored[source]), source)

    def _input(self, node: Any) -> Tensor:
        where = f"input {node.name!r}"
        example = node.meta.get("val")
        if not hasattr(example, "shape"):
            raise MicrograftError("it is not a tensor", where=where, fix="make it part of the module")
        for axis, size in enumerate(example.shape):
            if not isinstance(size, int):
                raise MicrograftError(f"its axis {axis} is dynamic", where=where, fix="export with a fixed shape")
        if str(example.dtype) not in ("torch.float32", *_INTEGERS):
            raise MicrograftError(f"it is {example.dtype}, and micrograft takes torch.float32", where=where)
        shape = tuple(example.shape)
        if not shape or shape[0] != 1:
            raise MicrograftError(
                f"its shape is {shape}, and micrograft trains with a batch of 1", where=where, fix=_FIX
            )
        if str(example.dtype) in _INTEGERS:
            return self._network.tokens(node.name, shape)
        return self._network.input(node.name, shape)

    def _call(self, node: Any) -> None:
        """Draw one node."""
        origin = _origin(node)
        if str(getattr(node.target, "__name__", "")) == "getitem":
            source, index = node.args
            outputs = self._several.get(source) or (self._tensors[source],)
            if index >= len(outputs) or outputs[index] is None:
                raise unsupported(f"output {index} of {source.target}", origin, tuple(HANDLERS))
            self._tensors[node] = outputs[index]
            return
        schema = getattr(node.target, "_schema", None)
        kind = schema.name.removeprefix("aten::") if schema is not None else str(node.target)
        if kind.startswith("_assert") or (not node.users and kind not in HANDLERS):
            return
        arguments = {} if schema is None else _bound(schema, node)
        read = {name: self._resolve(each, origin) for name, each in arguments.items()}
        drawn: Tensor | tuple[Tensor | None, ...] | None = self._computed(node)
        if drawn is None and kind not in HANDLERS:
            raise unsupported(kind, origin, tuple(HANDLERS))
        if drawn is None:
            drawn = HANDLERS[kind](Call(self._network, origin, read, _used(node), *_dtypes(node)))
        if isinstance(drawn, tuple):
            self._several[node] = drawn
        else:
            self._tensors[node] = drawn

    def _resolve(self, argument: Any, reader: str) -> Any:
        """The argument with nodes replaced by their tensors; a parameter becomes a value as soon as it is read."""
        if isinstance(argument, (list, tuple)):
            return [self._resolve(each, reader) for each in argument]
        if not hasattr(argument, "op"):
            return argument
        tensor = self._read(argument, reader)
        if isinstance(tensor, Constant) and tensor.learnable:
            return self._network.value(tensor, trains=True)
        return tensor

    def _read(self, node: Any, reader: str) -> Tensor:
        if node not in self._tensors:
            raise MicrograftError(
                f"it needs {str(node)!r}, which micrograft does not compute", where=f"layer {reader!r}"
            )
        return self._tensors[node]

    def _computed(self, node: Any) -> Constant | tuple[Constant, ...] | None:
        """The value, or the values, of a node that depends on buffers and numbers alone."""
        torch = _torch()
        read = [self._tensors.get(each) for each in node.all_input_nodes]
        if not all(isinstance(each, Constant) and not each.learnable for each in read):
            return None
        arrays = {
            each: torch.from_numpy(tensor.data)
            for each, tensor in zip(node.all_input_nodes, read, strict=True)
            if isinstance(tensor, Constant)
        }
        arguments, keywords = torch.fx.node.map_arg((node.args, node.kwargs), arrays.__getitem__)
        result = node.target(*arguments, **keywords)
        if isinstance(result, (tuple, list)) and all(isinstance(each, torch.Tensor) for each in result):
            return tuple(Constant(_array(each), f"{node.name}_{index}") for index, each in enumerate(result))
        return Constant(_array(result), node.name) if isinstance(result, torch.Tensor) else None


def _used(node: Any) -> frozenset[int]:
    """Which of a node's outputs somebody reads."""
    names = (str(getattr(user.target, "__name__", "")) for user in node.users)
    return frozenset(user.args[1] if name == "getitem" else 0 for user, name in zip(node.users, names, strict=True))


def _dtypes(node: Any) -> tuple[tuple[str, ...], str]:
    """Types of the tensors that a node reads, and of its output."""
    found = (str(getattr(each.meta.get("val"), "dtype", "")) for each in (*node.all_input_nodes, node))
    *before, after = (each.removeprefix("torch.") for each in found)
    return tuple(before), after


def _array(tensor: Any) -> Array:
    array: Array = tensor.detach().cpu().contiguous().numpy()
    return array


def _bound(schema: Any, node: Any) -> dict[str, Any]:
    """Name of each argument to what the node passes for it, or its default."""
    bound = {}
    for index, argument in enumerate(schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        bound[argument.name] = node.args[index] if index < len(node.args) else node.kwargs.get(argument.name, default)
    return bound


def _origin(node: Any) -> str:
    """Path of the innermost module that the node comes from, else the node's own name."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(entry[0]) for entry in reversed(stack.values())), "")
    return path.split("@")[0] or str(node.name)
