"""The command line: words in, one call of `model.py` or `api.py`, a table or JSON out. One file for each command.

A wrong input ends in one sentence on standard error and exit status 1; `plan` ends in 3 where a plan does not fit.
"""

from __future__ import annotations

from typing import Any

import click

from micrograft.cli.build import build
from micrograft.cli.demo import demo
from micrograft.cli.lists import boards, inspect, methods
from micrograft.cli.plan import plan
from micrograft.cli.predict import predict
from micrograft.cli.quantize import quantize
from micrograft.cli.search import search
from micrograft.cli.train import train
from micrograft.errors import MicrograftError

COMMANDS = (inspect, plan, train, quantize, predict, build, search, boards, methods, demo)


class _Refusal(click.ClickException):
    """How a MicrograftError ends the program."""

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {' '.join(self.message.split())}", err=True)


class _Commands(click.Group):
    """Turns our errors into a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MicrograftError as error:
            raise _Refusal(str(error)) from error


@click.group(
    cls=_Commands,
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="micrograft")
def main() -> None:
    """Train neural networks on microcontrollers.

    MODEL is an ONNX file, a TFLite file or a torch.export archive (.pt2). Data are .npz files with x and y, one sample
    per row, in the model's own input layout.
    """
