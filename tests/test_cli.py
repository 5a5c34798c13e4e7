"""The command line's promises: its JSON, its exit codes, what it writes, and that it says the same as the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file

import micrograft
from micrograft.adapter import read_adapter
from micrograft.boards import boards
from micrograft.cli import main
from micrograft.peft import methods
from tests.tiny import CLASSES, SHAPE, data, write_data, write_network

METHOD = "lora:rank=2,freeze_a=true"
OPTIMIZER = "sgd:lr=0.1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, data, and an adapter trained on them."""
    folder = tmp_path_factory.mktemp("cli")
    write_network(folder / "net.onnx")
    write_data(folder / "data.npz")
    trained = run(folder, "train", "--data", "data.npz", "--out", "adapter", "--epochs", "2", *HOW, "--json")
    (folder / "trained.json").write_text(trained.stdout)
    return folder


HOW = ("--method", METHOD, "--optimizer", OPTIMIZER)


def run(folder: Path, command: str, *words: str, status: int = 0) -> Result:
    """`micrograft COMMAND net.onnx WORDS` in a folder: names of files there are made into paths."""
    known = {path.name for path in folder.iterdir()} | {"adapter"}
    paths = [str(folder / word) if word in known or word.endswith((".npz", "/")) else word for word in words]
    model = (
        [str(folder / "net.onnx")] if command in ("inspect", "plan", "train", "predict", "build", "quantize") else []
    )
    result = CliRunner().invoke(main, [command, *model, *paths])
    assert result.exit_code == status, result.output
    return result


def run_json(folder: Path, command: str, *words: str, status: int = 0) -> dict[str, Any]:
    found = json.loads(run(folder, command, *words, "--json", status=status).stdout)
    assert isinstance(found, dict)
    return found


def test_the_commands_are_those_of_the_manual() -> None:
    """No more and no fewer, each with help."""
    names = ["boards", "build", "demo", "inspect", "methods", "plan", "predict", "quantize", "search", "train"]
    assert sorted(main.commands) == names
    for name in names:
        assert "Usage:" in CliRunner().invoke(main, [name, "--help"]).stdout


def test_inspect_lists_layers_shapes_parameters_and_macs(place: Path) -> None:
    """Under the user's own names; inputs and outputs in the user's own layout."""
    found = run_json(place, "inspect")
    assert found["inputs"] == [{"name": "x", "shape": [1, *SHAPE]}]
    assert found["outputs"] == [{"name": "y", "shape": [1, 3]}]
    assert {layer["name"]: layer["parameters"] for layer in found["layers"] if layer["parameters"]} == {
        "conv": 4 * 2 * 9 + 4,
        "head": 3 * 4 + 3,
    }
    assert found["macs"] == 36 * 4 * 2 * 9 + 3 * 4
    assert "1×2×6×6" in run(place, "inspect").stdout
    assert run_json(place, "inspect", "--classes", "5")["outputs"][0]["shape"] == [1, 5]


def test_plan_says_what_the_issue_asks_for(place: Path) -> None:
    """The keys and their sums; it fits, so the status is 0."""
    found = run_json(place, "plan", "--board", "nrf52840", *HOW)
    assert found["fits"] is True
    parts = {"arena", "state", "optimizer", "stack", "runtime"}
    assert set(found["ram"]) == {"total", *parts}
    assert found["ram"]["total"] == sum(found["ram"][part] for part in parts)
    assert found["flash"]["total"] == found["flash"]["code"] + found["flash"]["tables"]
    assert found["ram"]["arena"] >= found["arena_lower_bound"] > 0
    assert found["trainable_parameters"] == 4 * 2 + 3 * 2
    assert found["backpropagation_ram"] > 0
    assert all(found["macs"][phase] > 0 for phase in ("forward", "backward", "update"))
    assert found["instructions"] > sum(found["macs"].values())
    assert run_json(place, "plan", "--board", "rp2040", *HOW)["instructions"] is None, "soft float has no estimate"


