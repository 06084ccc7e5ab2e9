"""Mixtures over surprises: planted noise is found, a clean log is left alone, and nothing they are fed breaks them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from sie_online.importance.noise import explicit, population
from sie_online.importance.noise.detector import KEPT_FIELDS, fields_of
from sie_online.importance.noise.explicit import Words, dwell_log_ratio, observe_explicit, words_of
from sie_online.importance.noise.mixtures.causes import assess_causes, reassess_causes
from sie_online.importance.noise.mixtures.event import EVENT_SUM
from sie_online.importance.noise.population import NoiseConfig
from sie_online.jit import kernel

IMPRESSION, VIEW, CART, FAVORITE, PURCHASE, RETURN, RATING = 0, 1, 3, 4, 5, 6, 7
MINUTE, DAY = 60_000, 86_400_000
BASE = [("key", "u8"), ("last_ms", "i8")]
RECORDS = ("user", "item", "category", "pair", "interest")


def records(name: str, n: int = 1) -> Any:
    """All that the factor keeps of ``n`` users, items, ..."""
    return np.zeros(n, np.dtype([*BASE, *fields_of(name)]))


class ShopEvent(NamedTuple):
    time_ms: int
    etype: int
    category_key: int
    dwell_ms: float
    rating: float


@kernel
def walk(
    cfg: Any, columns: Any, tables: Any, population: Any, first: Any, last: Any, kept: Any, open_view: Any
) -> None:
    """Assess every event, then reassess all views at the end; purchases settle their pair's last view.

    ``open_view`` is that by pair, -1 for none.
    """
    time_ms, etype, user, item, category, pair, interest, dwell, rating = columns
    users, items, categories, pairs, interests = tables
    for i in range(len(time_ms)):
        u, v, c = users[user[i]], items[item[i]], categories[category[i]]
        p, x = pairs[pair[i]], interests[interest[i]]
        event = ShopEvent(time_ms[i], etype[i], category[i], dwell[i], rating[i])
        kept[i].log_odds = dwell_log_ratio(population, event)
        first[i] = assess_causes(cfg, u, v, c, p, x, population, event, kept[i])
        observe_explicit(cfg, u, v, population, event)
        last[i] = first[i]
        if etype[i] == VIEW:
            open_view[pair[i]] = i
        u.last_ms = time_ms[i]
        v.last_ms = time_ms[i]
        c.last_ms = time_ms[i]
        p.last_ms = time_ms[i]
        x.last_ms = time_ms[i]
    for i in range(len(time_ms)):
        if etype[i] == VIEW:
            u, v = users[user[i]], items[item[i]]
            last[i] = reassess_causes(cfg, u, population, kept[i], 0, words_of(u, v, population))


@dataclass
class Result:
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    population: Any
    users: Any
    items: Any


@dataclass
class ShopLog:
    """A shop's log under construction: (time, type, user, item, category, dwell, rating, kind) rows."""

    rows: list[tuple[int, int, int, int, int, float, float, str]] = field(default_factory=list)

    def add(self, at: float, etype: int, user: int, item: int, kind: str, dwell: float = math.nan) -> None:
        self.rows.append((int(at), etype, user, item, 1 + item % 20, dwell, math.nan, kind))

    def run(self, cfg: NoiseConfig | None = None) -> Result:
        table = list(zip(*self.rows, strict=True))
        time_ms, etype, user, item, category = (np.array(column, np.int64) for column in table[:5])
        pair = np.unique(user * 10**6 + item, return_inverse=True)[1]
        interest = np.unique(user * 10**6 + category, return_inverse=True)[1]
        columns = (time_ms, etype, user, item, category, pair, interest, np.array(table[5]), np.array(table[6]))
        sizes = (1 + max(c) for c in (user, item, category, pair, interest))
        tables = tuple(records(name, n) for n, name in zip(sizes, RECORDS, strict=True))
        shared = records("population")
        n = len(self.rows)
        out = Result(np.empty(n), np.empty(n), shared[0], tables[0], tables[1])
        walk(
            cfg or NoiseConfig(),
            columns,
            tables,
            shared[0],
            out.first,
            out.last,
            np.zeros(n, np.dtype(KEPT_FIELDS)),
            np.full(len(tables[3]), -1),
        )
        return out

    def where(self, etype: int) -> NDArray[np.bool_]:
        return np.array([row[1] == etype for row in self.rows])

    def kind(self, name: str) -> NDArray[np.bool_]:
        return np.array([row[7] == name for row in self.rows])


def shop(*, noisy: bool, seed: int = 0, visits: int = 2_000) -> ShopLog:
    """Two days of people browsing by taste in visits; with ``noisy``, 5 bots and 25 accounts with bought orders."""
    rng = np.random.default_rng(seed)
    stream = ShopLog()
    for _ in range(visits):
        user, at = int(300 * rng.beta(1, 2)), float(rng.integers(2 * DAY))
        for _ in range(1 + rng.poisson(6)):
            taste = (user * 7 + int(rng.integers(2)) * 3 + int(rng.random() < 0.1) * int(rng.integers(20))) % 20
            item = taste + 20 * int(40 * rng.beta(1, 3))
            stream.add(at, VIEW, user, item, "person")
            if rng.random() < 0.08:
                stream.add(at + 9_000, CART, user, item, "person")
            if rng.random() < 0.04:
                stream.add(at + rng.exponential(20 * MINUTE), PURCHASE, user, item, "person")
            at += float(rng.lognormal(math.log(20_000), 1))
    if noisy:
        for at in rng.integers(2 * DAY, size=2_500):
            stream.add(at, VIEW, 300 + int(rng.integers(5)), int(rng.integers(800)), "bot")
        for at in rng.integers(2 * DAY, size=120):
            user, item = 305 + int(rng.integers(25)), int(rng.integers(8)) * 37
            stream.add(at, VIEW, user, item, "bought")
            stream.add(at + rng.exponential(2 * MINUTE), PURCHASE, user, item, "bought")
    stream.rows.sort()
    return stream


