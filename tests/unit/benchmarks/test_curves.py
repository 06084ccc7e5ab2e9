"""Curves: what is sent is what the curve says, and the picture has a panel by figure."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.benchmarks.curves import CURVES, Curve, Point
from tests.benchmarks.pictures import draw
from tests.benchmarks.traffic import among, as_it_is, chunks, padded


def events(rewrite: object, n: int = 1_000) -> list[dict[str, object]]:
    return [msgspec.json.decode(r.value) for chunk in chunks(n, rewrite) for r in chunk.records]  # type: ignore[arg-type]


def test_so_many_entities_half_of_each_are_seen() -> None:
    found = events(among(200))
    assert len({event["user_id"] for event in found}) == 100
    assert len({event["item_id"] for event in found}) == 100


@pytest.mark.parametrize("n_bytes", [1_000, 4_000, 10_000])
def test_an_event_is_filled_up_within_what_is_allowed(n_bytes: int) -> None:
    for event in events(padded(n_bytes))[:50]:
        assert len(msgspec.json.encode(event)) == pytest.approx(n_bytes, rel=0.1)
        assert len(event["attributes"]) <= 64  # type: ignore[arg-type]


def test_keys_are_the_users() -> None:
    for chunk in chunks(1_000, as_it_is):
        for record in chunk.records:
            assert record.key == msgspec.json.decode(record.value or b"")["user_id"].encode()


def test_a_curve_says_how_to_repeat_it_and_draws_a_panel_by_figure(tmp_path: Path) -> None:
    points = [Point(1, {"µs an event": 5.0, "MB": 1.0}), Point(4, {"µs an event": 6.0, "MB": 3.0})]
    curve = Curve("partitions", CURVES["partitions"].quantity, 'make bench ARGS="--curves"', {}, points)
    assert 'again: make bench ARGS="--curves"' in str(curve)
    picture = draw(curve.as_dict(), tmp_path / "curve.svg").read_text()
    assert all(f">{name}<" in picture for name in points[0].figures)