def test_plan_ends_with_3_where_it_does_not_fit(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bill is printed all the same."""
    from dataclasses import replace

    small = replace(boards()["nrf52840"], ram=replace(boards()["nrf52840"].ram, size=512))
    monkeypatch.setattr("micrograft.model.find_board", lambda name: small)
    found = run_json(place, "plan", *HOW, status=3)
    assert found["fits"] is False and found["ram"]["total"] > 512
    assert "does not fit" in run(place, "plan", *HOW, status=3).stdout


def test_train_says_what_the_issue_asks_for(place: Path) -> None:
    """The keys of its JSON, nothing beside it on standard output, and that it learned."""
    found = json.loads((place / "trained.json").read_text())
    assert found["steps"] == 24 == len(found["losses"])
    assert found["loss_first"] == found["losses"][0] and found["loss_last"] == found["losses"][-1]
    assert found["loss_after"] < found["loss_before"]
    assert found["ram_measured"] is None, "nothing is measured on the host"


def test_the_emulated_board_computes_the_same_and_measures_what_was_planned(place: Path) -> None:
    """Losses bit for bit; RAM to the byte but for a stack that need not be used up."""
    found = run_json(place, "train", "--data", "data.npz", "--on", "emulator", "--epochs", "2", *HOW)
    assert found["losses"] == json.loads((place / "trained.json").read_text())["losses"]
    assert found["instructions_per_step"] > 0 and found["plan"]["board"] == "nrf52840"
    planned, measured = found["plan"]["ram"], found["ram_measured"]
    assert {part: measured[part] for part in ("arena", "state", "optimizer", "runtime")} == {
        part: planned[part] for part in ("arena", "state", "optimizer", "runtime")
    }
    assert 0 <= planned["stack"] - measured["stack"] <= 256


def test_train_writes_every_trained_tensor_by_the_users_name(place: Path) -> None:
    """LoRA as A and B in PyTorch's shapes; a frozen A too, for it was drawn and is not in the model file."""
    tensors = load_file(place / "adapter" / "adapter.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "conv.lora_A.weight": (2, 2, 3, 3),
        "conv.lora_B.weight": (4, 2, 1, 1),
        "head.lora_A.weight": (2, 4),
        "head.lora_B.weight": (3, 2),
    }
    assert np.any(tensors["head.lora_B.weight"])
    record = json.loads((place / "adapter" / "record.json").read_text())
    assert record["steps"] == 24 and record["recipe"]["method"].startswith("lora:rank=2")
    assert "<svg" in (place / "adapter" / "report.html").read_text()


def test_no_epochs_write_the_untrained_adapter(place: Path, tmp_path: Path) -> None:
    """B is zero, and predictions with it are the network's own."""
    out = tmp_path / "untrained"
    found = run_json(place, "train", "--data", "data.npz", "--epochs", "0", "--out", str(out), *HOW)
    assert found["steps"] == 0 and found["loss_first"] is None
    assert found["accuracy_after"] == found["accuracy_before"]
    assert not np.any(load_file(out / "adapter.safetensors")["head.lora_B.weight"])
    run(place, "predict", "--adapter", str(out), "--data", "data.npz", "--out", "with.npz")
    run(place, "predict", "--data", "data.npz", "--out", "without.npz")
    with_adapter, without = (np.load(place / name)["y"] for name in ("with.npz", "without.npz"))
    np.testing.assert_allclose(with_adapter, without, rtol=1e-5, atol=1e-6)


def test_predict_rebuilds_the_trained_network(place: Path) -> None:
    """From the record and the tensors alone, on both devices, to the same bits as where it was trained."""
    samples = data()
    network = micrograft.load(place / "net.onnx")
    model = micrograft.get_peft_model(network, micrograft.LoRA(rank=2, freeze_a=True), optimizer=micrograft.SGD(lr=0.1))
    model.train(samples["x"], samples["y"], epochs=2)
    expected = model.predict(samples["x"])
    for on in ("host", "emulator"):
        run(place, "predict", "--adapter", "adapter", "--data", "data.npz", "--out", f"{on}.npz", "--on", on)
        found = np.load(place / f"{on}.npz")
        assert found.files == ["y"]
        assert found["y"].shape == (12, 3) and found["y"].tobytes() == expected.tobytes()
    untrained = micrograft.get_peft_model(network, micrograft.LoRA(rank=2)).predict(samples["x"])
    assert not np.array_equal(untrained, expected)


def test_predict_without_an_adapter_agrees_with_onnx_runtime(place: Path) -> None:
    """The network's own outputs, in its own layout."""
    runtime = pytest.importorskip("onnxruntime", reason="the comparison is with it")
    run(place, "predict", "--data", "data.npz", "--out", "plain.npz")
    session = runtime.InferenceSession(place / "net.onnx", providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"x": x[None]})[0] for x in data()["x"]])
    np.testing.assert_allclose(np.load(place / "plain.npz")["y"], expected, rtol=1e-5, atol=1e-6)


def test_predict_says_which_of_several_outputs_it_writes(place: Path, tmp_path: Path) -> None:
    """The first; all are named."""
    network = onnx.load(place / "net.onnx")
    network.graph.output.append(onnx.helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, [1, 4, 1, 1]))
    onnx.save(network, tmp_path / "net.onnx")
    write_data(tmp_path / "data.npz")
    result = run(tmp_path, "predict", "--data", "data.npz", "--out", "answers.npz")
    assert "note: the network has 2 outputs (y, p); only the first counts" in result.stderr
    assert np.load(tmp_path / "answers.npz")["y"].shape == (12, CLASSES)


