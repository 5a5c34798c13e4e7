"""Reports say what the records say, stand alone, and are the same bytes each time."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from micrograft.ir.graph import Phase
from micrograft.planning.memory import Ram
from micrograft.planning.plan import Buffer, Plan, Purpose
from micrograft.planning.planner import make_plan
from micrograft.report.html import Report, html_report
from micrograft.report.layers import layers
from micrograft.report.pictures import MAP_HEIGHT, WIDTH, loss_curve, memory_map, ticks
from micrograft.report.record import Bill, Flash, Macs, Share, TrainRecord
from micrograft.report.text import bill_text, comparison_text, inspect_text, ram_text, to_text, train_text
from tests.networks import mlp

BILL = Bill(
    network="net",
    board="nrf52840",
    method="lora:rank=2",
    optimizer="sgd:lr=0.1",
    ram=Ram(arena=33_792, state=12_624, optimizer=4, stack=456, runtime=3_644),
    ram_available=262_144,
    flash=Flash(code=19_952, tables=122_720),
    flash_available=1_048_576,
    arena_lower_bound=33_788,
    backpropagation_ram=345_540,
    trainable_parameters=3_156,
    parameters=31_379,
    macs=Macs(1_088_044, 1_093_000, 3_156),
    peak=tuple(Share(f"layer{i}", "gradient", 1000 - i) for i in range(12)),
)
RECORD = TrainRecord(
    bill=BILL,
    on="emulator",
    steps=3,
    losses=(1.5, 0.75, 0.5),
    accuracy_before=0.72,
    accuracy_after=0.893,
    loss_before=1.25,
    loss_after=0.375,
    instructions_per_step=6_199_564,
    ram_measured=replace(BILL.ram, stack=440),
)


@pytest.fixture
def memory() -> Plan:
    graph = mlp()
    return make_plan(graph, [port.value for port in graph.outputs])


def test_a_bill_shows_every_part_of_it() -> None:
    """RAM and flash by part, the lower bound, backpropagation beside the board's RAM, and what makes the peak."""
    text = to_text(bill_text(BILL))
    for size in (50_520, 33_792, 12_624, 456, 3_644, 142_672, 19_952, 122_720, 345_540, 262_144, 33_788, 3_156):
        assert f"{size:,}" in text
    assert "fits" in text and "1.3 times 262,144" in text and "10.1 % of 31,379" in text
    assert "layer0" in text and "4 more" in text
    assert "does not fit" in to_text(bill_text(replace(BILL, ram_available=50_519)))


def test_a_training_shows_planned_beside_measured() -> None:
    """And the part of the stack that was not reached."""
    text = to_text(train_text(RECORD))
    for piece in ("72.0 % before, 89.3 % after", "1.5000 at first, 0.5000 at last", "6,199,564", "not cycles"):
        assert piece in text
    assert re.search(r"stack, worst case +456 +440 +16 not reached", text)
    assert to_text(ram_text(BILL.ram, BILL.ram)).count("not reached") == 0


def test_a_training_on_the_host_claims_no_measurement() -> None:
    """Nor an accuracy where there are no classes."""
    host = replace(RECORD, on="host", bill=None, instructions_per_step=None, ram_measured=None)
    text = to_text(train_text(replace(host, accuracy_before=None, accuracy_after=None, losses=())))
    assert "this computer" in text
    assert not re.search(r"instructions|accuracy|planned|measured", text, re.IGNORECASE)


def test_a_comparison_has_one_line_for_each_and_marks_what_does_not_fit() -> None:
    """Bills alone have no accuracy; records have."""
    large = replace(BILL, method="full", ram_available=100)
    text = to_text(comparison_text([RECORD, replace(RECORD, bill=large, accuracy_after=0.5)]))
    assert "89.3 %" in text and "50.0 %" in text and "full (does not fit)" in text
    assert "accuracy" not in to_text(comparison_text([BILL, large]))


def test_names_in_brackets_are_shown_as_they_are() -> None:
    """A layer's name is never taken for markup."""
    odd = replace(BILL, method="lora:targets=[bold]x", peak=(Share("[red]layer", "gradient", 4),))
    text = to_text(bill_text(odd)) + to_text(comparison_text([odd]))
    assert text.count("lora:targets=[bold]x") == 2 and "[red]layer" in text


