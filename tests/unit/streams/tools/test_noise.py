"""Which noise model judged an event, and which evidence moved it: the model's own arithmetic, signal by signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from models.noise.forward import monotone_logits
from sie_online.announcements import (
    NOISE,
    Adopted,
    Announcement,
    adopted_key,
    announcement_key,
    encode,
)
from sie_online.client.reader import Span
from sie_online.client.rows import WeightRow, weight_rows
from sie_online.importance.noise.evidence import N_SIGNALS, SIGNALS
from sie_online.importance.noise.model import default_noise
from sie_online.ingest.decoder import Decoder
from sie_online.settings import Settings
from sie_online.shard import Shard
from sie_online.shard.trace import trace
from streams.cli.explain_noise import NoiseExplained, show_noise
from streams.model_registry.registry import empty_registry
from streams.tools import noise
from streams.tools.influence import UnexplainedError
from streams.tools.noise import Judge, head_number, judge_of, moved, recomputed_evidence
from tests.support.events import EventRecord, batch, event, records, run, small_settings
from tests.support.noise_models import random_noise_model
from tests.support.rows import weight_batch, weight_row

EVENTS = [
    event(n, "view" if n % 3 else "purchase", 30.0 * n, f"u{n % 7}", f"i{n % 11}", category_id=f"c{n % 3}")
    for n in range(200)
]
AT = 150


def row(offset: int, partition: int = 0) -> WeightRow:
    (found,) = weight_rows(weight_batch(weight_row(offset, 0)))
    return found._replace(partition=partition)


def test_the_version_at_an_event_follows_from_offsets_and_late_adoptions() -> None:
    registry = empty_registry()
    for n, (version, offset) in enumerate((("A", 100), ("B", 200), ("builtin", 300)), 1):
        said = Announcement(n=n, version=version, offsets={0: offset, 1: offset}, reason="publish", created_at_ms=0)
        registry[NOISE].apply(announcement_key(NOISE, n), encode(said))
    registry[NOISE].apply(adopted_key(NOISE, 1, 2), encode(Adopted(n=2, version="B", partition=1, offset=250)))
    found = [judge_of(registry, row(offset)) for offset in (99, 100, 200, 300)]
    assert found == [Judge("builtin", 0), Judge("A", 1), Judge("B", 2), Judge("builtin", 3)]
    assert [judge_of(registry, row(offset, partition=1)).version for offset in (249, 250)] == ["A", "B"]


@pytest.mark.parametrize("head", [0, 1, 2])
def test_the_signals_add_up_to_the_additive_half(head: int) -> None:
    model = random_noise_model(5)
    evidence = np.random.default_rng(head).normal(0, 2, N_SIGNALS).astype(np.float32)
    found = moved(model, evidence, head)
    assert {each.name for each in found.signals} == set(SIGNALS)
    expected = monotone_logits(model._asdict(), evidence[None], np.array([head]))[0] - model.monotone_bias[head]
    assert sum(each.logit for each in found.signals) == pytest.approx(float(expected) / 2, rel=1e-4)
    assert [abs(each.logit) for each in found.signals] == sorted((abs(s.logit) for s in found.signals), reverse=True)
    values = {each.name: each.value for each in found.signals}
    assert list(map(values.__getitem__, SIGNALS)) == evidence.tolist()


def test_a_shard_has_the_evidence_that_a_trace_of_its_log_has() -> None:
    settings, shard = small_settings(), Shard(small_settings(), 0)
    run(shard, records(EVENTS))
    columns = Decoder(settings).decode(batch(records(EVENTS)))[0].columns
    assert np.array_equal(shard.noise_evidence(), trace(settings, columns, default_noise()).evidence[-1])


class FakeReader:
    """A log of one partition that begins at ``first``."""

    first = 0

    def __init__(self, _: Settings, topic: str) -> None:
        self._rows = records(EVENTS)

    async def __aenter__(self) -> FakeReader:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def spans(self) -> Mapping[int, Span]:
        return {0: Span(self.first, len(EVENTS))}

    async def poll(self, _: float) -> list[Any]:
        some, self._rows = self._rows[:64], self._rows[64:]
        return [Placed(one) for one in some]


class Placed:
    """A record that knows its place."""

    topic, partition = "sie.events", 0

    def __init__(self, one: EventRecord) -> None:
        self.offset, self.key, self.value = one.offset, one.key, one.value
        self.timestamp, self.headers = one.timestamp, one.headers


@pytest.fixture
def recomputed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    import asyncio

    monkeypatch.setattr(noise, "TopicReader", FakeReader)

    def recomputed() -> Any:
        return asyncio.run(
            recomputed_evidence(small_settings(), row(AT), empty_registry(), lambda *_: None, lambda *_: None)
        )

    return recomputed


def test_evidence_is_recomputed_up_to_the_event(recomputed: Callable[[], Any]) -> None:
    shard = Shard(small_settings(), 0)
    run(shard, records(EVENTS)[: AT + 1])
    assert np.array_equal(recomputed(), shard.noise_evidence())


def test_a_log_without_its_beginning_explains_nothing(
    recomputed: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeReader, "first", 7)
    with pytest.raises(UnexplainedError, match=f"partition 0 does not reach from 0 to {AT}"):
        recomputed()


def test_it_is_told_which_signals_raised_p(capsys: pytest.CaptureFixture[str]) -> None:
    evidence = np.zeros(N_SIGNALS, np.float32)
    evidence[4] = 6.0
    head = head_number(small_settings(), "purchase")
    show_noise(NoiseExplained(Judge("A", 3), moved(random_noise_model(5), evidence, head)))
    told = capsys.readouterr().out
    assert "noise model at the event: A, announcement 3" in told
    assert "as of a conversion" in told
    assert SIGNALS[4] in told
    assert f"{N_SIGNALS - 1} others" in told
