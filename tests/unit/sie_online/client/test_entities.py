"""Entity tables: shards' absolute statements, summed, with intervals that mean what they say."""

from __future__ import annotations

import json
import math
from typing import Any
from unittest.mock import Mock

import pytest
from scipy import stats

from sie_online import statements
from sie_online.client.beta import beta_cdf, beta_quantile
from sie_online.client.entities import Entity, EntityTable, Name, parse_key


def state(**values: Any) -> statements.EntityState:
    given = {"n_events": 1, "sum_weight": 1.0, "noise_alpha": 0.0, "noise_beta": 1.0, "source_offset": 0}
    return statements.EntityState(**given | {"source_partition": 0, "model_version": "builtin"} | values)


def test_statements_of_several_shards_add_up() -> None:
    table = EntityTable()
    table.apply(*statements.encode("item", b"42", 0, state(n_events=3, sum_weight=1.5, noise_alpha=0.5)))
    table.apply(*statements.encode("item", b"42", 5, state(n_events=1, sum_weight=2.5, noise_beta=0.5)))
    item = table[Name("item", "42")]
    assert (item.shards, item.n_events, item.sum_weight) == (2, 4, 4.0)
    assert (item.noise_alpha, item.noise_beta) == (0.5, 1.5)
    assert item.mean_weight == 1.0


def test_the_newest_statement_of_a_shard_replaces_its_earlier_ones() -> None:
    table = EntityTable()
    for n_events in (1, 2, 3):
        table.apply(*statements.encode("user", b"ann", 0, state(n_events=n_events)))
    assert [entity.n_events for entity in table] == [3]


def test_a_null_erases_the_statement_of_one_shard_only() -> None:
    table = EntityTable()
    for partition in (0, 1):
        table.apply(*statements.encode("item", b"42", partition, state()))
    table.apply(statements.key("item", b"42", 0), None)
    assert table[Name("item", "42")].shards == 1
    table.apply(statements.key("item", b"42", 1), None)
    assert Name("item", "42") not in table
    assert len(table) == 0


def test_ids_may_hold_the_separators() -> None:
    assert parse_key(b"user:a:b#7") == (Name("user", "a:b#7"), None)
    assert parse_key(b"item:a:b#7#12") == (Name("item", "a:b#7"), 12)


@pytest.mark.parametrize("key", [None, b"", b"user", b"shop:1", b"item:42", b"item:42#x", b"\xff:1"])
def test_a_foreign_key_is_refused(key: bytes | None) -> None:
    with pytest.raises(ValueError, match=r"key|partition|decode"):
        parse_key(key)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"1", b'{"n_events": 1}', b"\xff"])
def test_a_foreign_value_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        EntityTable().apply(b"user:ann", value)


def test_fields_of_newer_workers_are_ignored() -> None:
    _, value = statements.encode("user", b"ann", 0, state(n_events=7))
    newer = json.dumps(json.loads(value) | {"invented_later": [1]}).encode()
    table = EntityTable()
    assert table[table.apply(b"user:ann", newer)].n_events == 7


def test_the_interval_narrows_around_the_mean() -> None:
    widths = []
    for n in (1, 10, 100, 1000):
        table = EntityTable()
        name = table.apply(*statements.encode("user", b"ann", 0, state(noise_alpha=0.2 * n, noise_beta=0.8 * n)))
        low, high = table[name].noise_interval(0.9)
        assert 0 <= low < table[name].noise_mean < high <= 1
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


def test_an_entity_without_evidence_has_the_priors_interval() -> None:
    table = EntityTable()
    name = table.apply(*statements.encode("user", b"ann", 0, state(n_events=0, sum_weight=0.0, noise_beta=0.0)))
    assert table[name].mean_weight == 1.0
    assert table[name].noise_mean == 0.5
    assert table[name].noise_interval(0.5) == pytest.approx(stats.beta(0.5, 0.5).ppf([0.25, 0.75]))


@pytest.mark.parametrize("shape", [(0.5, 0.5), (3, 1), (100.5, 3.5), (1e5, 2e3), (0.5, 1e6), (1e6, 1e6)])
def test_quantiles_are_those_of_scipy(shape: tuple[float, float]) -> None:
    for q in (0.001, 0.05, 0.5, 0.95, 0.999):
        expected = stats.beta(*shape).ppf(q)
        assert beta_quantile(q, *shape) == pytest.approx(expected, rel=1e-9, abs=1e-15)
        assert beta_cdf(expected, *shape) == pytest.approx(q, rel=1e-8)


@pytest.mark.parametrize("shape", [(0.5, 0.5), (0.5, 1e6), (1e6, 0.5), (40.5, 4e3)])
def test_quantiles_far_out_are_those_of_scipy(shape: tuple[float, float]) -> None:
    for q in (1e-12, 1e-6, 1 - 1e-6):
        assert beta_quantile(q, *shape) == pytest.approx(stats.beta(*shape).ppf(q), rel=1e-8)


def test_quantiles_and_cdf_end_at_zero_and_one() -> None:
    for end in (0.0, 1.0):
        assert beta_cdf(end, 2, 3) == end
        assert beta_quantile(end, 2, 3) == end
    assert beta_quantile(0.01, 1e-4, 1.0) < 1e-300


@pytest.mark.parametrize("events", [0, 1, 20, 300, 10_000, 1_000_000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_an_interval_takes_few_values_of_the_cdf(events: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker computes it between two batches; each value takes three of this function."""
    counted = Mock(side_effect=math.lgamma)
    monkeypatch.setattr(math, "lgamma", counted)
    entity = Entity("user", "u", 1, events, float(events), share * events, (1 - share) * events)
    low, high = entity.noise_interval(0.9)
    assert low < entity.noise_mean < high
    assert counted.call_count <= 3 * 16
