"""Mixtures go through the shards as records; what misleads is known; a perfect detector recovers all there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sie_online.behaviours import POLLUTING, Log, Mixture, log_of, mix
from sie_online.behaviours.log import Behaviour
from sie_online.contracts import PURCHASE_CODE, VIEW_CODE
from sie_online.errors import UsageError
from sie_online.evaluation.compare.scores import METRICS, Gain
from sie_online.evaluation.compare.settled import Settled
from sie_online.evaluation.pollution import trial
from sie_online.evaluation.pollution.figures import InnocentFound, MixtureFound, Pollution
from sie_online.evaluation.pollution.log import EventLog, LogCollector
from sie_online.evaluation.pollution.trial import Serving, pollute
from sie_online.evaluation.pollution.truth import converted, misleading
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.records import LogRecord, RecordBatch
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate
from tests.support.shops import ROLES, random_log

STARTED_MS = 1_760_000_000_000
HOUR = 3_600_000


def as_batch(records: list[WireRecord], start: int = 0) -> RecordBatch:
    numbered = [LogRecord(at, STARTED_MS, record.key, record.value) for at, record in enumerate(records, start)]
    return RecordBatch.of(numbered, topic="sie.events", partition=0, epoch=0, start=start, end=start + len(records))


@pytest.fixture(scope="module")
def log() -> EventLog:
    collector = LogCollector(Settings())
    for number, chunk in enumerate(simulate(Scenario(events=5_000, hours=96, seed=2, malformed=0)).chunks()):
        collector.heard(as_batch(list(chunk.records), 100_000 * number))
    return collector.log()


def test_a_log_is_what_a_shard_decodes_without_duplicates(log: EventLog) -> None:
    simulation = simulate(Scenario(events=5_000, hours=96, seed=2, malformed=0))
    assert len(log.columns) == simulation.events
    assert len(np.unique(log.columns["event_key"])) == len(log.columns)


def test_of_a_longer_log_the_newest_events_are_kept() -> None:
    records = list(next(iter(simulate(Scenario(events=1_000, hours=96, seed=2, malformed=0)).chunks())).records)
    collector = LogCollector(Settings(), most=200)
    for begin in range(0, len(records), 100):
        collector.heard(as_batch(records[begin : begin + 100], begin))
    columns = collector.log().columns
    decoded = Decoder(Settings()).decode(as_batch(records))[0].columns
    assert len(columns) == 200
    assert columns["time_ms"].min() >= np.sort(decoded["time_ms"])[-210]


def test_records_of_a_mixture_decode_to_its_events(log: EventLog) -> None:
    mixture = mix(log.decoded.log, ROLES, 3, families=("crawler", "flash_sale"))
    records = [record for chunk in log.records(mixture, 3) for record in chunk.records]
    events, dead = Decoder(Settings()).decode(as_batch(records))
    assert not dead
    assert np.array_equal(events.columns["time_ms"], mixture.log.time_ms)
    assert np.array_equal(events.columns["etype"], mixture.log.etype)
    old = mixture.source >= 0
    base = log.columns[log.decoded.rows][mixture.source[old]]
    for name in ("item_key", "category_key", "user_key", "price", "dwell_ms", "rating", "position"):
        assert np.array_equal(events.columns[name][old], base[name], equal_nan=base[name].dtype.kind == "f"), name
    assert [int(text) for text in events.event_id.values()] == list(range(len(records)))
    codes = np.unique(events.columns["user_key"], return_inverse=True)[1]
    assert len(set(zip(codes.tolist(), mixture.log.user.tolist(), strict=True))) == codes.max() + 1


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_conversions_are_found_as_by_looking_at_every_pair(seed: int) -> None:
    log = random_log(seed, 60, users=3, items=4, ticks=400)
    shuffled = log.take(np.random.default_rng(seed).permutation(60))
    window = 50_000
    expected = [
        any(
            (u, i) == (v, j) and kind == PURCHASE_CODE and 0 <= then - now <= window
            for v, j, kind, then in zip(shuffled.user, shuffled.item, shuffled.etype, shuffled.time_ms, strict=True)
        )
        for u, i, now in zip(shuffled.user, shuffled.item, shuffled.time_ms, strict=True)
    ]
    assert converted(shuffled, ROLES, window).tolist() == expected


def test_pollution_and_the_labels_that_it_makes_are_misleading() -> None:
    base = Log(*(np.array(column) for column in ([0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 2])))
    rows = [  # user, item, type, time, source, behaviour
        (0, 0, VIEW_CODE, 0, 0, 0),
        (1, 0, VIEW_CODE, 1, 1, 0),
        (1, 1, VIEW_CODE, 2, 2, 0),
        (1, 0, PURCHASE_CODE, 3, -1, 1),  # a fake order makes user 1's genuine view of item 0 positive
        (1, 1, PURCHASE_CODE, 4, -1, 2),  # an innocent's makes that of item 1 so, rightly
    ]
    user, item, etype, time_ms, source, behaviour = (np.array(column) for column in zip(*rows, strict=True))
    kinds = (Behaviour("fake_orders", polluting=True, events=1), Behaviour("flash_sale", polluting=False, events=1))
    mixture = Mixture(Log(user, item, 0 * item, etype, time_ms), source, behaviour, kinds)
    assert misleading(mixture, base, ROLES, HOUR).tolist() == [False, True, False, True, False]


def test_a_purchase_that_was_moved_away_leaves_a_misleading_view() -> None:
    base = Log(*(np.array(column) for column in ([0, 0], [0, 0], [0, 0], [VIEW_CODE, PURCHASE_CODE], [0, 1])))
    kinds = (Behaviour("crossed_accounts", polluting=True, events=1),)
    mixture = Mixture(base._replace(user=np.array([0, 1])), np.array([0, 1]), np.array([0, 1]), kinds)
    assert misleading(mixture, base, ROLES, HOUR).tolist() == [True, True]


def test_what_is_mixed_in_is_weighed_and_found(log: EventLog, tmp_path: Path) -> None:
    seen: list[float] = []
    serving = Serving(Settings(), 2, STARTED_MS, tmp_path)
    found = pollute(log, serving, (1, 2), ("crawler",), on_progress=lambda _, share: seen.append(share))
    assert seen == [0.5, 1.0]
    assert [mixture.seed for mixture in found.mixtures] == [1, 2]
    (family,) = found.families()
    assert family.auc is not None
    assert family.auc > 0.8
    assert family.events == sum(mixture.events for mixture in found.mixtures)
    assert found.innocents()
    assert not list(tmp_path.iterdir())


def test_perfect_weights_recover_all(log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gains = trial._gains

    def with_perfect_weights(samples: Settled, wrong: NDArray[np.bool_], known: NDArray[np.bool_]) -> object:
        samples.weight[:] = ~wrong
        return gains(samples, wrong, known)

    monkeypatch.setattr(trial, "_gains", with_perfect_weights)
    found = pollute(log, Serving(Settings(), 1, STARTED_MS, tmp_path), (1,), ("price_monitor",))
    assert found.mixtures[0].published == found.mixtures[0].perfect


def mixture_found(published: float, perfect: Gain, auc: float | None = 0.9) -> MixtureFound:
    return MixtureFound(
        "crawler",
        1,
        100,
        0.1,
        auc,
        0.02,
        dict.fromkeys(METRICS, Gain(published, 0.001)),
        dict.fromkeys(METRICS, perfect),
        [InnocentFound("flash_sale", 50, 0.8)],
    )


def test_families_put_their_mixtures_together() -> None:
    mixtures = [mixture_found(0.01, Gain(0.01, 0.001), 0.9), mixture_found(0.0, Gain(0.03, 0.001), 0.7)]
    found = Pollution(1_000, (1, 2), mixtures, ())
    (family,) = found.families()
    assert (family.mixtures, family.events, family.auc) == (2, 200, pytest.approx(0.8))
    assert family.recovered == pytest.approx(dict.fromkeys(METRICS, 0.25))
    assert found.together().recovered == family.recovered
    assert found.innocents() == [InnocentFound("flash_sale", 100, 0.8)]


@pytest.mark.parametrize("perfect", [Gain(0.001, 0.01), Gain(-0.01, 0.001), Gain(float("nan"), float("nan"))])
def test_nothing_is_recovered_where_there_is_nothing_to_gain(perfect: Gain) -> None:
    found = Pollution(1_000, (1,), [mixture_found(0.01, perfect, None)], ()).together()
    assert found.recovered == dict.fromkeys(METRICS, None)
    assert found.auc is None


def test_a_family_that_the_log_cannot_have_is_left_out(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = log.columns[log.columns["etype"] == VIEW_CODE]
    views = EventLog(columns, log_of(columns), log.names)
    serving = Serving(Settings(), 1, STARTED_MS, tmp_path)
    with pytest.raises(UsageError, match="need: fake_orders"):
        pollute(views, serving, (1,), ("fake_orders",))
    monkeypatch.setattr(trial, "_found", lambda *_: mixture_found(0.0, Gain(0.0, 0.0)))
    found = pollute(views, serving, (1, 2), ("fake_orders", "crawler"))
    assert (len(found.mixtures), found.left_out) == (2, ("fake_orders",))


def test_a_log_too_short_to_be_mixed_into_is_refused(log: EventLog, tmp_path: Path) -> None:
    few = EventLog(log.columns[:5], log_of(log.columns[:5]), log.names)
    with pytest.raises(UsageError, match="too short"):
        pollute(few, Serving(Settings(), 1, STARTED_MS, tmp_path), (1,), POLLUTING)
