"""micrograft trains neural networks on microcontrollers: parameter-efficient fine-tuning, planned to the byte, as C.

    network = micrograft.load("net.onnx")
    model = micrograft.get_peft_model(network, micrograft.LoRA(rank=4), samples=x[:16])
    model.print_trainable_parameters("nrf52840")
    model.train(x, y, on="emulator", board="nrf52840")
    model.build("firmware/net")

`get_peft_model` is the short way; `load`, `adapt`, `plan`, `build` and `train` are its steps, one by one.
"""

from importlib.metadata import version

from micrograft.api import (
    Recipe,
    adapt,
    build,
    check_samples,
    emulated,
    freeze,
    host,
    load,
    plan,
    predict,
    quantize,
    train,
    with_parameters,
)
from micrograft.boards import Board, find_board
from micrograft.errors import MicrograftError
from micrograft.hugging_face import load_peft, save_peft
from micrograft.model import PeftModel, get_peft_model
from micrograft.passes.attach_optimizer import SGD, Adam, AdamW, Clip
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse
from micrograft.precision import quantize_in_training
from micrograft.quantization.observers import MSE, MinMax, Percentile
from micrograft.report.record import Bill, TrainRecord
from micrograft.samples import Samples

__version__ = version("micrograft")

__all__ = [
    "IA3",
    "MSE",
    "SGD",
    "Adam",
    "AdamW",
    "Bias",
    "Bill",
    "Board",
    "Clip",
    "Full",
    "Head",
    "LayerScheme",
    "LoRA",
    "Method",
    "MicrograftError",
    "MinMax",
    "PeftModel",
    "Percentile",
    "Recipe",
    "Samples",
    "Scheme",
    "Sparse",
    "TrainRecord",
    "adapt",
    "build",
    "check_samples",
    "emulated",
    "find_board",
    "freeze",
    "get_peft_model",
    "host",
    "load",
    "load_peft",
    "plan",
    "predict",
    "quantize",
    "quantize_in_training",
    "save_peft",
    "train",
    "with_parameters",
]
