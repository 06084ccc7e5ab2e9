"""The factor ``noise`` over a shard's rows: what people say outright, what a conversion means for its views."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sie_online.importance.noise import NoiseConfig, reassess
from sie_online.importance.noise.detector import KEPT_FIELDS, fields_of
from sie_online.importance.noise.evidence import N_SIGNALS, SIGNALS, evidence_hash
from sie_online.importance.noise.model import MIXED, NoiseArrays, default_noise, neutral_noise, new_noise
from tests.support.events import event, process, random_events, weights


def rows_of(events: list[dict[str, Any]]) -> pa.Table:
    return weights(process(events))


def test_what_is_not_sure_is_not_taken_off_the_weight() -> None:
    """The factor is the logarithm of 1 minus the cautious P, which is never above P."""
    rows = rows_of(random_events(600, seed=3))
    cautious = 1.0 - np.exp(rows["f_noise"].to_numpy())
    probability = rows["noise_probability"].to_numpy()
    assert (cautious <= probability + 1e-6).all()
    assert (cautious >= 0).all()


def test_views_that_led_to_an_order_share_its_verdict() -> None:
    user, item, population = (np.zeros(1, np.dtype(fields_of(name)))[0] for name in ("user", "item", "population"))
    kept = np.zeros(1, np.dtype(KEPT_FIELDS))[0]
    user["z_order"], user["z_order_cautious"] = 0.75, 0.5
    assert reassess(NoiseConfig(), neutral_noise(), user, item, population, kept, 1) == (0.75, 0.5)


def test_a_glance_is_more_suspicious_than_a_look() -> None:
    rng = np.random.default_rng(0)
    usual = [
        event(i, "view", 40.0 * i, f"u{i % 40}", f"i{rng.integers(60)}", dwell_ms=float(rng.lognormal(9, 0.5)))
        for i in range(500)
    ]
    tried = [event(500, "view", 20_000.0, "u3", "i5", dwell_ms=dwell) for dwell in (50.0, 9_000.0)]
    found = [rows_of([*usual, last]).filter(pc.field("event_id") == "e500") for last in tried]
    glance, look = (rows["noise_probability"].to_numpy()[0] for rows in found)
    assert glance / (1 - glance) > 2 * look / (1 - look)


def test_names_of_the_evidence_are_unique_and_part_of_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(SIGNALS)) == N_SIGNALS
    before = evidence_hash()
    monkeypatch.setattr("sie_online.importance.noise.evidence.MEANING", 1_000)
    assert evidence_hash() != before


def wrong(name: str) -> dict[str, Any]:
    tensors: dict[str, Any] = dict(neutral_noise()._asdict())
    spoilt: dict[str, Any] = {
        "shape": {"w1": tensors["w1"][1:]},
        "not finite": {"b1": tensors["b1"] + math.nan},
        "scale": {"scale": tensors["scale"] * 0},
        "monotone": {"monotone": tensors["monotone"] - 1},
        "share": {"share": tensors["share"] * 0 + 1},
        "knots": {"knots": tensors["knots"][::-1]},
        "support": {"support": tensors["support"] - 1},
        "hidden": {"w1": np.zeros((N_SIGNALS + 4, 65)), "b1": np.zeros(65), "w2": np.zeros((65, 1))},
    }
    return tensors | spoilt[name]


@pytest.mark.parametrize("name", ["shape", "not finite", "scale", "monotone", "share", "knots", "support", "hidden"])
def test_a_model_that_would_break_a_bound_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValueError, match="noise model"):
        new_noise(wrong(name), N_SIGNALS)


def test_a_model_lacks_nothing_that_the_default_has() -> None:
    assert isinstance(default_noise(), NoiseArrays)
    assert default_noise().mix.shape[1] == len(MIXED)
    with pytest.raises(ValueError, match="needs location, scale"):
        new_noise({}, N_SIGNALS)
