"""Features: what they say about an event, that they are always valid, and that their meaning is versioned."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.contracts import TYPE_CODES
from sie_online.features import (
    CATEGORY_FIELDS,
    DENSE_NAMES,
    FACTOR_COLUMNS,
    FEATURE_NAMES,
    ID_FEATURES,
    INTEREST_FIELDS,
    ITEM_FIELDS,
    N_DENSE,
    N_FEATURES,
    PAIR_FIELDS,
    POPULATION_FIELDS,
    USER_FIELDS,
    FeatureConfig,
    as_dict,
    extract,
    observe,
    schema_hash,
)
from sie_online.features.bins import age_bin, bin_of, share_left, slot

VIEW, CART, FAVORITE, PURCHASE, RETURN, RATING = (
    TYPE_CODES[name] for name in ("view", "cart", "favorite", "purchase", "return", "rating")
)
T0 = 1_700_000_000_000
MINUTE, DAY = 60_000, 86_400_000
CFG = FeatureConfig(dim=1 << 12)
TABLES = {
    "user": USER_FIELDS,
    "item": ITEM_FIELDS,
    "category": CATEGORY_FIELDS,
    "pair": PAIR_FIELDS,
    "interest": INTEREST_FIELDS,
}
# Half of what a record may hold at most: the noise factor keeps its own fields in the same record.
BYTES = {"user": 128, "item": 96, "category": 96, "pair": 32, "interest": 24}


class FeatureEvent(NamedTuple):
    time_ms: int
    now_ms: int
    etype: int
    item_key: Any
    category_key: Any
    position: float = np.nan
    price: float = np.nan


class Shop:
    """A handful of records, found by name: enough to see features move."""

    def __init__(self, cfg: FeatureConfig = CFG) -> None:
        self.cfg = cfg
        self.population = np.zeros(1, POPULATION_FIELDS)
        self.records: dict[tuple[Any, ...], npt.NDArray[np.void]] = {}
        self.idx = np.zeros(N_FEATURES, np.uint32)
        self.dense = np.zeros(N_DENSE, np.float32)

    def event(self, etype: int, t: int = T0, user: int = 1, item: int = 1, category: int = 1, **columns: float) -> Shop:
        """Extract, observe, and move ``last_ms``, as the event loop does."""
        keys = {
            "user": (user,),
            "item": (item,),
            "category": (category,),
            "pair": (user, item),
            "interest": (user, category),
        }
        rows = []
        for table, key in keys.items():
            dtype = np.dtype([("last_ms", "i8"), *TABLES[table]])
            rows.append(self.records.setdefault((table, *key), np.zeros(1, dtype)))
        event = FeatureEvent(t, t, etype, np.uint64(item), np.uint64(category), **columns)
        args = [row[0] for row in rows]
        left = extract(self.cfg, *args, self.population[0], event, self.idx, self.dense)
        observe(self.cfg, *args, self.population[0], event, left)
        for row in rows:
            row["last_ms"] = np.maximum(row["last_ms"], t)
        return self

    def column(self, name: str) -> int:
        return int(self.idx[FEATURE_NAMES.index(name)])

    def value(self, name: str) -> float:
        return float(self.dense[DENSE_NAMES.index(name)])


def test_records_stay_small() -> None:
    assert {name: np.dtype(f).itemsize for name, f in TABLES.items() if np.dtype(f).itemsize > BYTES[name]} == {}


def test_names_are_unique_and_few() -> None:
    assert len(set(FEATURE_NAMES)) == N_FEATURES <= 28
    assert len(set(DENSE_NAMES)) == N_DENSE <= 16
    assert len(set(FACTOR_COLUMNS)) == len(FACTOR_COLUMNS) and max(FACTOR_COLUMNS) < N_FEATURES


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.integers(-2 * DAY, 40 * DAY),
        st.integers(1, 3),
        st.integers(1, 3),
        st.integers(0, 2),
        st.floats(),
        st.floats(),
    ),
    max_size=40,
)


@given(EVENTS)
def test_every_event_has_valid_features(events: list[tuple[Any, ...]]) -> None:
    """Any type, any order in time, any position and price, infinite and missing ones included."""
    shop = Shop()
    for etype, dt, user, item, category, position, price in events:
        shop.event(etype, T0 + dt, user, item, category, position=position, price=price)
        assert (shop.idx < CFG.dim).all()
        assert (shop.idx[[FEATURE_NAMES.index(n) for n in ("event_type", "pair_state", "item_lift")]] > 0).all()
        assert np.isfinite(shop.dense).all()
    for table in (*shop.records.values(), shop.population):
        for name in table.dtype.names or ():
            values = table[name].astype(float)
            assert np.isfinite(values).all()
            assert name == "log_price" or (values >= 0).all()


@given(EVENTS)
def test_the_same_events_have_the_same_features(events: list[tuple[Any, ...]]) -> None:
    a, b = Shop(), Shop()
    for etype, dt, user, item, category, position, price in events:
        for shop in (a, b):
            shop.event(etype, T0 + dt, user, item, category, position=position, price=price)
        assert a.idx.tobytes() == b.idx.tobytes() and a.dense.tobytes() == b.dense.tobytes()


def test_features_are_those_before_the_event() -> None:
    shop = Shop().event(VIEW)
    assert shop.value("pair_views") == 0.0 and shop.value("user_views") == 0.0
    shop.event(VIEW, T0 + MINUTE)
    assert shop.value("pair_views") == pytest.approx(np.log(2))
    assert shop.value("pair_gap") == pytest.approx(np.log1p(60))


def test_the_pair_remembers_cart_favourite_and_purchase() -> None:
    shop = Shop()
    states = set()
    for n, etype in enumerate((VIEW, CART, FAVORITE, PURCHASE, VIEW)):
        shop.event(etype, T0 + n * MINUTE)
        states.add(shop.column("pair_state"))
    assert len(states) == 5
    assert [shop.value(name) for name in ("in_cart", "favorite", "bought")] == [1.0, 1.0, 1.0]


def test_another_users_cart_is_not_mine() -> None:
    shop = Shop().event(CART, user=2).event(VIEW, user=1)
    assert shop.value("in_cart") == 0.0


def test_conversion_rates_rise_with_purchases_and_fall_with_a_return() -> None:
    shop = Shop()
    for n in range(40):
        shop.event(VIEW, T0 + n, user=n, item=n % 4)
    for n in range(3):
        shop.event(PURCHASE, T0 + 100 + n, user=n, item=1)
    shop.event(VIEW, T0 + 200, user=50, item=1)
    bought = shop.value("item_lift")
    assert bought > 0.0
    shop.event(RETURN, T0 + 300, user=1, item=1)
    shop.event(VIEW, T0 + 400, user=51, item=1)
    assert shop.value("item_lift") < bought
    shop.event(VIEW, T0 + 500, user=50, item=2)
    assert shop.value("item_lift") < 0.0 or shop.value("item_lift") < bought


def test_popularity_fades() -> None:
    shop = Shop()
    for n in range(10):
        shop.event(VIEW, T0, user=n)
    half_life = round(CFG.popularity_half_life_ms)
    shop.event(VIEW, T0 + half_life, user=20)
    assert shop.value("item_views") == pytest.approx(np.log1p(5.0))


def test_only_configured_types_count_as_exposures_and_conversions() -> None:
    """A click log: impressions are the samples, clicks what they are hoped to become."""
    impression, click = 0, 2
    shop = Shop(CFG._replace(samples=1 << impression, conversions=1 << click))
    shop.event(impression).event(click, T0 + 1).event(RATING, T0 + 2).event(impression, T0 + 3)
    assert shop.value("user_views") == pytest.approx(np.log(2))
    assert shop.value("bought") == 1.0


def test_what_is_not_logged_is_absent() -> None:
    shop = Shop().event(VIEW, category=0)
    assert [shop.column(name) for name in ("category", "position", "price")] == [0, 0, 0]
    shop.event(VIEW, T0 + 1, position=3.0, price=10.0)
    assert shop.column("position") > 0 and shop.column("category") > 0
    shop.event(VIEW, T0 + 2, price=30.0)
    assert shop.column("price") > 0
    assert shop.value("price") == pytest.approx(np.log(3), rel=1e-5)


def test_a_late_event_does_not_turn_time_back() -> None:
    shop = Shop().event(VIEW, T0).event(VIEW, T0 - DAY)
    assert shop.value("pair_gap") == 0.0
    assert shop.population["clock_ms"][0] == T0


def test_dictionaries_hold_bins_and_numbers_but_no_ids() -> None:
    shop = Shop().event(VIEW, position=2.0)
    named = as_dict(shop.idx, shop.dense)
    assert set(DENSE_NAMES) < set(named)
    assert named[f"position={shop.column('position')}"] == 1.0
    assert not [name for name in named if str(name).split("=")[0] in ID_FEATURES]
    assert not [name for name in named if str(name).endswith("=0")]


@given(st.integers(0, 63), st.integers(0, 2**64 - 1), st.integers(1, 20))
def test_slots_lie_in_the_table_and_never_mean_absent(column: int, value: int, bits: int) -> None:
    assert 0 < slot(column, np.uint64(value), 1 << bits) < 1 << bits


def test_columns_do_not_share_slots_by_design() -> None:
    slots = {int(slot(column, value, 1 << 20)) for column in range(N_FEATURES) for value in range(100)}
    assert len(slots) > 0.99 * N_FEATURES * 100


def test_bins_count_the_edges_reached() -> None:
    edges = np.array([1.0, 2.0, 3.0])
    assert [bin_of(x, edges) for x in (0.9, 1.0, 2.5, 99.0, np.inf, np.nan)] == [0, 1, 2, 3, 3, 0]
    assert [age_bin(T0, then) for then in (0, T0, T0 - 5_000, T0 + 1)] == [0, 1, 2, 1]


def test_a_counter_halves_in_its_half_life() -> None:
    assert share_left(1_000, 500.0) == pytest.approx(0.25)
    assert share_left(0, 500.0) == 1.0


def test_the_schema_hash_covers_names_and_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema_hash()
    assert before == schema_hash() and len(before) == 64
    parts = schema_hash.__globals__
    monkeypatch.setitem(parts, "FEATURE_NAMES", (*FEATURE_NAMES[1:], FEATURE_NAMES[0]))
    renamed = schema_hash()
    monkeypatch.undo()
    monkeypatch.setitem(parts, "EDGES", {**parts["EDGES"], "pace": np.array([1.0, 2.0])})
    assert len({before, renamed, schema_hash()}) == 3