def test_a_new_head_is_rebuilt_from_the_record(place: Path, tmp_path: Path) -> None:
    """`predict` needs no --classes: the adapter's record has it, and the seed that it was drawn from."""
    words = ("--classes", "4", "--seed", "3", "--method", "head", "--optimizer", OPTIMIZER)
    run(place, "train", "--data", "data.npz", "--out", str(tmp_path / "four"), *words)
    run(place, "predict", "--adapter", str(tmp_path / "four"), "--data", "data.npz", "--out", "four.npz")
    assert np.load(place / "four.npz")["y"].shape == (12, 4)


def test_numbers_as_targets_train_with_the_mean_squared_error(place: Path, tmp_path: Path) -> None:
    """There is no accuracy then."""
    y = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
    write_data(tmp_path / "numbers.npz", y=y, y_test=y[::2])
    found = run_json(place, "train", "--data", str(tmp_path / "numbers.npz"), *HOW)
    assert found["recipe"]["loss"] == "mse"
    assert found["accuracy_before"] is None and found["loss_after"] < found["loss_before"]


def test_build_writes_the_same_library_each_time_and_starts_from_the_adapter(place: Path, tmp_path: Path) -> None:
    """Header, model, tables, kernels, an example; with a board an image too; other tables with an adapter."""
    first, second, trained = tmp_path / "first", tmp_path / "second", tmp_path / "trained"
    for out in (first, second):
        run(place, "build", "--out", str(out), "--name", "tiny", *HOW, "--calibration", "data.npz")
    run(place, "build", "--out", str(trained), "--adapter", "adapter", "--board", "nrf52840")
    files = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    assert {"tiny.h", "tiny.c", "tiny_weights.c", "main.c"} <= {str(file) for file in files}
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert (trained / "model.elf").is_file()
    assert "head_lora_B_weight_at_first" in (trained / "model_weights.c").read_text()
    assert "head_lora_B_weight_at_first" not in (first / "tiny_weights.c").read_text(), "it starts from zero"


def test_boards_and_methods_are_all_listed() -> None:
    """With the settings that a method has."""
    listed = CliRunner().invoke(main, ["boards"]).stdout
    assert all(name in listed for name in boards())
    listed = CliRunner().invoke(main, ["methods"]).stdout
    assert all(name in listed for name in (*methods(), "freeze_a=", "momentum=", "cross_entropy"))


def test_options_that_an_adapter_answers_are_refused_beside_it(place: Path, tmp_path: Path) -> None:
    """Rather than ignored."""
    out = str(tmp_path / "out")
    result = run(place, "build", "--adapter", "adapter", "--method", "head", "--out", out, status=1)
    assert "--method and --adapter exclude each other" in result.stderr
    words = ("predict", "--adapter", "adapter", "--data", "data.npz", "--out", out)
    result = run(place, *words, "--classes", "9", status=1)
    assert "--classes and --adapter exclude each other" in result.stderr


INT8 = ("--precision", "int8", "--calibration", "data.npz")


def test_quantize_tells_noise_bytes_and_accuracy(place: Path, tmp_path: Path) -> None:
    """Each layer by its own name; the library that it writes predicts in int8 without a training step."""
    found = run_json(place, "quantize", "--calibration", "data.npz", "--data", "data.npz", "--observer", "mse")
    assert [layer["layer"] for layer in found["layers"]] == ["x", "conv", "pool", "flatten", "head"]
    assert all(layer["alone"] > 20 for layer in found["layers"])
    assert found["weights_int8"] < found["weights_float32"] and 0 <= found["accuracy_int8"] <= 1
    table = run(place, "quantize", "--calibration", "data.npz", "--out", f"{tmp_path}/int8/").stdout
    assert "hurts most" in table and "dB" in table
    assert "train_step" not in (tmp_path / "int8" / "model.h").read_text()


def test_an_int8_adapter_is_put_back(place: Path, tmp_path: Path) -> None:
    """train --precision int8, then predict: the record brings the same int8 network back, and the answers are those
    that the training judged."""
    out = f"{tmp_path}/adapter/"
    found = run_json(place, "train", "--data", "data.npz", "--method", "head", "--out", out, *INT8)
    assert found["recipe"]["ranges"]
    run(place, "predict", "--adapter", out, "--data", "data.npz", "--out", f"{tmp_path}/answers.npz")
    given = data()
    network = read_adapter(Path(out)).origin.load(place / "net.onnx")
    model = micrograft.PeftModel.from_pretrained(network, out)
    with np.load(tmp_path / "answers.npz") as answers:
        np.testing.assert_array_equal(answers["y"], model.predict(given["x"]))
    assert np.mean(model.predict(given["x_test"]).argmax(axis=-1) == given["y_test"]) == found["accuracy_after"]


def test_precision_costs_less(place: Path) -> None:
    """The same training needs less RAM in int8; float32 by name changes nothing."""
    plain, same, int8 = (
        run_json(place, "plan", *HOW, *words)["ram"]["total"] for words in ((), ("--precision", "float32"), INT8)
    )
    assert plain == same > int8
