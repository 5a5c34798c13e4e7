"""Pieces: whatever can be trained of a network, whether it computes in floats or in codes."""

from __future__ import annotations

from pathlib import Path

from micrograft import api
from micrograft.recipe import Recipe
from micrograft.search.pieces import compose, pieces
from tests.tiny import data, write_network


def test_an_int8_network_has_the_pieces_of_its_float_twin(tmp_path: Path) -> None:
    """And each of them can be planned."""
    floats = api.load(write_network(tmp_path / "net.onnx"))
    codes = api.quantize(floats, data()["x"])
    assert pieces(codes) == pieces(floats) and {piece.layer for piece in pieces(codes)} == {"conv", "head"}
    for piece in pieces(codes):
        assert api.adapt(codes, Recipe(compose([piece]))).train is not None


def test_shares_that_are_as_many_channels_are_one_piece(tmp_path: Path) -> None:
    """Of the convolution's two input channels an eighth, a quarter and a half are one channel."""
    network = api.load(write_network(tmp_path / "net.onnx"))
    amounts = [each.amount for each in pieces(network) if each.layer == "conv" and each.kind == "weight"]
    assert amounts == [0.5, 1.0]