def test_layers_add_up_to_the_network() -> None:
    """Every parameter is counted once."""
    graph = mlp()
    found = layers(graph)
    assert sum(layer.parameters for layer in found) == sum(param.value.type.size for param in graph.params)
    assert "fc0" in to_text(inspect_text(graph))


def test_the_page_stands_alone_and_is_well_formed(memory: Plan) -> None:
    """Nothing is loaded from anywhere; tags close; the same record gives the same bytes; both colour schemes."""
    report = Report("A title", "a summary", RECORD, memory, [replace(RECORD, accuracy_after=0.5)], ["a note"])
    page = html_report(report)
    assert page == html_report(report)
    assert not re.search(r"https?:|src=|@import|url\(|<script|<link", page)
    assert "prefers-color-scheme: dark" in page
    body = re.sub(r"<!doctype html>|<meta[^>]*>", "", page)
    ElementTree.fromstring(body)
    for piece in ("A title", "a note", "50,520", "89.3 %", "not cycles", "planned", "measured"):
        assert piece in page


def test_a_page_without_board_or_classes_shows_what_there_is(memory: Plan) -> None:
    """The loss instead of an accuracy, the map, and no empty table of RAM."""
    record = replace(RECORD, on="host", bill=None, accuracy_before=None, instructions_per_step=None, ram_measured=None)
    page = html_report(Report("A title", "", record, memory))
    assert "1.25 → 0.375" in page and "The same C gives the same bits" in page
    assert "<h2>RAM</h2>" not in page and "None" not in page


def test_a_layers_name_cannot_break_the_page(memory: Plan) -> None:
    """It is escaped."""
    page = html_report(Report("<b>&", "", replace(RECORD, bill=replace(BILL, method="<script>")), memory))
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_the_memory_map_draws_every_buffer_to_scale_and_without_overlap(memory: Plan) -> None:
    """As the plan promises: no two buffers share a byte while both live."""
    picture = memory_map(memory)
    assert len(picture.rectangles) == len(memory.buffers)
    area = sum(box.width * box.height for box in picture.rectangles)
    bytes_by_step = sum((buffer.last + 1 - buffer.first) * buffer.size for buffer in memory.buffers)
    one = picture.rectangles[0].width * picture.rectangles[0].height
    first = memory.buffers[0]
    assert area / one == pytest.approx(bytes_by_step / ((first.last + 1 - first.first) * first.size))
    for i, a in enumerate(picture.rectangles):
        assert min(a.x, a.y) >= 0 and a.x + a.width <= WIDTH and a.y + a.height <= MAP_HEIGHT
        for b in picture.rectangles[:i]:
            apart = (a.x + a.width <= b.x + 1e-6, b.x + b.width <= a.x + 1e-6)
            apart += (a.y + a.height <= b.y + 1e-6, b.y + b.height <= a.y + 1e-6)
            assert any(apart)


def test_the_tooltip_names_layer_purpose_and_bytes(memory: Plan) -> None:
    """What a person points at, they can find in their own network."""
    buffer = Buffer(("conv_mask",), 12, 0, 0, Purpose.ACTIVATION, "conv1", 4)
    (box,) = memory_map(replace(memory, buffers=(buffer,), arena=16)).rectangles
    for piece in ("conv1", "conv_mask", "activation kept for the backward pass", "12 bytes", "bytes 4 to 15"):
        assert piece in box.tooltip


def test_a_forward_plan_has_no_backward_stretch(memory: Plan) -> None:
    """Only phases that are there are named."""
    assert all(node.phase is Phase.FORWARD for node in memory.schedule)
    assert [span.label for span in memory_map(memory).spans] == ["forward"]


@pytest.mark.parametrize("losses", [(), (0.0,), (1.0,), (0.0, 0.0), tuple(1 / (i + 1) for i in range(500))])
def test_any_loss_can_be_drawn(losses: tuple[float, ...]) -> None:
    """None at all, one, only zeros, many."""
    picture = loss_curve(losses)
    assert len(picture.dots) == len(picture.line) == len(losses)
    assert all(math.isfinite(x) and math.isfinite(y) and 0 <= y <= picture.height for x, y in picture.line)


@pytest.mark.parametrize("largest", [0.003, 1, 7, 196, 33_792, 10**9])
def test_ticks_are_round_and_few(largest: float) -> None:
    """From zero to at most the largest value."""
    found = ticks(largest)
    assert found[0] == 0 and found[-1] <= largest * (1 + 1e-9) and 2 <= len(found) <= 7
