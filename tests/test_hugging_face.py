"""Adapters travel: what our C learned loads in Hugging Face PEFT, and what PEFT learned runs in our C."""

from __future__ import annotations

import copy
import functools
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import peft
import pytest
import torch
from torch import nn

from micrograft import api
from micrograft.adapter import read_adapter
from micrograft.errors import MicrograftError
from micrograft.hugging_face import load_peft, save_peft
from micrograft.ir.graph import Graph
from micrograft.ir.types import Array
from micrograft.model import PeftModel, get_peft_model
from micrograft.passes.attach_optimizer import SGD
from micrograft.peft.bias import Bias
from micrograft.peft.head import Head
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from tests.torch_networks import CLASSES, SHAPES, DsCnn, Mlp, ResidualCnn, WatchNet, make

METHODS: dict[str, tuple[Method, ...]] = {
    "lora": (LoRA(rank=3, alpha=6),),
    "lora-fa": (LoRA(rank=2, freeze_a=True),),
    "lora+head": (LoRA(rank=2, alpha=1.0), Head()),
    "lora+bias": (LoRA(rank=2), Bias()),
    "lora+bias+head": (LoRA(rank=2), Bias(), Head()),
    "ia3": (IA3(),),
    "ia3+head": (IA3(), Head()),
}
NETWORKS = (Mlp, ResidualCnn, DsCnn, WatchNet)
# PEFT has no IA3 for the 1-D convolutions of WatchNet.
PAIRS = [(kind, name) for kind in NETWORKS for name in METHODS if not (kind is WatchNet and name.startswith("ia3"))]


def samples(kind: type[nn.Module], count: int = 8) -> tuple[Array, Array]:
    generator = np.random.default_rng(2)
    x = generator.standard_normal((count, *SHAPES[kind])).astype(np.float32)
    return x, generator.integers(0, CLASSES[kind], count)


def loaded(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    torch.set_num_threads(1)
    return api.load(module, example=[np.zeros(shape, np.float32)])


@functools.cache
def network_of(kind: type[nn.Module]) -> Graph:
    """The network that `make(kind)` is."""
    return loaded(make(kind), SHAPES[kind])


def answers(module: nn.Module, x: Array) -> Array:
    with torch.no_grad():
        return np.concatenate([module.eval()(torch.from_numpy(sample)).numpy() for sample in x])


def trained(network: Graph, methods: tuple[Method, ...], x: Array, y: Array) -> PeftModel:
    model = get_peft_model(network, methods, x[:, 0], optimizer=SGD(lr=0.05))
    model.train(x[:, 0], y)
    return model


def agree(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "method"), PAIRS)
def test_what_our_c_learned_loads_in_peft(kind: type[nn.Module], method: str, tmp_path: Path) -> None:
    """`PeftModel.from_pretrained` on the same module answers as our C does after training, and not as before."""
    module, (x, y) = make(kind), samples(kind)
    before = answers(module, x)
    model = trained(network_of(kind), METHODS[method], x, y)
    save_peft(model, tmp_path / "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = peft.PeftModel.from_pretrained(module, tmp_path / "adapter")
    agree(answers(theirs, x), model.predict(x[:, 0]))
    assert np.abs(answers(theirs, x) - before).max() > 1e-3


@pytest.mark.parametrize(("kind", "method"), PAIRS)
def test_what_peft_learned_runs_in_our_c(kind: type[nn.Module], method: str, tmp_path: Path) -> None:
    """An adapter trained with torch.optim and saved by PEFT gives the same answers in our C."""
    module, (x, y) = make(kind), samples(kind)
    network = network_of(kind)
    model = peft.get_peft_model(copy.deepcopy(module), _config(network, module, method)).eval()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for sample, target in zip(x, y, strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.from_numpy(sample)), torch.tensor([target])).backward()
        optimizer.step()
    model.save_pretrained(tmp_path / "adapter")
    ours = load_peft(network, tmp_path / "adapter")
    agree(ours.predict(x[:, 0]), answers(model, x))
    ours.train(x[:, 0], y)
    save_peft(ours, tmp_path / "back")
    theirs = peft.PeftModel.from_pretrained(module, tmp_path / "back")
    agree(answers(theirs, x), ours.predict(x[:, 0]))