@pytest.fixture(scope="module")
def polluted() -> tuple[ShopLog, Result]:
    stream = shop(noisy=True)
    return stream, stream.run()


def auc(stream: ShopLog, score: NDArray[np.float64], etype: int, kind: str) -> float:
    chosen = stream.where(etype) & (stream.kind(kind) | stream.kind("person"))
    return float(roc_auc_score(stream.kind(kind)[chosen], score[chosen]))


def test_bots_are_found_at_the_event_and_better_at_settlement(polluted: tuple[ShopLog, Result]) -> None:
    stream, result = polluted
    assert auc(stream, result.first, VIEW, "bot") > 0.93
    assert auc(stream, result.last, VIEW, "bot") > 0.98


def test_bought_orders_are_found_at_the_purchase(polluted: tuple[ShopLog, Result]) -> None:
    stream, result = polluted
    assert auc(stream, result.first, PURCHASE, "bought") > 0.95


def test_people_beside_bots_keep_their_weight(polluted: tuple[ShopLog, Result]) -> None:
    stream, result = polluted
    assert result.last[stream.kind("person")].mean() < 0.1


@pytest.mark.parametrize("seed", [1, 2])
def test_a_clean_log_is_left_alone(seed: int) -> None:
    stream = shop(noisy=False, seed=seed)
    result = stream.run()
    assert result.first.mean() < 0.03
    assert result.last.mean() < 0.03


def test_the_account_share_is_learned(polluted: tuple[ShopLog, Result]) -> None:
    _, result = polluted
    clean = shop(noisy=False).run()
    assert clean.population["s_share"][0] < 0.02 < 0.08 < result.population["s_share"][0] < 0.3


def test_views_that_led_to_a_bought_order_share_its_verdict() -> None:
    users = records("user")
    shared = records("population")
    users[0]["s_last_order"] = 0.75
    kept = np.zeros(1, np.dtype(KEPT_FIELDS))[0]
    p = reassess_causes(NoiseConfig(), users[0], shared[0], kept, 1, Words(0.0, 0.0))
    assert p == pytest.approx(0.75)


def test_a_return_counts_against_the_item_and_takes_the_purchase_back() -> None:
    stream = ShopLog()
    stream.add(1_000, PURCHASE, 0, 0, "person")
    stream.add(2_000, PURCHASE, 0, 1, "person")
    stream.add(3_000, RETURN, 0, 0, "person")
    result = stream.run()
    assert (result.items[0]["z_alpha"], result.items[0]["z_beta"]) == (1.0, 0.0)
    assert (result.items[1]["z_alpha"], result.items[1]["z_beta"]) == (0.0, 1.0)


def test_a_glance_is_more_suspicious_than_a_look() -> None:
    stream = shop(noisy=False, visits=300)
    dwell = np.random.default_rng(0).lognormal(9, 0.5, len(stream.rows))
    stream.rows = [(*row[:5], float(d), *row[6:]) for row, d in zip(stream.rows, dwell, strict=True)]
    last = stream.rows[-1]
    glance, look = ((last[0] + MINUTE, VIEW, *last[2:5], d, *last[6:]) for d in (50.0, 9_000.0))
    scores = []
    for final in (glance, look):
        tried = ShopLog([*stream.rows, final])
        scores.append(tried.run().first[-1])
    assert scores[0] > 3 * scores[1]


def test_rows_of_the_population_tables_do_not_overlap() -> None:
    assert EVENT_SUM < explicit.DWELL_ROW < explicit.RATING_ROW < population.N_ROWS


def test_what_is_judged_as_a_view_or_an_order_is_what_the_settings_say(polluted: tuple[ShopLog, Result]) -> None:
    """The same log with other words for a view and an order, and masks that say so, is judged the same."""
    stream, expected = polluted
    renamed = {VIEW: IMPRESSION, PURCHASE: FAVORITE}
    other = ShopLog([(row[0], renamed.get(row[1], row[1]), *row[2:]) for row in stream.rows])
    found = other.run(NoiseConfig(samples=1 << IMPRESSION, conversions=1 << FAVORITE))
    assert np.array_equal(found.first, expected.first)
    assert np.array_equal(found.population["s_share"], expected.population["s_share"])
    assert not np.array_equal(other.run().first, expected.first)


number = st.one_of(st.just(math.nan), st.floats(-1e12, 1e12), st.just(0.0))
row = st.tuples(
    st.integers(946_684_800_000, 4_102_444_800_000),
    st.integers(0, 7),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2),
    number,
    number,
    st.just("any"),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(row, min_size=1, max_size=60), st.integers(1, 40))
def test_every_probability_is_finite_and_below_the_cap(rows: list[Any], repeats: int) -> None:
    """Out-of-order times, absent and absurd optionals, missing categories, the same few records over and over."""
    result = ShopLog(rows * repeats).run()
    for values in (result.first, result.last):
        assert np.isfinite(values).all()
        assert (values >= 0.0).all()
        assert (values <= NoiseConfig().max_probability).all()
    learned = set(result.population.dtype.names) - {"s_traits", "s_surprises"}  # scratch of one event: NaN is "unknown"
    assert all(np.isfinite(result.population[name]).all() for name in learned)
