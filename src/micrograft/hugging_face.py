"""Adapters as Hugging Face PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`.

What our C has trained loads with `PeftModel.from_pretrained` on the same PyTorch module, and what PEFT has trained
goes into our C. Layers are told by their names, exactly; tensors are laid out as PyTorch's whatever the network's
own framework. LoRA and IA³ travel, with heads (PEFT's `modules_to_save`) and biases (its `bias`) beside them.
"""

from __future__ import annotations

import glob
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from micrograft.api import Recipe
from micrograft.errors import MicrograftError
from micrograft.files import writing_folder
from micrograft.ir.graph import Graph, Param
from micrograft.ir.types import Array, Shape
from micrograft.model import PeftModel
from micrograft.ops import operator_of
from micrograft.peft.bias import Bias
from micrograft.peft.head import Head, last_layer
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method, Start, apply_methods

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
PREFIX = "base_model.model."

_PARTS = (".lora_A.weight", ".lora_B.weight", ".ia3_l")
"""What an adapter adds to the name of its layer."""

_COPY = re.compile(r"\.(original_module|modules_to_save)\.")
"""Keys of biases that PEFT writes again where it saves a module whole and trains all biases."""


def save_peft(model: PeftModel, folder: Path | str) -> None:
    """Write a LoRA or IA³ adapter, and what is trained beside it, for `peft.PeftModel.from_pretrained`.

    A network with a new head (`classes`) needs a PyTorch module with such a head. Raises MicrograftError, and writes
    nothing, where PEFT has no such adapter.
    """
    _refuse_codes(model)
    tensors = _to_torch(model.library.graph, model.tensors)
    layers = _layers(tensors)
    _refuse_functional(model.network, layers)
    config = _config(model, tensors, layers)
    tensors |= _saved_modules(model.network, tensors, config["modules_to_save"] or ())
    named = {_key(name, layers): np.ascontiguousarray(data) for name, data in tensors.items()}
    with writing_folder(Path(folder), "peft") as new:
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        (new / TENSORS).write_bytes(save(named, metadata={"format": "pt"}))


def _refuse_codes(model: PeftModel) -> None:
    """PEFT's adapters are of real numbers. Raises MicrograftError where what is trained is codes."""
    codes = next((name for name, data in model.tensors.items() if data.dtype.kind == "i"), None)
    if codes is not None:
        fix = "train float32 additions to the int8 network (--additions float32), or save with `save`"
        raise MicrograftError(f"{codes} holds codes, which PEFT has not", fix=fix)


def _refuse_functional(network: Graph, layers: Collection[str]) -> None:
    """Raises MicrograftError for a layer that is no module: PEFT adapts what a module computes with its own weight."""
    names = {param.source for param in network.params}
    for node in network.nodes:
        if node.origin not in layers or len(node.inputs) < 2 or operator_of(node).role(1) != "weight":
            continue
        weight = network.param(node.inputs[1].name)
        if not _is_module(node.origin, weight.source if weight is not None else "", names):
            what = "Hugging Face PEFT adapts modules, and this layer is computed by the one around it"
            fix = "leave it out of targets, or save in micrograft's own format"
            raise MicrograftError(what, where=node.origin, fix=fix)


def _is_module(layer: str, weight: str, names: Collection[str]) -> bool:
    """Whether the names say that a layer is a module: it has a weight or a bias, or shares another module's weight.

    >>> names = ["fc.weight", "fc.bias", "block.u", "attn.in_proj_weight", "attn.out_proj.weight"]
    >>> _is_module("fc", "fc.weight", names), _is_module("tied", "fc.weight", names)
    (True, True)
    >>> _is_module("block", "block.u", names), _is_module("attn.out_proj", "attn.out_proj.weight", names)
    (False, False)
    """
    module, _, part = layer.rpartition(".")
    if part == "out_proj" and any(f"{module}.{role}_proj_weight" in names for role in ("in", "q")):
        return False  # nn.MultiheadAttention multiplies by that weight itself
    shared = weight.endswith(".weight") and not weight.startswith(f"{layer}.")
    return f"{layer}.weight" in names or f"{layer}.bias" in names or shared


