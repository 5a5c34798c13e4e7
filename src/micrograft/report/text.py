"""Bills and records as tables for a terminal. Each function gives something that rich prints; `to_text` gives a string.

Sizes are in bytes throughout, so that they can be compared with the linker's figures digit by digit.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from micrograft.ir.graph import Graph
from micrograft.planning.memory import Ram
from micrograft.planning.plan import Recomputation
from micrograft.report.layers import layers
from micrograft.report.record import Bill, QuantizationRecord, TrainRecord

WIDTH = 110

RAM_PARTS = {
    "arena": "arena: sample, activations, gradients, workspace",
    "state": "trained parameters",
    "optimizer": "optimizer and learning rate",
    "stack": "stack, worst case",
    "runtime": "target, answer, handle",
}


def to_text(content: RenderableType, width: int = WIDTH) -> str:
    """What the content looks like on a terminal without colours, `width` characters wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(content)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def bill_text(bill: Bill) -> RenderableType:
    """The whole bill of one way of adapting a network on one board."""
    verdict = Text("fits", "bold green") if bill.fits else Text("does not fit", "bold red")
    title = Text.assemble(
        (f"{bill.network}: {bill.method}", "bold"), f" with {bill.optimizer} on {bill.board} ", verdict
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row(Text("RAM", "bold"), number(bill.ram.total), share(bill.ram.total, bill.ram_available))
    for part, size in _parts(bill.ram).items():
        note = _above(bill.ram.arena, max(bill.arena_least, bill.arena_lower_bound)) if part == "arena" else ""
        table.add_row(f"  {RAM_PARTS[part]}", number(size), note)
    table.add_row(Text("Flash", "bold"), number(bill.flash.total), share(bill.flash.total, bill.flash_available))
    table.add_row("  code", number(bill.flash.code))
    table.add_row("  weights and tables", number(bill.flash.tables))
    table.add_row(
        Text("Ordinary backpropagation", "bold"),
        number(bill.backpropagation_ram),
        f"of RAM, estimated: {share(bill.backpropagation_ram, bill.ram_available)}",
    )
    table.add_row(
        Text("Trainable parameters", "bold"),
        number(bill.trainable_parameters),
        f"{percent(bill.trainable_parameters / max(bill.parameters, 1))} of {number(bill.parameters)}",
    )
    macs = bill.macs
    table.add_row(Text("Multiply-accumulates a step", "bold"), number(macs.forward + macs.backward + macs.update))
    for phase, count in asdict(macs).items():
        table.add_row(f"  {phase}", number(count))
    if bill.instructions is not None:
        table.add_row(Text("Instructions a step", "bold"), f"~{number(bill.instructions)}", "estimated (not cycles)")
    if bill.recomputation is not None:
        table.add_row(Text("Computed again", "bold"), number(bill.recomputation.nodes), _again(bill.recomputation))
    return Group(title, "", table, "", _peak_text(bill))


def comparison_text(rows: Sequence[TrainRecord | Bill]) -> RenderableType:
    """One line for each bill or record. A record's accuracy is measured, its instructions are emulated."""
    records = [row for row in rows if isinstance(row, TrainRecord)]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("method")
    for heading in ("trainable", "RAM", "flash"):
        table.add_column(heading, justify="right")
    if records:
        table.add_column("accuracy after", justify="right")
        table.add_column("instructions a step", justify="right")
    for row in rows:
        bill = row.bill if isinstance(row, TrainRecord) else row
        if bill is None:
            continue
        method = bill.method if bill.fits else f"{bill.method} (does not fit)"
        cells = [
            escape(method),
            number(bill.trainable_parameters),
            number(bill.ram.total),
            number(bill.flash.total),
        ]
        if isinstance(row, TrainRecord):
            cells += [percent(row.accuracy_after), number(row.instructions_per_step)]
        table.add_row(*cells)
    return table


def quantization_text(record: QuantizationRecord) -> RenderableType:
    """One line for each activation that became codes, the loss of accuracy, and the bytes."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("layer")
    table.add_column("operator", style="dim")
    for heading in ("from", "to", "alone", "together"):
        table.add_column(heading, justify="right")
    for layer in record.layers:
        together = "" if layer.together is None else f"{layer.together:.1f} dB"
        reach = f"{layer.low:.4g}", f"{layer.high:.4g}"
        table.add_row(escape(layer.layer), layer.op, *reach, f"{layer.alone:.1f} dB", together)
    worst = min(record.layers, key=lambda layer: layer.alone)
    lines = [
        f"Signal to noise over {record.samples} samples: of a layer alone, and of all layers up to it. "
        f"{worst.layer} hurts most.",
        f"Weights and tables: {number(record.weights_float32)} bytes in float32, "
        f"{number(record.weights_int8)} in int8.",
    ]
    if record.accuracy_int8 is not None and record.accuracy_float32 is not None:
        drop = 100 * (record.accuracy_float32 - record.accuracy_int8)
        lines.append(
            f"Accuracy on {record.judged} samples: {percent(record.accuracy_float32)} in float32, "
            f"{percent(record.accuracy_int8)} in int8, {drop:.1f} points lost; the same class in "
            f"{percent(record.same_class)}."
        )
    return Group(table, *map(Text, lines))


def train_text(record: TrainRecord) -> RenderableType:
    """What a training did, and planned beside measured RAM where it was emulated."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    place = "this computer" if record.on == "host" else f"the emulated {record.bill.board if record.bill else 'board'}"
    table.add_row("Steps", f"{number(record.steps)}, one sample each, on {place}")
    if record.losses:
        table.add_row("Loss of a step", f"{record.losses[0]:.4f} at first, {record.losses[-1]:.4f} at last")
    table.add_row("Loss when judged", f"{record.loss_before:.4f} before, {record.loss_after:.4f} after")
    if record.accuracy_before is not None:
        table.add_row("Accuracy", f"{percent(record.accuracy_before)} before, {percent(record.accuracy_after)} after")
    if record.instructions_per_step is not None:
        table.add_row("Instructions", f"{number(record.instructions_per_step)} a step, emulated (not cycles)")
    if record.bill is None or record.ram_measured is None:
        return table
    return Group(table, "", ram_text(record.bill.ram, record.ram_measured))


def ram_text(planned: Ram, measured: Ram) -> RenderableType:
    """Planned beside measured RAM, part by part."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("RAM")
    table.add_column("planned", justify="right")
    table.add_column("measured", justify="right")
    table.add_column("", style="dim")
    reached = _parts(measured)
    for part, size in _parts(planned).items():
        note = "" if size == reached[part] else f"{size - reached[part]:,} not reached"
        table.add_row(RAM_PARTS[part], number(size), number(reached[part]), note)
    table.add_section()
    table.add_row("total", number(planned.total), number(measured.total))
    return table


def inspect_text(graph: Graph) -> RenderableType:
    """The layers of a network with their shapes, parameters and multiply-accumulates."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), caption="Shapes are channels last, as the C library has them.")
    for heading in ("layer", "operator", "output"):
        table.add_column(heading)
    for heading in ("parameters", "MACs"):
        table.add_column(heading, justify="right")
    found = layers(graph)
    for layer in found:
        table.add_row(
            escape(layer.name), layer.op, shape_text(layer.shape), number(layer.parameters), number(layer.macs)
        )
    table.add_section()
    parameters, macs = sum(layer.parameters for layer in found), sum(layer.macs for layer in found)
    table.add_row("total", "", "", number(parameters), number(macs))
    ends = [
        f"{what} {escape(port.label or port.value.name)}: {shape_text(port.user_shape)}"
        for what, ports in (("takes", graph.inputs), ("gives", graph.outputs))
        for port in ports
    ]
    return Group(*ends, table)


def number(value: int | None) -> str:
    """
    >>> number(1234567), number(None)
    ('1,234,567', '')
    """
    return "" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """
    >>> percent(0.9136), percent(None)
    ('91.4 %', '')
    """
    return "" if value is None else f"{100 * value:.1f} %"


def share(used: int, available: int) -> str:
    """
    >>> share(64, 256), share(512, 256)
    ('25 % of 256', '2.0 times 256')
    """
    if used > available:
        return f"{used / available:.1f} times {number(available)}"
    return f"{math.ceil(100 * used / available)} % of {number(available)}"


def shape_text(shape: Sequence[int]) -> str:
    """
    >>> shape_text((1, 3, 32, 32))
    '1×3×32×32'
    """
    return "×".join(map(str, shape)) or "one number"


def _parts(ram: Ram) -> dict[str, int]:
    return {part: size for part, size in ram.to_json().items() if part != "total"}


def _again(spent: Recomputation) -> str:
    """What recomputation costs, and how good that is."""
    proven = "proven least" if spent.gap == 0 else f"at most {percent(spent.gap)} of a step above the least"
    if spent.gap > spent.order_gap:
        least = "the least" if spent.order_gap == 0 else f"at most {percent(spent.order_gap)} above the least"
        proven += f", and {least} in this order of operations"
    return f"operations: {percent(spent.share)} of a step's instructions more, estimated; {proven}"


def _above(arena: int, lower_bound: int) -> str:
    if arena <= lower_bound:
        return "equal to the lower bound"
    return f"{100 * (arena / max(lower_bound, 1) - 1):.2f} % above the lower bound {number(lower_bound)}"


def _peak_text(bill: Bill, rows: int = 8) -> RenderableType:
    """What is alive at the arena's peak, largest first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), title="Alive at the arena's peak", title_justify="left")
    table.add_column("layer")
    table.add_column("purpose")
    table.add_column("bytes", justify="right")
    for part in bill.peak[:rows]:
        table.add_row(escape(part.layer), part.purpose, number(part.bytes))
    rest = bill.peak[rows:]
    if rest:
        table.add_row(f"{len(rest)} more", "", number(sum(part.bytes for part in rest)))
    return table
