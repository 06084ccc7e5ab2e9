"""The evidence of a log: prequential, finite, and what it sees of strange behaviour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from models.noise.forward import log_ratios, logits
from sie_online.contracts import HEARTBEAT_CODE
from sie_online.importance.noise.evidence import N_SIGNALS, SIGNALS
from sie_online.importance.noise.model import MIXED, NoiseArrays, neutral_noise, new_noise
from sie_online.importance.noise.population import LOWER_QUARTILE_Z
from sie_online.importance.noise.share import DISTANCE, SHARP_CAP, SOFT_BELOW, SOFTNESS
from sie_online.importance.noise.standard import CLIP
from sie_online.importance.noise.walk import ACT, SAMPLE
from sie_online.shard.trace import mixed, reference, trace
from tests.support.events import small_settings
from tests.support.logs import PURCHASE, VIEW, Row, browsing, log_of_rows
from tests.support.noise_examples import random_noise

ROOMY = {"users": 4096, "items": 4096, "categories": 512, "pairs": 32_768}
SETTINGS = small_settings(entities=ROOMY)
NEUTRAL = neutral_noise()
PEOPLE = browsing(seed=0)
STRANGERS = 1_000  # codes of users from here on are no people


def known_to(rows: list[Row]) -> NoiseArrays:
    """A model that finds nothing, and knows what is ordinary among ``rows``."""
    return NEUTRAL._replace(**reference(SETTINGS, log_of_rows(rows), NEUTRAL)._asdict())


@pytest.fixture(scope="module")
def ordinary() -> NoiseArrays:
    return known_to(PEOPLE)


def robot(rows: list[Row]) -> None:
    """Three crawlers: a new item every few seconds, day and night."""
    for at in range(0, 2 * 86_400, 150):
        for which in range(3):
            item = (at // 150 * 3 + which) % 800
            rows.append((at + which, VIEW, STRANGERS + which, item, item % 20))


def ring(rows: list[Row]) -> None:
    """Ten accounts that go to the same rare items, one after another."""
    rng = np.random.default_rng(1)
    for visit in range(40):
        at, item = float(rng.uniform(0, 2 * 86_400)), 900 + visit % 30
        for which in rng.permutation(10).tolist():
            rows.append((at, VIEW, STRANGERS + which, item, item % 20))
            at += float(rng.uniform(20, 200))


def bought_orders(rows: list[Row]) -> None:
    """Sixty new accounts that order one item a few seconds after they first see it."""
    rng = np.random.default_rng(2)
    for which in range(60):
        at = float(rng.uniform(86_400, 2 * 86_400))
        rows.append((at, VIEW, STRANGERS + which, 901, 1))
        rows.append((at + 4, PURCHASE, STRANGERS + which, 901, 1))


def redelivery(rows: list[Row]) -> None:
    """An app that sends every event of some people twice."""
    rows.extend((at + 0.5, etype, STRANGERS + user, item, category) for at, etype, user, item, category in rows[:600])
    rows.extend((at, etype, STRANGERS + user, item, category) for at, etype, user, item, category in rows[:600])


@pytest.mark.parametrize(
    ("strange", "signal", "events", "at_least"),
    [
        (robot, "habits.own_gap", 50, 0.7),
        (robot, "reach.items", 10, 0.9),
        (ring, "company.closest", 10, 0.7),
        (ring, "company.followed_share", 10, 0.9),
        (bought_orders, "funnel.item_orders", 2, 0.9),
        (bought_orders, "audience.newcomers", 2, 0.9),
        (redelivery, "pace.burst_2s", 2, 0.7),
    ],
    ids=lambda given: given.__name__ if callable(given) else str(given),
)
def test_what_is_strange_is_seen_by_the_signal_that_should_see_it(
    strange: Any, signal: str, events: int, at_least: float, ordinary: NoiseArrays
) -> None:
    """Measured by the AUC among accounts with so many events."""
    rows = list(PEOPLE)
    strange(rows)
    columns = log_of_rows(rows)
    people = np.isin(columns["user_key"], log_of_rows(PEOPLE)["user_key"])
    found = trace(SETTINGS, columns, ordinary)
    late = found.events >= events
    assert roc_auc_score(~people[late], found.evidence[late, SIGNALS.index(signal)]) > at_least


def test_evidence_is_known_at_the_event_and_changes_no_more() -> None:
    columns = log_of_rows(PEOPLE)
    whole = trace(SETTINGS, columns, NEUTRAL)
    for n in (1, 57, 1_000):
        part = trace(SETTINGS, columns[:n], NEUTRAL)
        assert np.array_equal(part.evidence, whole.evidence[:n])
        assert np.array_equal(part.probability, whole.probability[:n])


def test_heartbeats_are_no_events() -> None:
    columns = log_of_rows(PEOPLE[:50])
    columns["etype"][10] = HEARTBEAT_CODE
    found = trace(SETTINGS, columns, NEUTRAL)
    assert found.row.tolist() == [*range(10), *range(11, 50)]
    assert len(found.evidence) == 49


def test_what_is_ordinary_is_standard_in_the_log_that_it_was_learned_from(ordinary: NoiseArrays) -> None:
    found = trace(SETTINGS, log_of_rows(PEOPLE), ordinary)
    assert np.abs(np.median(found.evidence, axis=0)).max() < 1.5
    assert np.mean(np.abs(found.evidence) < CLIP) > 0.97


def test_the_kernel_says_bit_for_bit_what_the_artifact_means(ordinary: NoiseArrays) -> None:
    model = new_noise({**random_noise(0, N_SIGNALS), **_standard(ordinary)}, N_SIGNALS)
    found = trace(SETTINGS, log_of_rows(PEOPLE), model)
    tensors = model._asdict()
    own = logits(tensors, found.evidence, found.head, found.events)
    assert np.array_equal(found.logit, own)
    ratio = log_ratios(model.mix, mixed(found, own), found.head)
    nothing = trace(SETTINGS, log_of_rows(PEOPLE), neutral_noise())
    for head in (SAMPLE, ACT):  # an order also goes by its view
        first = int(np.flatnonzero(found.head == head)[0])  # before anything was learned from its like
        by_model, by_none = (_by_model(one, head, at) for one, at in ((model, float(ratio[first])), (NEUTRAL, 0.0)))
        by_surprise = 1 - (1 - nothing.probability[first]) / (1 - by_none)
        assert found.probability[first] == pytest.approx(1 - (1 - by_model) * (1 - by_surprise), rel=1e-6)


def _by_model(model: NoiseArrays, head: int, log_ratio: float) -> float:
    """P(noise) by the model where nothing was learned yet: the model's own quantiles and share."""
    middle, below = model.ordinary[head].tolist()
    z = (log_ratio - middle) / ((middle - below) / LOWER_QUARTILE_Z)
    sharp = DISTANCE * z - DISTANCE**2 / 2
    if sharp < SOFT_BELOW:
        sharp = SOFT_BELOW - SOFTNESS * np.log1p(SOFT_BELOW - sharp)
    odds = float(np.exp(min(sharp, SHARP_CAP)) * model.share[head] / (1 - model.share[head]))
    return min(odds / (1 + odds), 0.999)