def _config(network: Graph, module: nn.Module, method: str) -> Any:
    """PEFT's own configuration of the same methods."""
    head = next(node.origin for node in reversed(network.nodes) if node.op == "linear")
    layers = [
        name
        for name, each in module.named_modules()
        if isinstance(each, (nn.Linear, nn.Conv1d, nn.Conv2d)) and getattr(each, "groups", 1) == 1
    ]
    saved = [head] if "head" in method else None
    if saved:
        layers.remove(head)
    if method.startswith("ia3"):
        return peft.IA3Config(target_modules=layers, feedforward_modules=[], modules_to_save=saved)
    bias = "all" if "bias" in method else "none"
    return peft.LoraConfig(r=3, lora_alpha=5, target_modules=layers, modules_to_save=saved, bias=bias)


class Nested(nn.Module):
    """Two layers that are called alike, and a second head."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.block = nn.ModuleDict({"fc": nn.Linear(6, 6), "head": nn.Linear(6, 6)})
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block["head"](torch.relu(self.block["fc"](torch.relu(self.fc(x))))))


def test_layers_that_are_called_alike(tmp_path: Path) -> None:
    """An adapter of `fc` alone is not taken for one of `block.fc`, there or here; a saved head takes its namesake."""
    torch.manual_seed(0)
    module, x = Nested().eval(), np.random.default_rng(0).standard_normal((8, 1, 6)).astype(np.float32)
    network = loaded(module, (1, 6))
    model = trained(network, (LoRA(rank=2, targets="^fc"), Head()), x, np.arange(8) % 3)
    save_peft(model, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(module, tmp_path / "adapter")
    assert len([name for name, _ in theirs.named_parameters() if "lora_A" in name]) == 1
    agree(answers(theirs, x), model.predict(x[:, 0]))
    again = load_peft(network, tmp_path / "adapter")
    assert set(again.tensors) == set(model.tensors)
    np.testing.assert_array_equal(again.predict(x[:, 0]), model.predict(x[:, 0]))


def test_weights_that_lie_the_other_way_round(tmp_path: Path) -> None:
    """A network of ONNX matrix products, whose weights are (inputs, outputs), travels to the PyTorch module."""
    module, (x, y) = nn.Sequential(nn.Linear(20, 9), nn.ReLU(), nn.Linear(9, 5)).eval(), samples(Mlp)
    arrays = {name: tensor.detach().numpy().T for name, tensor in module.named_parameters()}
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "0.weight"], ["a"]),
        onnx.helper.make_node("Add", ["a", "0.bias"], ["b"]),
        onnx.helper.make_node("Relu", ["b"], ["c"]),
        onnx.helper.make_node("Gemm", ["c", "2.weight", "2.bias"], ["y"]),
    ]
    ports = [onnx.helper.make_tensor_value_info(name, 1, (1, size)) for name, size in (("x", 20), ("y", 5))]
    constants = [onnx.numpy_helper.from_array(np.ascontiguousarray(data), name) for name, data in arrays.items()]
    graph = onnx.helper.make_graph(nodes, "net", ports[:1], ports[1:], constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), tmp_path / "net.onnx")
    model = trained(api.load(tmp_path / "net.onnx"), (LoRA(rank=2, alpha=3), Head()), x, y)
    save_peft(model, tmp_path / "adapter")
    agree(answers(peft.PeftModel.from_pretrained(module, tmp_path / "adapter"), x), model.predict(x[:, 0]))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["modules_to_save"]) == (2, 3, ["2"])


def test_rank_stabilised_lora(tmp_path: Path) -> None:
    """PEFT's `use_rslora` scales by alpha/sqrt(rank), and so do we."""
    module, (x, _) = make(Mlp), samples(Mlp)
    model = peft.get_peft_model(
        copy.deepcopy(module),
        peft.LoraConfig(r=4, lora_alpha=3, target_modules=["fc2"], use_rslora=True, init_lora_weights=False),
    )
    model.save_pretrained(tmp_path)
    agree(load_peft(network_of(Mlp), tmp_path).predict(x[:, 0]), answers(model, x))