def load_peft(network: Graph, folder: Path | str) -> PeftModel:
    """The network with an adapter that PEFT's `save_pretrained` wrote.

    A saved last layer is trained on, as are biases where all were trained; whatever else the adapter brings is put
    into the network as it is, frozen. Raises MicrograftError where the adapter is another network's, or of a kind
    that micrograft has not.
    """
    folder = Path(folder)
    where = str(folder)
    config, found = _read_config(folder / CONFIG), _read_tensors(folder / TENSORS)
    tensors = {_name(key, where): data for key, data in found.items() if not _COPY.search(key)}
    own = {name: data for name, data in tensors.items() if name.endswith(_PARTS)}
    if not own:
        raise MicrograftError("it holds no LoRA and no IA³ tensors", where=where)
    methods = (_method(config, own, where), *_beside(network, config, tensors))
    try:
        base = {name: data for name, data in tensors.items() if name not in own}
        network = _with_values(network, _to_user(network, base))
        adapted = apply_methods(network, methods, Start())
        added = {param.source for param in adapted.params} - {param.source for param in network.params}
        if odd := sorted(added ^ set(own)):
            raise MicrograftError(f"only one of the two has a tensor {odd[0]!r}")
        trained = {param.source: param.to_user(param.data) for param in adapted.trainable}
        return PeftModel.from_tensors(network, Recipe(methods), trained | _to_user(adapted, own))
    except MicrograftError as error:
        raise MicrograftError(f"the adapter does not fit this network ({error})", where=where) from error


def _with_values(network: Graph, values: Mapping[str, Array]) -> Graph:
    """The network with other values of some parameters, by the user's names and in the user's layout."""
    known = {param.source: param.to_user(param.data).shape for param in network.params}
    for name, data in values.items():
        if known.get(name) != data.shape:
            raise MicrograftError(f"its {name!r} has shape {data.shape}, not {known.get(name, 'any')}")
    params = [
        replace(param, data=param.from_user(values[param.source].astype(np.float32)))
        if param.source in values
        else param
        for param in network.params
    ]
    return replace(network, params=tuple(params))


@dataclass(frozen=True, eq=False)
class _Layout:
    """How PyTorch lays a weight out. places: of its elements, in PyTorch's order, in the user's own layout."""

    places: Array
    shape: Shape
    user_shape: Shape

    def to_torch(self, data: Array) -> Array:
        return data.reshape(-1)[self.places].reshape(self.shape)

    def to_user(self, data: Array) -> Array:
        if data.size != self.places.size:
            return data  # whoever places it says so, with its name
        return data.reshape(-1)[np.argsort(self.places)].reshape(self.user_shape)


def _layouts(graph: Graph) -> dict[str, _Layout]:
    """The user's name of each weight and bias to its layout in PyTorch."""
    found: dict[str, _Layout] = {}
    for node in graph.nodes:
        for index, value in enumerate(node.inputs):
            param, role = graph.param(value.name), operator_of(node).role(index)
            if param is not None and param.source not in found and role in ("weight", "bias"):
                found[param.source] = _layout(param, node.op, role)
    return found


def _layout(param: Param, op: str, role: str) -> _Layout:
    """PyTorch has outputs, then inputs, then the kernel's axes; a bias has one axis."""
    numbers = np.arange(param.value.type.size).reshape(param.value.shape)
    users = param.to_user(numbers)
    wanted = users
    if role == "bias":
        wanted = users.reshape(-1)
    elif op == "conv":
        wanted = np.moveaxis(numbers, -1, 1)
    elif op == "depthwise_conv":
        wanted = np.moveaxis(numbers, -1, 0)
    elif op == "linear" and users.ndim == 2 and param.permutation[0] != 0:
        wanted = users.T  # outputs are our first axis, and the user's second
    places = np.argsort(users.reshape(-1))[wanted.reshape(-1)]
    return _Layout(places, wanted.shape, users.shape)