def _standard(ordinary: NoiseArrays) -> dict[str, NDArray[np.float32]]:
    return {name: getattr(ordinary, name) for name in ("location", "scale", "support")}


def test_means_are_mixed_in_by_user_and_item() -> None:
    columns = log_of_rows([(float(at), VIEW, at % 2, at % 3, 0) for at in range(12)])
    found = trace(SETTINGS, columns, NEUTRAL)
    out = mixed(found, np.arange(12, dtype=np.float32) / 10)
    means = dict(zip(MIXED, out[10], strict=True))
    assert means["one"] == 1
    assert means["logit"] == pytest.approx(1.0)
    assert means["user_mean"] == pytest.approx(np.mean([0, 2, 4, 6, 8, 10]) / 10)
    assert means["item_mean"] == pytest.approx(np.mean([1, 4, 7, 10]) / 10)
    assert means["newness"] == pytest.approx(1 / 6)


number = st.one_of(st.just(np.nan), st.floats(-1e12, 1e12))
event = st.tuples(
    st.integers(946_684_800_000, 4_102_444_800_000), st.integers(0, 7), st.integers(0, 3), st.integers(0, 3), number
)


@settings(max_examples=40, deadline=None)
@given(st.lists(event, min_size=1, max_size=60), st.integers(1, 20))
def test_evidence_and_probabilities_are_finite_whatever_comes(rows: list[Any], repeats: int) -> None:
    """Out-of-order times, absurd optionals, a few records over and over."""
    columns = log_of_rows([(0.0, etype, user, item, 0) for _, etype, user, item, _ in rows * repeats])
    columns["time_ms"] = [row[0] for row in rows * repeats]
    columns["dwell_ms"] = columns["rating"] = [row[4] for row in rows * repeats]
    columns["category_key"][::3] = 0
    model = new_noise({**random_noise(1, N_SIGNALS), **_standard(NEUTRAL)}, N_SIGNALS)
    found = trace(SETTINGS, columns, model)
    assert np.isfinite(found.evidence).all()
    for values in (found.probability, found.cautious):
        assert ((values >= 0) & (values <= 0.999)).all()
    assert (found.cautious <= found.probability + 1e-12).all()