class Recurrent(nn.Module):
    """A GRU in front of attention and a head: only the head is a module that multiplies by its own weight."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.attn = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.gru(x)
        return self.head(self.attn(y, y, y, need_weights=False)[0][:, -1])


def test_only_modules_are_adapted(tmp_path: Path) -> None:
    """PEFT would pass over a layer that a larger module computes, so it is refused. Whole modules are saved whole."""
    torch.manual_seed(0)
    module, x = Recurrent().eval(), np.random.default_rng(0).standard_normal((8, 1, 5, 3)).astype(np.float32)
    network = loaded(module, (1, 5, 3))
    for target in ("gru.weight_ih_l0", "attn.in_proj", "attn.out_proj"):
        for method in (LoRA(rank=2, targets=target), IA3(target)):
            with pytest.raises(MicrograftError, match=f"{target}: Hugging Face PEFT adapts modules"):
                save_peft(get_peft_model(network, method), tmp_path / "out")
    model = trained(network, (LoRA(rank=2, targets="head"), Bias()), x, np.arange(8) % 3)
    save_peft(model, tmp_path / "adapter")
    agree(answers(peft.PeftModel.from_pretrained(module, tmp_path / "adapter"), x), model.predict(x[:, 0]))


def _saved(folder: Path, **changes: Any) -> Path:
    """A small adapter of Mlp as PEFT saves it, its configuration changed."""
    config = peft.LoraConfig(r=2, target_modules=["fc2"])
    peft.get_peft_model(make(Mlp), config).save_pretrained(folder)
    written = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(written | changes))
    return folder


def test_refusals(tmp_path: Path) -> None:
    """What one side has not is refused in one sentence, and nothing is written."""
    network = network_of(Mlp)

    def refused(folder: Path, message: str, graph: Graph = network) -> None:
        with pytest.raises(MicrograftError, match=message) as error:
            load_peft(graph, folder)
        assert "\n" not in str(error.value)

    refused(tmp_path / "missing", "there is no adapter_config.json")
    refused(_saved(tmp_path / "dora", use_dora=True), "its LoRA has use_dora")
    refused(_saved(tmp_path / "kind", peft_type="VERA"), "its kind is VERA")
    refused(_saved(tmp_path / "ff", peft_type="IA3", feedforward_modules=["fc2"]), "scales the inputs")
    whole = _saved(tmp_path / "whole")
    refused(whole, "does not fit this network", network_of(WatchNet))
    tensors = (whole / "adapter_model.safetensors").read_bytes()
    (whole / "adapter_model.safetensors").write_bytes(tensors[: len(tensors) // 2])
    refused(whole, "not a readable safetensors file")
    (whole / "adapter_model.safetensors").unlink()
    refused(whole, "there is no adapter_model.safetensors")
    (whole / "adapter_config.json").write_text("[]")
    refused(whole, "not a configuration that PEFT wrote")
    for methods, message in (((Head(),), "neither"), ((LoRA(targets="fc1"), IA3(targets="fc2")), "has 2")):
        with pytest.raises(MicrograftError, match=message):
            save_peft(get_peft_model(network, methods), tmp_path / "out")
    with pytest.raises(MicrograftError, match="no IA³ for 1-D convolutions"):
        save_peft(get_peft_model(network_of(WatchNet), IA3()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_native_adapters_hold_nothing_of_the_network(tmp_path: Path) -> None:
    """What batch normalisations fold into is the network's own, and is not saved with an adapter."""
    x, y = samples(DsCnn)
    model = trained(network_of(DsCnn), (LoRA(rank=1, targets="head"),), x, y)
    model.save(tmp_path / "adapter")
    assert set(read_adapter(tmp_path / "adapter").tensors) == {"head.lora_A.weight", "head.lora_B.weight"}