def _to_torch(graph: Graph, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors in the user's layout, in PyTorch's."""
    layouts = _layouts(graph)
    return {name: layouts[name].to_torch(data) if name in layouts else data for name, data in tensors.items()}


def _to_user(graph: Graph, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors in PyTorch's layout, in the user's."""
    layouts = _layouts(graph)
    return {name: layouts[name].to_user(data) if name in layouts else data for name, data in tensors.items()}


def _layers(tensors: Collection[str]) -> list[str]:
    """The layers that have an adapter."""
    found = (name.removesuffix(part) for name in tensors for part in _PARTS if name.endswith(part))
    return list(dict.fromkeys(found))


def _config(model: PeftModel, tensors: Mapping[str, Array], layers: list[str]) -> dict[str, Any]:
    """The contents of `adapter_config.json`."""
    adapters = [method for method in model.recipe.methods if isinstance(method, (LoRA, IA3))]
    if len(adapters) != 1:
        raise MicrograftError(
            f"an adapter of Hugging Face PEFT is one LoRA or one IA³, and this model has {len(adapters) or 'neither'}",
            fix="save it in micrograft's own format",
        )
    others = {name: name.rpartition(".")[0] for name in tensors if not name.endswith(_PARTS)}
    whole = list(dict.fromkeys(layer for name, layer in others.items() if not name.endswith(".bias")))
    biases = [layer for name, layer in others.items() if not set(_around(name)) & set(whole)]
    if lost := [layer for layer in layers if set(_around(layer)) & set(whole)]:
        what = "Hugging Face PEFT saves the module around this layer whole, and then adapts no part of it"
        raise MicrograftError(what, where=lost[0], fix="train one of the two, or save in micrograft's own format")
    config: dict[str, Any] = {
        "auto_mapping": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "modules_to_save": whole or None,
        "target_modules": "|".join(map(re.escape, layers)),
        "task_type": None,
        "fan_in_fan_out": False,
    }
    adapter = adapters[0]
    if isinstance(adapter, LoRA):
        alpha = adapter.rank if adapter.alpha is None else adapter.alpha
        own = {"peft_type": "LORA", "r": adapter.rank, "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
               "lora_dropout": 0.0, "bias": _bias_word(biases, layers), "init_lora_weights": True}  # fmt: skip
        return config | own
    if biases:
        raise MicrograftError("Hugging Face PEFT trains no bias beside IA³", fix="save it in micrograft's own format")
    if any(tensors[f"{layer}.ia3_l"].ndim == 3 for layer in layers):
        raise MicrograftError("Hugging Face PEFT has no IA³ for 1-D convolutions", fix="use LoRA")
    return config | {"peft_type": "IA3", "feedforward_modules": [], "init_ia3_weights": True}


def _around(name: str) -> list[str]:
    """The modules around a tensor or a module, outermost first.

    >>> _around("block.attn.weight")
    ['block', 'block.attn']
    """
    parts = name.split(".")[:-1]
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _bias_word(trained: Collection[str], layers: Collection[str]) -> str:
    """PEFT's word for the layers whose biases are trained."""
    if not trained:
        return "none"
    return "lora_only" if set(trained) == set(layers) else "all"


def _saved_modules(network: Graph, tensors: Mapping[str, Array], saved: Collection[str]) -> dict[str, Array]:
    """What `tensors` lacks of the modules that PEFT saves whole; it takes every module whose name ends like one."""
    ends = tuple(saved)
    lacking = {
        param.source: param.to_user(param.data)
        for param in network.params
        if any(module.endswith(ends) for module in _around(param.source)) and param.source not in tensors
    }
    return _to_torch(network, lacking)


def _key(name: str, layers: Collection[str]) -> str:
    """PEFT's key of a tensor; it puts a layer with an adapter one step deeper."""
    layer, _, role = name.rpartition(".")
    if layer in layers and not name.endswith(_PARTS):
        return f"{PREFIX}{layer}.base_layer.{role}"
    return PREFIX + name


def _name(key: str, where: str) -> str:
    """The user's name of the tensor with PEFT's key `key`."""
    if not key.startswith(PREFIX):
        raise MicrograftError(f"the tensor {key!r} is not named as PEFT names it", where=where)
    return key.removeprefix(PREFIX).replace(".base_layer.", ".")


def _method(config: Mapping[str, Any], own: Mapping[str, Array], where: str) -> Method:
    """Our method for PEFT's adapter, for exactly the layers that it has tensors for."""
    targets = "|".join(f"^{glob.escape(layer)}" for layer in _layers(own))
    kind = config.get("peft_type")
    if kind == "IA3" and not config.get("feedforward_modules"):
        return IA3(targets)
    if kind == "IA3":
        raise MicrograftError("it scales the inputs of feedforward modules, and micrograft scales outputs", where=where)
    if kind != "LORA":
        raise MicrograftError(f"its kind is {kind}, and micrograft has LORA and IA3", where=where)
    odd = ("use_dora", "lora_bias", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "use_qalora", "use_bdlora")
    for name in odd:
        if config.get(name):
            raise MicrograftError(f"its LoRA has {name}, which micrograft has not", where=where)
    rank = next(data.shape[0] for name, data in own.items() if name.endswith(".lora_A.weight"))
    alpha = float(config.get("lora_alpha", rank))
    return LoRA(rank, alpha * math.sqrt(rank) if config.get("use_rslora") else alpha, targets)


def _beside(network: Graph, config: Mapping[str, Any], tensors: Mapping[str, Array]) -> list[Method]:
    """The methods that train on what was trained beside the adapter."""
    found: list[Method] = []
    if config.get("modules_to_save") and f"{last_layer(network).origin}.weight" in tensors:
        found.append(Head())
    if config.get("bias", "none") == "all":
        found.append(Bias())
    return found


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text())
    except OSError:
        fix = f"an adapter of Hugging Face PEFT is a folder with {CONFIG} and {TENSORS}"
        raise MicrograftError(f"there is no {CONFIG}", where=str(path.parent), fix=fix) from None
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise MicrograftError("this is not a configuration that PEFT wrote", where=str(path))
    return config


def _read_tensors(path: Path) -> Mapping[str, Array]:
    try:
        return load_file(path)
    except FileNotFoundError:
        fix = "save it with save_pretrained(..., safe_serialization=True)"
        raise MicrograftError(f"there is no {TENSORS}", where=str(path.parent), fix=fix) from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise MicrograftError(f"this is not a readable safetensors file: {error}", where=str(path)) from None
