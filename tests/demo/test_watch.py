"""The watch demo's promises: no instant and no person is on both sides of a split; the network knows its job."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from micrograft.demo import watch
from micrograft.errors import MicrograftError

MODEL_FILE = Path(watch.__file__).with_name("watch.onnx")


@pytest.fixture(scope="module")
def recordings() -> tuple[watch.Recording, ...]:
    if importlib.util.find_spec("seglearn") is None:
        pytest.skip("the recordings need the package seglearn")
    return watch.load_recordings()


def instants(windows: watch.Windows) -> set[tuple[int, int]]:
    """Every (recording, sample) that some window shows."""
    return {
        (int(recording), int(start) + offset)
        for recording, start in zip(windows.recording, windows.start, strict=True)
        for offset in range(watch.WINDOW)
    }


@pytest.mark.parametrize("person", range(1, 11))
def test_learning_and_test_windows_share_no_instant(recordings: tuple[watch.Recording, ...], person: int) -> None:
    """Within each recording every test window lies after every window learned from."""
    learn, test = watch.split_person(recordings, person)
    assert not instants(learn) & instants(test)
    for recording in np.unique(learn.recording):
        last_learned = learn.start[learn.recording == recording].max() + watch.WINDOW
        assert last_learned <= test.start[test.recording == recording].min()


def test_the_base_network_learns_from_other_people_only(recordings: tuple[watch.Recording, ...]) -> None:
    """The person left out is in no base recording, and nobody else is missing."""
    others = watch.of_others(recordings, watch.DEMO_PERSON)
    own = watch.of_person(recordings, watch.DEMO_PERSON)
    assert watch.people(others) == tuple(p for p in range(1, 11) if p != watch.DEMO_PERSON)
    assert watch.people(own) == (watch.DEMO_PERSON,)
    assert len(others) + len(own) == len(recordings)
    learn, test = watch.split_person(recordings, watch.DEMO_PERSON)
    base = watch.cut_windows(others)
    assert not set(base.recording) & (set(learn.recording) | set(test.recording))


def test_windows_are_the_recordings_own_samples(recordings: tuple[watch.Recording, ...]) -> None:
    """A window is channels × time of the very stretch that it names, with the exercise of its recording."""
    windows = watch.cut_windows(recordings[:20])
    assert windows.x.shape == (len(windows), len(watch.CHANNELS), watch.WINDOW)
    assert windows.x.dtype == np.float32 and windows.y.dtype == np.int64
    for row in range(0, len(windows), 37):
        source = recordings[windows.recording[row]]
        stretch = source.signal[windows.start[row] : windows.start[row] + watch.WINDOW]
        np.testing.assert_array_equal(windows.x[row], stretch.T)
        assert windows.y[row] == source.exercise


def test_neighbours_in_the_learning_order_show_different_exercises(
    recordings: tuple[watch.Recording, ...],
) -> None:
    """The exercises come in turn, so that no stretch of training shows one alone."""
    learn, _ = watch.split_person(recordings, watch.DEMO_PERSON)
    turns = learn.y.reshape(-1, len(watch.EXERCISES))
    assert (turns == np.arange(len(watch.EXERCISES))).all()
    assert (np.diff(learn.start) >= 0).all()


def test_the_same_windows_every_time(recordings: tuple[watch.Recording, ...]) -> None:
    """Reading and cutting again gives the same bytes in the same order."""
    first = watch.split_person(recordings, 5)
    second = watch.split_person(watch.load_recordings(), 5)
    for one, other in zip(first, second, strict=True):
        assert one.x.tobytes() == other.x.tobytes()
        assert one.y.tobytes() == other.y.tobytes()


def test_an_unknown_person_is_refused(recordings: tuple[watch.Recording, ...]) -> None:
    """The refusal names the person and those there are."""
    with pytest.raises(MicrograftError, match=r"no person 11.*choose among"):
        watch.split_person(recordings, 11)


def test_the_absent_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without seglearn the error says what to run."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MicrograftError, match=r"pip install 'micrograft\[demo\]'"):
        watch.load_recordings()


def test_the_shipped_network_is_small_and_names_its_layers() -> None:
    """Under 150 KB, one static input, the layers' own names on the weights."""
    import onnx

    graph = onnx.load(MODEL_FILE).graph
    assert MODEL_FILE.stat().st_size < 150_000
    shape = [dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, len(watch.CHANNELS), watch.WINDOW]
    layers = {tensor.name.split(".")[0] for tensor in graph.initializer if tensor.name.endswith(".weight")}
    assert layers == {"conv1", "conv2", "conv3", "conv4", "head"}


def test_the_shipped_network_has_learnt_the_exercises_but_not_this_person(
    recordings: tuple[watch.Recording, ...],
) -> None:
    """On the unseen person it is far above chance (one in seven) and far from perfect; on the others it is good."""
    runtime = pytest.importorskip("onnxruntime", reason="the check of the shipped network needs onnxruntime")
    session = runtime.InferenceSession(MODEL_FILE, providers=["CPUExecutionProvider"])

    def accuracy(windows: watch.Windows) -> float:
        logits = np.concatenate([session.run(None, {"motion": x[None]})[0] for x in windows.x])
        return float((logits.argmax(axis=1) == windows.y).mean())

    _, test = watch.split_person(recordings, watch.DEMO_PERSON)
    familiar = watch.cut_windows(watch.of_others(recordings, watch.DEMO_PERSON), stride=10 * watch.STRIDE)
    assert 0.6 < accuracy(test) < 0.8
    assert accuracy(familiar) > 0.95
