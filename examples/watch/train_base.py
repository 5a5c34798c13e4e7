"""Train the watch demo's base network on nine people, and measure it on the tenth, whom it has never seen.

    python examples/watch/train_base.py            # writes src/micrograft/demo/watch.onnx
    python examples/watch/train_base.py --all      # leaves each person out in turn and prints the table

The same machine and versions give the same file: one thread, fixed seeds. Nothing of the person left out is used,
neither for the weights nor for any choice; training runs a fixed number of epochs and the last weights are taken.
Each batch is turned by a small random rotation, as a watch sits a little differently on every wrist.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import DataLoader, TensorDataset

from micrograft.demo import watch

MODEL_FILE = Path(__file__).parents[2] / "src" / "micrograft" / "demo" / "watch.onnx"
SEED = 0
EPOCHS = 8
BATCH = 64
PEAK_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
STRIDE = watch.SAMPLE_RATE  # samples: the base network learns from a window every second
TILT = 0.15  # standard deviation of the random rotation's off-diagonal entries, about radians


class WatchNet(nn.Module):
    """Four convolutions along time, and a linear head: (batch, 6, 150) -> (batch, 7) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(6, 24, 5, padding=2)
        self.norm1 = nn.BatchNorm1d(24)
        self.conv2 = nn.Conv1d(24, 32, 5, padding=2)
        self.norm2 = nn.BatchNorm1d(32)
        self.conv3 = nn.Conv1d(32, 48, 5, padding=2)
        self.norm3 = nn.BatchNorm1d(48)
        self.conv4 = nn.Conv1d(48, 64, 5, padding=2)
        self.norm4 = nn.BatchNorm1d(64)
        self.head = nn.Linear(64, len(watch.EXERCISES))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool1d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.max_pool1d(F.relu(self.norm2(self.conv2(x))), 2)
        x = F.max_pool1d(F.relu(self.norm3(self.conv3(x))), 2)
        x = F.relu(self.norm4(self.conv4(x)))
        logits: Tensor = self.head(F.avg_pool1d(x, x.shape[2]).flatten(1))
        return logits


def train(learn: watch.Windows) -> WatchNet:
    """Train from scratch with AdamW and one cycle of the learning rate; returns the network in eval mode."""
    torch.manual_seed(SEED)
    network = WatchNet()
    x, y = torch.from_numpy(learn.x), torch.from_numpy(learn.y)
    batches = DataLoader(TensorDataset(x, y), BATCH, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=EPOCHS * len(batches))
    for _ in range(EPOCHS):
        for motion, exercise in batches:
            optimizer.zero_grad()
            loss: Tensor = F.cross_entropy(network(tilted(motion)), exercise)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def tilted(x: Tensor) -> Tensor:
    """Turn each window's acceleration and rotation rate, x: (batch, 6, time), by the same small rotation."""
    noise = torch.randn(len(x), 3, 3) * TILT
    turn = torch.linalg.matrix_exp((noise - noise.mT) / 2**0.5)
    return torch.cat([turn @ x[:, :3], turn @ x[:, 3:]], dim=1)


def without_norms(network: WatchNet) -> WatchNet:
    """The same function with each batch norm's frozen statistics folded into the convolution before it."""
    folded = WatchNet()
    folded.load_state_dict(network.state_dict())
    folded.eval()
    for number in range(1, 5):
        convolution, norm = getattr(folded, f"conv{number}"), getattr(folded, f"norm{number}")
        setattr(folded, f"conv{number}", fuse_conv_bn_eval(convolution, norm))
        setattr(folded, f"norm{number}", nn.Identity())
    return folded


@torch.no_grad()
def accuracy(network: nn.Module, test: watch.Windows) -> float:
    """The share of windows whose exercise is named correctly."""
    predicted = network(torch.from_numpy(test.x)).argmax(dim=1)
    return float((predicted == torch.from_numpy(test.y)).float().mean())


def base_without(recordings: tuple[watch.Recording, ...], person: int) -> WatchNet:
    """The base network that has never seen this person."""
    return without_norms(train(watch.cut_windows(watch.of_others(recordings, person), stride=STRIDE)))


def export(network: WatchNet, path: Path) -> None:
    """Write the network as ONNX: static shape, batch 1, and nothing in it of the machine that wrote it."""
    example = torch.zeros(1, len(watch.CHANNELS), watch.WINDOW)
    program = torch.onnx.export(
        network,
        (example,),
        input_names=["motion"],
        output_names=["logits"],
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # for mypy: only the old exporter returns None
    for node in program.model.graph:
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    program.save(path)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--all", action="store_true", help="leave out each person in turn, write no file")
    leave_out_each = arguments.parse_args().all
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recordings = watch.load_recordings()
    for person in watch.people(recordings) if leave_out_each else (watch.DEMO_PERSON,):
        network = base_without(recordings, person)
        learn, test = watch.split_person(recordings, person)
        print(
            f"person {person:2}, unseen: {accuracy(network, learn):.1%} of {len(learn)} early windows, "
            f"{accuracy(network, test):.1%} of {len(test)} later ones",
            flush=True,
        )
        if not leave_out_each:
            export(network, MODEL_FILE)
            print(f"wrote {MODEL_FILE}, {MODEL_FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
