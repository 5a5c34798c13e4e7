"""ONNX's own node tests, which ship in its wheel, through import and C: none is wrong, and what is claimed passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.onnx_node_tests import Outcome, node_cases, report, run_cases, share_passed
from micrograft.frontends.onnx_operators import HANDLERS

ENOUGH = 0.95
"""Of the float tests of claimed operators, what at least passes."""


@pytest.mark.slow
def test_node_tests(tmp_path: Path) -> None:
    """Of all tests none is wrong; of the float ones of claimed operators at least 95 % pass."""
    results = run_cases(node_cases(), tmp_path)
    text = report(results)
    print(text)
    assert len(results) > 1500, "the suite is not all there"
    assert not [each.name for each in results if each.outcome is Outcome.WRONG], text
    assert share_passed(results) >= ENOUGH, text


def test_a_wrong_handler_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite can fail: a handler that draws another operator, or that crashes, is told as wrong."""
    cases = [case for case in node_cases("relu") if case.name == "test_relu"]
    (result,) = run_cases(cases, tmp_path / "right")
    assert (result.outcome, result.is_claimed) == (Outcome.PASSED, True)
    monkeypatch.setitem(HANDLERS, "Relu", HANDLERS["Sigmoid"])
    (result,) = run_cases(cases, tmp_path / "wrong")
    assert result.outcome is Outcome.WRONG
    monkeypatch.setitem(HANDLERS, "Relu", lambda call: 1 / 0)
    (result,) = run_cases(cases, tmp_path / "crashing")
    assert result.outcome is Outcome.WRONG
    monkeypatch.delitem(HANDLERS, "Relu")
    (result,) = run_cases(cases, tmp_path / "unknown")
    assert (result.outcome, result.is_claimed) == (Outcome.REFUSED, False)
