"""P(noise) by the noise model: what it is told, what a view says of its order, and that it is a number in any case."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.contracts import CART_CODE, ERASE_CODE, PURCHASE_CODE, VIEW_CODE
from sie_online.importance.noise import NoiseConfig, assess, reassess, start_from
from sie_online.importance.noise.detector import KEPT_FIELDS, fields_of
from sie_online.importance.noise.explicit import words_of
from sie_online.importance.noise.fitted import Verdict, assess_fitted, reassess_fitted
from sie_online.importance.noise.model import NoiseArrays, default_noise, neutral_noise
from sie_online.importance.noise.share import SHARP_CAP
from sie_online.importance.noise.standard import DEEDS
from sie_online.importance.noise.walk import CONVERSION, SAMPLE
from sie_online.ingest.events import EVENT
from tests.support.noise_models import random_noise_model

CFG = NoiseConfig()
BASE = [("key", "u8"), ("last_ms", "i8")]
RECORDS = {
    name: np.dtype([*BASE, *fields_of(name)], align=True) for name in ("user", "item", "category", "pair", "interest")
}
POPULATION, KEPT = np.dtype(fields_of("population"), align=True), np.dtype(KEPT_FIELDS)
NOON_MS = 1_700_000_000_000


class Stream:
    """Records of all that was met, and what was said of it."""

    def __init__(self, model: NoiseArrays) -> None:
        self.model = model
        self.population, self.kept = np.zeros(1, POPULATION)[0], np.zeros(1, KEPT)[0]
        start_from(self.population, model)
        self.met: dict[Any, Any] = defaultdict(lambda: None)

    def record(self, name: str, *keys: int) -> Any:
        return self.met.setdefault((name, *keys), np.zeros(1, RECORDS[name])[0])

    def tell(
        self, etype: int, user: int = 1, item: int = 1, at_ms: int = NOON_MS, *, fitted: bool = True, **more: float
    ) -> Verdict:
        """What is said of an event; only the noise model is asked where ``fitted``."""
        event = np.zeros(1, EVENT)[0]
        for name in ("position", "propensity", "price", "dwell_ms", "rating"):
            event[name] = more.get(name, math.nan)
        event["etype"], event["time_ms"], event["now_ms"] = etype, at_ms, at_ms
        event["user_key"], event["item_key"], event["category_key"] = user, item, 1 + item % 3
        of_user, of_item = self.record("user", user), self.record("item", item)
        category, pair = self.record("category", item % 3), self.record("pair", user, item)
        interest = self.record("interest", user, item % 3)
        if fitted:
            said = assess_fitted(CFG, self.model, of_user, of_item, pair, interest, self.population, event, self.kept)
        else:
            said = assess(
                CFG, self.model, of_user, of_item, category, pair, interest, self.population, event, self.kept
            )
        for record in (of_user, of_item, category, pair, interest):
            record["last_ms"] = at_ms
        return said


def biased(**ratios: float) -> NoiseArrays:
    """A model that says the same of all samples, and of all conversions, whatever their evidence is."""
    neutral = neutral_noise()
    mix = neutral.mix.copy()
    mix[SAMPLE, 0], mix[CONVERSION, 0] = ratios["sample"], ratios["conversion"]
    return neutral._replace(mix=mix)


# -- what it is told


def test_the_model_sees_an_account_s_own_acts_in_acts_and_conversions_only() -> None:
    stream, seen = Stream(default_noise()), defaultdict(list)
    for n, etype in enumerate([VIEW_CODE, CART_CODE, VIEW_CODE, PURCHASE_CODE] * 5):
        stream.tell(etype, item=n // 4, at_ms=NOON_MS + 60_000 * n)
        seen[etype].append(stream.population["z_evidence"][list(DEEDS)].copy())
    assert not np.any(seen[VIEW_CODE])
    assert np.any(seen[CART_CODE]) and np.any(seen[PURCHASE_CODE])


# -- a view and its order


def test_an_order_is_as_suspect_as_the_view_that_led_to_it() -> None:
    stream = Stream(biased(sample=30.0, conversion=-30.0))
    view, order = stream.tell(VIEW_CODE), stream.tell(PURCHASE_CODE, at_ms=NOON_MS + 1_000)
    assert view.probability > 0.9
    assert order.probability == pytest.approx(view.probability, abs=0.01)
    assert stream.tell(PURCHASE_CODE, user=2, item=2, at_ms=NOON_MS + 2_000).probability < 0.01, "no view led there"


def test_a_view_makes_no_order_less_suspect() -> None:
    stream = Stream(biased(sample=-30.0, conversion=30.0))
    stream.tell(VIEW_CODE)
    assert stream.tell(PURCHASE_CODE, at_ms=NOON_MS + 1_000).probability > 0.9


def test_the_view_of_an_order_shares_its_verdict_and_another_is_judged_anew() -> None:
    stream = Stream(biased(sample=-30.0, conversion=30.0))
    view = stream.tell(VIEW_CODE)
    kept = stream.kept.copy()
    order = stream.tell(PURCHASE_CODE, at_ms=NOON_MS + 1_000)
    user, item = stream.record("user", 1), stream.record("item", 1)
    said = words_of(user, item, stream.population)
    bought, not_bought = (
        reassess_fitted(CFG, stream.model, user, item, stream.population, kept, label, said) for label in (1, 0)
    )
    assert bought == order
    assert not_bought.probability == pytest.approx(view.probability, rel=0.05)


# -- P


@pytest.mark.parametrize("ratio", [-30.0, 0.0, 30.0])
def test_p_is_the_sharpened_ratio_s_and_the_cautious_one_comes_nearer_with_age(ratio: float) -> None:
    stream = Stream(biased(sample=ratio, conversion=0.0))
    first = stream.tell(VIEW_CODE)
    assert abs(math.log(first.probability / (1 - first.probability)) - math.log(0.01 / 0.99)) <= SHARP_CAP + 1e-6
    said = [first, *(stream.tell(VIEW_CODE, at_ms=NOON_MS + 60_000 * n) for n in range(1, 30))]
    doubt = [math.log(p / (1 - p)) - math.log(q / (1 - q)) for p, q in said]
    assert doubt == sorted(doubt, reverse=True)
    assert doubt[-1] > 0


def test_what_an_event_says_outright_is_added_to_its_odds() -> None:
    stream = Stream(neutral_noise())
    stream.kept["log_odds"] = np.float32(1 / 3)
    said = stream.tell(VIEW_CODE)
    other = Stream(neutral_noise()).tell(VIEW_CODE)
    added = math.log(said.probability / (1 - said.probability)) - math.log(other.probability / (1 - other.probability))
    assert added == pytest.approx(float(np.float32(1 / 3)), rel=1e-9)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, ERASE_CODE - 2),  # every type but heartbeats and erasures
        st.integers(1, 4),
        st.integers(1, 4),
        st.integers(1, 2**53),
        st.floats(width=32),
        st.floats(width=32),
    ),
    min_size=1,
    max_size=60,
)


@pytest.mark.parametrize(
    "model", [default_noise(), random_noise_model(), neutral_noise()], ids=["default", "random", "neutral"]
)
@settings(max_examples=40, deadline=None)
@given(events=EVENTS, label=st.integers(0, 1))
def test_whatever_comes_both_p_are_probabilities_below_the_cap(
    model: NoiseArrays, events: list[tuple[int, int, int, int, float, float]], label: int
) -> None:
    stream = Stream(model)
    for etype, user, item, at_ms, rating, dwell_ms in events:
        said = stream.tell(etype, user, item, at_ms, fitted=False, rating=rating, dwell_ms=dwell_ms)
        again = reassess(
            CFG, model, stream.record("user", user), stream.record("item", item), stream.population, stream.kept, label
        )
        for verdict in (said, again):
            assert 0.0 <= verdict.cautious <= verdict.probability <= CFG.max_probability
    for name in ("z_evidence", "z_location", "z_scale", "z_middle", "z_below", "z_share"):
        assert np.isfinite(stream.population[name]).all(), name
